"""A small code location, whose team claims some of github's objects as its own."""

import dagster as dg

repositories = dg.DynamicPartitionsDefinition(name="repositories")
days = dg.StaticPartitionsDefinition(["monday", "tuesday"])


@dg.asset(key=["stripe", "charges"])
def charges() -> None: ...


@dg.asset(key=["github", "issues"])
def stolen() -> None: ...


@dg.asset(key=["stripe", "by_repository"], partitions_def=repositories)
def by_repository() -> None: ...


@dg.asset(key=["stripe", "daily"], partitions_def=days)
def daily() -> None: ...


@dg.sensor(job_name="stripe_ingest")
def stripe_sensor() -> None: ...


ingest = dg.define_asset_job("stripe_ingest", selection=[charges])
daily_ingest = dg.define_asset_job("stripe_daily", selection=[daily])
defs = dg.Definitions(
    assets=[charges, stolen, by_repository, daily],
    jobs=[ingest, daily_ingest],
    schedules=[dg.ScheduleDefinition(name="stripe_schedule", job=ingest, cron_schedule="0 0 * * *")],
    sensors=[stripe_sensor],
)
