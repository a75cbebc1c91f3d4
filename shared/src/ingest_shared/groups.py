"""How often tables are loaded, and in how many parts. Tags, freshness, partitions and schedules follow from it."""

from dataclasses import dataclass
from datetime import timedelta

from dagster import (
    AssetExecutionContext,
    DefaultScheduleStatus,
    Failure,
    FreshnessPolicy,
    ScheduleDefinition,
    StaticPartitionsDefinition,
    build_schedule_from_partitioned_job,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ingest_shared.shards import WHOLE_SOURCE, Shard, all_shards

LATE = timedelta(hours=2)
"""How late a load may be before its tables show a warning."""
STALE = timedelta(hours=6)
"""How late a load may be before its tables fail."""


@dataclass(frozen=True)
class Group:
    """The asset group ``name``: tables that one pipeline loads together, on the schedule ``cron`` (UTC).

    ``cadence`` is the tag by which people select tables, ``every`` the longest time between two loads. With ``shards``,
    it is loaded in that many parts, Dagster's partitions, each by its own pipeline and run.
    """

    name: str
    cadence: str
    cron: str
    every: timedelta
    shards: int = 1

    @property
    def tags(self) -> dict[str, str]:
        return {"cadence": self.cadence}

    @property
    def freshness(self) -> FreshnessPolicy:
        """https://docs.dagster.io/guides/observe/asset-freshness-policies"""
        return FreshnessPolicy.time_window(warn_window=self.every + LATE, fail_window=self.every + STALE)

    @property
    def pool(self) -> str | None:
        """Keeps two loads of the group from running at the same time.

        Dagster's pools do not distinguish partitions. A limit in dagster.yaml keeps two runs of the same shard apart:
        of the runs with the same partition, only one runs at a time.
        """
        return self.name if self.shards == 1 else None

    @property
    def partitions(self) -> StaticPartitionsDefinition | None:
        """https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets"""
        if self.shards == 1:
            return None
        return StaticPartitionsDefinition([shard.name for shard in all_shards(self.shards)])

    def shard(self, context: AssetExecutionContext) -> Shard:
        """The shard that a run loads."""
        if self.shards == 1:
            return WHOLE_SOURCE
        if not context.has_partition_key:
            described = f"{self.name} is loaded in {self.shards} shards: launch the run for one partition"
            raise Failure(described, allow_retries=False)
        return Shard.named(context.partition_key)


def scheduled(job: UnresolvedAssetJobDefinition, cron: str) -> ScheduleDefinition:
    """Starts the job at these times (UTC), with a run for each shard, unless the schedule is stopped in the UI.

    https://docs.dagster.io/guides/automate/schedules
    """
    running = DefaultScheduleStatus.RUNNING
    if job.partitions_def is None:
        return ScheduleDefinition(job=job, cron_schedule=cron, execution_timezone="UTC", default_status=running)
    schedule = build_schedule_from_partitioned_job(
        job, cron_schedule=cron, execution_timezone="UTC", default_status=running
    )
    assert isinstance(schedule, ScheduleDefinition)
    return schedule
