"""Removes what Dagster and Docker would keep for ever: old runs, their logs, exited run containers.

Runs once an hour. Ticks are Dagster's own affair: `retention` in dagster.yaml.
"""

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import docker
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import CODE_LOCATION_TAG

from ingest_host.launcher import PROJECT_LABEL

logger = logging.getLogger("purge")

PURGED = Path("/tmp/purged")  # noqa: S108, in the container; the health check looks at its age
EVERY_SECONDS = 3600

KEEP_RUNS = {
    DagsterRunStatus.SUCCESS: timedelta(days=30),
    DagsterRunStatus.CANCELED: timedelta(days=30),
    DagsterRunStatus.FAILURE: timedelta(days=90),
}
"""How long a run stays after its end."""
KEEP_CONTAINERS = {True: timedelta(hours=1), False: timedelta(days=7)}
"""How long the container of a run that ended well, or badly, can be looked at."""


def purge_runs(instance: DagsterInstance, now: datetime) -> int:
    """Deletes runs that ended long ago, with their events and compute logs, and says how many.

    What a run told of its assets goes with it. So two kinds stay, however old: the newest success of
    each job of a location, and whatever run materialized an asset last.
    """

    @cache
    def newest(job: str, location: str | None) -> str | None:
        tags = {CODE_LOCATION_TAG: location} if location else {}
        return next(iter(instance.get_run_ids(RunsFilter(job_name=job, statuses=succeeded, tags=tags), limit=1)), None)

    def is_newest(run: DagsterRun) -> bool:
        return run.run_id == newest(run.job_name, run.tags.get(CODE_LOCATION_TAG))

    succeeded = [DagsterRunStatus.SUCCESS]
    told = [record.asset_entry.last_materialization for record in instance.get_asset_records()]
    latest = {event.run_id for event in told if event}
    deleted = 0
    for status, keep in KEEP_RUNS.items():
        # Of every run the id alone: the list may be long where nothing was purged for a while.
        for run_id in instance.get_run_ids(RunsFilter(statuses=[status], updated_before=now - keep)):
            run = instance.get_run_by_id(run_id)
            if run is None or run_id in latest or is_newest(run):
                continue
            instance.delete_run(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
            deleted += 1
    return deleted


def purge_containers(client: docker.DockerClient, project: str, now: datetime) -> int:
    """Removes exited run containers, with the volume in which dlt worked; those that failed stay longer."""
    removed = 0
    ended: dict[str, str | list[str] | bool] = {
        "label": f"{PROJECT_LABEL}={project}",
        "status": ["exited", "dead", "created"],
    }
    for container in client.containers.list(all=True, filters=ended, ignore_removed=True):
        state = container.attrs["State"]
        since = state["FinishedAt"] if state["Status"] != "created" else container.attrs["Created"]
        if now - _instant(since) > KEEP_CONTAINERS[state["ExitCode"] == 0]:
            try:
                container.remove(v=True)
            except docker.errors.APIError as error:  # somebody removes or starts it at this moment
                logger.warning("%s stays for now: %s", container.name, error.explanation)
                continue
            removed += 1
    return removed


def _instant(text: str) -> datetime:
    """Docker's time, with nanoseconds, to the second."""
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    client = docker.client.from_env()
    while True:
        now = datetime.now(UTC)
        with DagsterInstance.get() as instance:
            runs = purge_runs(instance, now)
        containers = purge_containers(client, os.environ["INGEST_PROJECT"], now)
        logger.info("purged %d runs and %d run containers", runs, containers)
        PURGED.touch()
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
