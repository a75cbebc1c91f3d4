"""When the jobs run, in UTC. A schedule runs unless somebody stops it in the UI.

https://docs.dagster.io/guides/automate/schedules
"""

from dagster import DefaultScheduleStatus, ScheduleDefinition

from github_location.defs.jobs import (
    github_activity_ingest,
    github_catalog_ingest,
    github_ingest,
    github_reference_ingest,
)

github_ingest_schedule = ScheduleDefinition(
    job=github_ingest,
    cron_schedule="0 */6 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
github_activity_ingest_schedule = ScheduleDefinition(
    job=github_activity_ingest,
    cron_schedule="30 * * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
github_catalog_ingest_schedule = ScheduleDefinition(
    job=github_catalog_ingest,
    cron_schedule="15 5 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
github_reference_ingest_schedule = ScheduleDefinition(
    job=github_reference_ingest,
    cron_schedule="45 5 1 * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
