"""How often each group is loaded: its tag, its freshness and its schedule follow from its line."""

from datetime import timedelta

from ingest_shared.groups import Group

BILLING = Group("stripe_billing", "four-hourly", cron="0 */4 * * *", every=timedelta(hours=4))
PAYMENTS = Group("stripe_payments", "hourly", cron="20 * * * *", every=timedelta(hours=1))
