"""When the jobs run, in UTC. A schedule runs unless somebody stops it in the UI.

https://docs.dagster.io/guides/automate/schedules
"""

from dagster import DefaultScheduleStatus, ScheduleDefinition

from stripe_location.defs.groups import AUDIT_CRON, BILLING, CHECKOUT, CONNECT, PAYMENTS
from stripe_location.defs.jobs import (
    stripe_audit,
    stripe_billing_ingest,
    stripe_checkout_ingest,
    stripe_connect_ingest,
    stripe_ingest,
    stripe_payments_ingest,
)

stripe_ingest_schedule = ScheduleDefinition(
    job=stripe_ingest,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
stripe_billing_ingest_schedule = ScheduleDefinition(
    job=stripe_billing_ingest,
    cron_schedule=BILLING.cron,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
stripe_payments_ingest_schedule = ScheduleDefinition(
    job=stripe_payments_ingest,
    cron_schedule=PAYMENTS.cron,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
stripe_checkout_ingest_schedule = ScheduleDefinition(
    job=stripe_checkout_ingest,
    cron_schedule=CHECKOUT.cron,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
stripe_connect_ingest_schedule = ScheduleDefinition(
    job=stripe_connect_ingest,
    cron_schedule=CONNECT.cron,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
stripe_audit_schedule = ScheduleDefinition(
    job=stripe_audit,
    cron_schedule=AUDIT_CRON,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
