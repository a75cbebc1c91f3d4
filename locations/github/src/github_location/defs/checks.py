"""The checks that every table gets: its keys identify rows, and nothing was left out."""

from github_location.defs.assets import activity_assets, activity_pipeline, catalog_assets, catalog_pipeline
from github_location.source.tables import TABLES
from ingest_shared.checks import table_checks

activity_checks = table_checks(activity_assets, activity_pipeline, TABLES)
catalog_checks = table_checks(catalog_assets, catalog_pipeline, TABLES)
