"""The jobs: the whole location, each group, and the audit.

https://docs.dagster.io/guides/build/jobs/asset-jobs
"""

from dagster import AssetSelection, RunConfig, define_asset_job

from ingest_shared.resource import RETRY_POLICY, IngestConfig
from stripe_location import OWNERS
from stripe_location.defs.groups import GROUPS

stripe_ingest = define_asset_job(
    "stripe_ingest",
    selection=AssetSelection.key_prefixes("stripe"),
    description="Mirrors every table of Stripe, once a day; by hand, it is the first load and the one after a pause.",
    op_retry_policy=RETRY_POLICY,
    owners=OWNERS,
)
stripe_billing_ingest = define_asset_job(
    "stripe_billing_ingest",
    selection=AssetSelection.groups("stripe_billing"),
    description="Mirrors whom and what is billed, every four hours.",
    op_retry_policy=RETRY_POLICY,
    owners=OWNERS,
)
stripe_payments_ingest = define_asset_job(
    "stripe_payments_ingest",
    selection=AssetSelection.tag("cadence", "hourly"),
    description="Mirrors the money that moves and the log of events, every hour.",
    op_retry_policy=RETRY_POLICY,
    owners=OWNERS,
)
stripe_checkout_ingest = define_asset_job(
    "stripe_checkout_ingest",
    selection=AssetSelection.groups("stripe_checkout"),
    description="Mirrors what customers are offered and how they take it, every four hours.",
    op_retry_policy=RETRY_POLICY,
    owners=OWNERS,
)
stripe_connect_ingest = define_asset_job(
    "stripe_connect_ingest",
    selection=AssetSelection.groups("stripe_connect"),
    description="Mirrors connected accounts, transfers, top-ups and files, every day.",
    op_retry_policy=RETRY_POLICY,
    owners=OWNERS,
)
stripe_audit = define_asset_job(
    "stripe_audit",
    selection=AssetSelection.groups(*(group.name for group in GROUPS)),
    config=RunConfig(ops={group.name: IngestConfig(audit=True) for group in GROUPS}),
    description="Compares every row with Stripe, once a week, and mends what differs: see the checks `equals_origin`.",
    op_retry_policy=RETRY_POLICY,
    owners=OWNERS,
)
