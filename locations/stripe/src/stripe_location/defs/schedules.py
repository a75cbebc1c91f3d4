"""When the jobs run, in UTC. A schedule is on unless somebody stops it in the UI.

https://docs.dagster.io/guides/automate/schedules
"""

from ingest_shared.groups import scheduled
from stripe_location.defs import jobs
from stripe_location.defs.groups import AUDIT_CRON, BILLING, CHECKOUT, CONNECT, FINANCE, PAYMENTS

stripe_ingest_schedule = scheduled(jobs.stripe_ingest, FINANCE.cron)
stripe_billing_ingest_schedule = scheduled(jobs.stripe_billing_ingest, BILLING.cron)
stripe_payments_ingest_schedule = scheduled(jobs.stripe_payments_ingest, PAYMENTS.cron)
stripe_checkout_ingest_schedule = scheduled(jobs.stripe_checkout_ingest, CHECKOUT.cron)
stripe_connect_ingest_schedule = scheduled(jobs.stripe_connect_ingest, CONNECT.cron)
stripe_audit_schedule = scheduled(jobs.stripe_audit, AUDIT_CRON)
