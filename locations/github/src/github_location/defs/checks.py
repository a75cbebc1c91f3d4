"""The checks that every table gets: its key identifies rows, nothing was left out, and the audit found nothing."""

from github_location.defs import assets
from github_location.source.tables import TABLES
from ingest_shared.checks import table_checks

activity_checks = table_checks(assets.activity_assets, assets.activity_pipeline, TABLES)
actions_checks = table_checks(assets.actions_assets, assets.actions_pipeline, TABLES)
people_checks = table_checks(assets.people_assets, assets.people_pipeline, TABLES)
catalog_checks = table_checks(assets.catalog_assets, assets.catalog_pipeline, TABLES)
