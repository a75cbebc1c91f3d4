"""Removes what Dagster and Docker would keep for ever: old runs, their logs, exited run containers.

Runs once an hour. Ticks are Dagster's own affair: `retention` in dagster.yaml.
"""

import logging
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import docker
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from ingest_host.launcher import PROJECT_LABEL

logger = logging.getLogger("purge")

PURGED = Path("/tmp/purged")  # noqa: S108, in the container; the health check looks at its age
COMPUTE_LOGS = Path("/var/log/dagster/storage")
EVERY_SECONDS = 3600
AT_ONCE = 100
"""Runs that are deleted before the next ones are asked for."""

KEEP_RUNS = {
    DagsterRunStatus.SUCCESS: timedelta(days=30),
    DagsterRunStatus.CANCELED: timedelta(days=30),
    DagsterRunStatus.FAILURE: timedelta(days=90),
}
KEEP_CONTAINERS = {True: timedelta(hours=1), False: timedelta(days=7)}
"""How long the container of a run that ended well, or badly, can be looked at."""


def purge_runs(instance: DagsterInstance, now: datetime) -> int:
    """Deletes finished runs of which nobody asks any more, with their events and compute logs.

    What an asset's latest materialization told goes with its run: the newest run of a job stays.
    """
    deleted = 0
    for status, keep in KEEP_RUNS.items():
        old = RunsFilter(statuses=[status], updated_before=now - keep)
        while runs := [run for run in instance.get_runs(old, limit=AT_ONCE) if not _is_newest(instance, run.job_name, run.run_id)]:
            for run in runs:
                instance.delete_run(run.run_id)
                shutil.rmtree(COMPUTE_LOGS / run.run_id, ignore_errors=True)
            deleted += len(runs)
    return deleted


def _is_newest(instance: DagsterInstance, job: str, run_id: str) -> bool:
    newest = instance.get_runs(RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS]), limit=1)
    return bool(newest) and newest[0].run_id == run_id


def purge_containers(client: docker.DockerClient, project: str, now: datetime) -> int:
    """Removes exited run containers, with the volume in which dlt worked; those that failed stay longer."""
    removed = 0
    ended = {"label": f"{PROJECT_LABEL}={project}", "status": ["exited", "dead", "created"]}
    for container in client.containers.list(all=True, filters=ended):
        state = container.attrs["State"]
        since = state["FinishedAt"] if state["Status"] != "created" else container.attrs["Created"]
        if now - _instant(since) > KEEP_CONTAINERS[state["ExitCode"] == 0]:
            container.remove(v=True)
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
