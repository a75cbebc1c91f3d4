"""The checks of every table: its key identifies rows, nothing was left out, and the audit found nothing."""

from ingest_shared.checks import table_checks
from stripe_location.defs.assets import PIPELINES, assets
from stripe_location.source.tables import TABLES

checks = [table_checks(one, loads_it, TABLES) for one, loads_it in zip(assets, PIPELINES.values(), strict=True)]
