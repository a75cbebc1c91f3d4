"""When the jobs run, in UTC. A schedule runs unless somebody stops it in the UI.

https://docs.dagster.io/guides/automate/schedules
"""

from dagster import DefaultScheduleStatus, ScheduleDefinition

from github_location.defs.groups import ACTIONS, ACTIVITY, AUDIT_CRON, CATALOG
from github_location.defs.jobs import github_actions_ingest, github_activity_ingest, github_audit, github_ingest

github_ingest_schedule = ScheduleDefinition(
    job=github_ingest,
    cron_schedule=CATALOG.cron,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
github_activity_ingest_schedule = ScheduleDefinition(
    job=github_activity_ingest,
    cron_schedule=ACTIVITY.cron,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
github_actions_ingest_schedule = ScheduleDefinition(
    job=github_actions_ingest,
    cron_schedule=ACTIONS.cron,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
github_audit_schedule = ScheduleDefinition(
    job=github_audit,
    cron_schedule=AUDIT_CRON,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
