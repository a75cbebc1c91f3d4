"""The checks of every table: its key identifies rows, nothing was left out, and the audit found nothing."""

from github_location.defs.assets import LOADS, assets, pipeline_of
from github_location.source.tables import TABLES
from ingest_shared.checks import table_checks

checks = [table_checks(one, pipeline_of(group), TABLES) for one, group in zip(assets, LOADS, strict=True)]
