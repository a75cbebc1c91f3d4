"""Runs of the local Dagster instance whose process is gone.

A run that was killed with ``kill -9`` cannot report it: it would stay "started" in the UI and block its pools. ``python
-m ingest_tools.runs``, with a Python that has Dagster, cleans up.
"""

import fcntl
import json
from pathlib import Path

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

LOCK_TAG = "ingest/lock"
"""The file that the process of a run holds locked for as long as it lives."""
SERVER_TAG = ".dagster/grpc_info"
"""Dagster's own tag of a run that the UI or a schedule launched: the code server it runs in."""
UNDER_WAY = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


def end_dead_runs(instance: DagsterInstance, own_lock: Path | None = None) -> list[DagsterRun]:
    """Marks every run whose process is gone as failed; returns the runs that are really in progress.

    ``own_lock`` is a lock that the caller holds, so no run can hold it.
    """
    alive = []
    for run in instance.get_runs(RunsFilter(statuses=[*UNDER_WAY, DagsterRunStatus.NOT_STARTED])):
        if _is_dead(run, own_lock):
            instance.report_run_failed(run, "The process of this run was killed.")
        elif run.status in UNDER_WAY:
            alive.append(run)
    return alive


def _is_dead(run: DagsterRun, own_lock: Path | None) -> bool:
    """Whether its process is known to be gone; a run of unknown origin is left alone."""
    if lock := run.tags.get(LOCK_TAG):
        return Path(lock) == own_lock or not _is_locked(Path(lock))
    if server := run.tags.get(SERVER_TAG):
        socket = json.loads(server).get("socket")
        return socket is not None and not Path(socket).exists()
    return False


def _is_locked(file: Path) -> bool:
    if not file.exists():
        return False
    with file.open("a") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


if __name__ == "__main__":
    with DagsterInstance.get() as instance:
        end_dead_runs(instance)
