"""How often each group is loaded: its tag, freshness and schedule follow from its line; and when all are audited."""

from datetime import timedelta

from ingest_shared.groups import Group

BILLING = Group("stripe_billing", "four-hourly", cron="0 */4 * * *", every=timedelta(hours=4))
PAYMENTS = Group("stripe_payments", "hourly", cron="20 * * * *", every=timedelta(hours=1))

AUDIT_CRON = "0 3 * * 0"
"""Sunday."""
