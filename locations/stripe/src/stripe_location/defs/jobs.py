"""The jobs: the whole location, each group, and the audit.

https://docs.dagster.io/guides/build/jobs/asset-jobs
"""

from functools import partial

from dagster import AssetSelection, RunConfig, define_asset_job

from ingest_shared.resource import RETRY_POLICY, IngestConfig
from stripe_location import OWNERS
from stripe_location.defs.groups import GROUPS

job = partial(define_asset_job, op_retry_policy=RETRY_POLICY, owners=OWNERS)
"""What all jobs of the location have in common."""

stripe_ingest = job(
    "stripe_ingest",
    selection=AssetSelection.key_prefixes("stripe"),
    description="Mirrors every table of Stripe, once a day. Launch it by hand for a first load or after a pause.",
)
stripe_billing_ingest = job(
    "stripe_billing_ingest",
    selection=AssetSelection.groups("stripe_billing"),
    description="Mirrors customers, subscriptions, invoices and what else is billed, every four hours.",
)
stripe_payments_ingest = job(
    "stripe_payments_ingest",
    selection=AssetSelection.tag("cadence", "hourly"),
    description="Mirrors payments, payouts, the balance and the log of events, every hour.",
)
stripe_checkout_ingest = job(
    "stripe_checkout_ingest",
    selection=AssetSelection.groups("stripe_checkout"),
    description="Mirrors checkout sessions, payment links, quotes and discounts, every four hours.",
)
stripe_connect_ingest = job(
    "stripe_connect_ingest",
    selection=AssetSelection.groups("stripe_connect"),
    description="Mirrors connected accounts, transfers, top-ups and files, every day.",
)
stripe_audit = job(
    "stripe_audit",
    selection=AssetSelection.groups(*(group.name for group in GROUPS)),
    config=RunConfig(ops={group.name: IngestConfig(audit=True) for group in GROUPS}),
    description="Compares every row with Stripe, once a week, and repairs differences: see the checks `equals_origin`.",
)
