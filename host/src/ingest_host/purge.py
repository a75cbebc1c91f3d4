"""Removes what Dagster and Docker would keep forever: old runs, their logs, exited run containers.

Runs once an hour. Dagster itself removes ticks: `retention` in dagster.yaml.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import CODE_LOCATION_TAG
from sqlalchemy.exc import DBAPIError

from ingest_host.logs import use_run_logs
from ingest_host.unreadable import pass_over_unreadable

logger = logging.getLogger("purge")

PURGED = Path("/tmp/purged")  # noqa: S108, in the container; the health check reads its age
EVERY_SECONDS = 3600

KEEP_RUNS = {
    DagsterRunStatus.SUCCESS: timedelta(days=30),
    DagsterRunStatus.CANCELED: timedelta(days=30),
    DagsterRunStatus.FAILURE: timedelta(days=90),
}
"""How long a run is kept after its end."""


def purge_runs(instance: DagsterInstance, now: datetime) -> int:
    """Deletes runs that ended long ago, with their events and compute logs; returns how many.

    If a location keeps one of its runs locked, or its output takes too long to remove, its other runs wait for the next
    time.

    What a run reported about its assets is deleted with it. So two kinds are kept, however old: the latest success
    of each job of a location, and the run that last materialized an asset.
    """

    @cache
    def newest(job: str, location: str | None) -> str | None:
        tags = {CODE_LOCATION_TAG: location} if location else {}
        return next(iter(instance.get_run_ids(RunsFilter(job_name=job, statuses=succeeded, tags=tags), limit=1)), None)

    def is_newest(run: DagsterRun) -> bool:
        return run.run_id == newest(run.job_name, run.tags.get(CODE_LOCATION_TAG))

    succeeded = [DagsterRunStatus.SUCCESS]
    # One by one, since a location may have written a lot into each.
    records = (record for key in instance.all_asset_keys() for record in instance.get_asset_records([key]))
    latest = {told.run_id for record in records if (told := record.asset_entry.last_materialization)}
    deleted, late = 0, set()
    for status, keep in KEEP_RUNS.items():
        # Only the ids: the list may be long if nothing was purged for a while.
        for run_id in instance.get_run_ids(RunsFilter(statuses=[status], updated_before=now - keep)):
            run = instance.get_run_by_id(run_id)
            if run is None or run_id in latest or is_newest(run):
                continue
            location = run.tags.get(CODE_LOCATION_TAG)
            if location in late:
                continue
            try:
                instance.compute_log_manager.delete_logs(prefix=[run_id])  # the record says where they are
                instance.delete_run(run_id)
                deleted += 1
            except (DBAPIError, TimeoutExpired) as error:  # its location keeps it locked, or made millions of files
                late.add(location)
                reason = str(error).partition("\n")[0]
                logger.warning("runs of %s from %s on are not removed for now: %s", location, run_id, reason)
    return deleted


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    while True:
        now = datetime.now(UTC)
        with DagsterInstance.get() as instance:
            use_run_logs(instance)
            pass_over_unreadable(instance)
            runs = purge_runs(instance, now)
            launcher: Any = instance.run_launcher
            containers = launcher.purge()
        logger.info("purged %d runs and %d run containers", runs, containers)
        PURGED.touch()
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
