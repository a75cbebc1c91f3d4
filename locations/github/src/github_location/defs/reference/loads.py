"""What ``defs.yaml`` beside this file loads."""

from github_location.source.reference import reference
from ingest_shared.pipelines import pipeline

reference_source = reference()
reference_pipeline = pipeline("github", "reference")
