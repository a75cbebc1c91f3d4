"""A small code location."""

import dagster as dg

repositories = dg.DynamicPartitionsDefinition(name="repositories")
days = dg.StaticPartitionsDefinition(["monday", "tuesday"])


@dg.asset(key=["github", "issues"])
def issues() -> None: ...


@dg.asset(key=["github", "commits"], partitions_def=repositories)
def commits() -> None: ...


@dg.asset(key=["github", "daily"], partitions_def=days)
def daily() -> None: ...


@dg.sensor(job_name="github_ingest")
def github_sensor() -> None: ...


ingest = dg.define_asset_job("github_ingest", selection=[issues])
daily_ingest = dg.define_asset_job("github_daily", selection=[daily])
defs = dg.Definitions(
    assets=[issues, commits, daily],
    jobs=[ingest, daily_ingest],
    schedules=[dg.ScheduleDefinition(name="github_schedule", job=ingest, cron_schedule="0 0 * * *")],
    sensors=[github_sensor],
)
