"""How often each group is loaded, from which its tag, freshness and schedule follow; and when all groups are
audited."""

from datetime import timedelta

from ingest_shared.groups import Group

BILLING = Group("stripe_billing", "four-hourly", cron="0 */4 * * *", every=timedelta(hours=4))
PAYMENTS = Group("stripe_payments", "hourly", cron="20 * * * *", every=timedelta(hours=1))
CHECKOUT = Group("stripe_checkout", "four-hourly", cron="10 */4 * * *", every=timedelta(hours=4))
CONNECT = Group("stripe_connect", "daily", cron="40 4 * * *", every=timedelta(days=1))
FINANCE = Group("stripe_finance", "daily", cron="0 2 * * *", every=timedelta(days=1))
"""Derived from the other groups' tables by the job of the whole location."""
GROUPS = (BILLING, PAYMENTS, CHECKOUT, CONNECT)

AUDIT_CRON = "0 3 * * 0"
"""Sunday."""
