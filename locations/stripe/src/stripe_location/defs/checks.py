"""The checks that every table gets: its key identifies rows, nothing was left out, and the audit found nothing."""

from ingest_shared.checks import table_checks
from stripe_location.defs.assets import (
    billing_assets,
    billing_pipeline,
    checkout_assets,
    checkout_pipeline,
    connect_assets,
    connect_pipeline,
    payments_assets,
    payments_pipeline,
)
from stripe_location.source.tables import TABLES

billing_checks = table_checks(billing_assets, billing_pipeline, TABLES)
payments_checks = table_checks(payments_assets, payments_pipeline, TABLES)
checkout_checks = table_checks(checkout_assets, checkout_pipeline, TABLES)
connect_checks = table_checks(connect_assets, connect_pipeline, TABLES)
