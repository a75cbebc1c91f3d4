"""What ``defs.yaml`` beside this file loads."""

from ingest_shared.pipelines import pipeline

from github_location.source.reference import reference

reference_source = reference()
reference_pipeline = pipeline("github", "reference")
