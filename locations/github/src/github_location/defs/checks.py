"""The checks that every table gets: its key identifies rows, nothing was left out, and the audit found nothing."""

from github_location.defs.assets import activity_assets, activity_pipeline, catalog_assets, catalog_pipeline
from github_location.source.tables import TABLES
from ingest_shared.checks import table_checks

activity_checks = table_checks(activity_assets, activity_pipeline, TABLES)
catalog_checks = table_checks(catalog_assets, catalog_pipeline, TABLES)
