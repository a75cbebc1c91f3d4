"""Fails a run as soon as its container has ended, with the reason why it ended.

Dagster's monitoring checks the container of a run that has started, but gives only a generic reason. For one that
is starting, it waits for the timeout, though the container may have died at once: out of memory, during its imports.
"""

import logging
from collections.abc import Callable
from typing import Any

from dagster import DagsterInstance
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.dagster_run import DagsterRunStatus, RunRecord
from dagster._daemon.monitoring import run_monitoring

MONITORS = ("monitor_starting_run", "monitor_started_run")
"""Functions that Dagster's monitoring calls for each run, every ``poll_interval_seconds``."""


ATTEMPTS = "count_resume_run_attempts"
"""Reads all engine events of a run in Dagster, to count its resumptions. Here no run is resumed, so the count is 0."""


def fail_dead_runs() -> None:
    """Runs :func:`fail_if_dead` before Dagster's own checks; raises ``AttributeError`` if Dagster has renamed them."""
    getattr(run_monitoring, ATTEMPTS)
    setattr(run_monitoring, ATTEMPTS, lambda *_: 0)
    for name in MONITORS:
        setattr(run_monitoring, name, _unless_dead(getattr(run_monitoring, name)))


def _unless_dead(monitor: Callable[..., None]) -> Callable[..., None]:
    def monitored(instance: DagsterInstance, *arguments: Any) -> None:
        *_, record, logger = arguments
        if not fail_if_dead(instance, record, logger):
            monitor(instance, *arguments)

    return monitored


def fail_if_dead(instance: DagsterInstance, record: RunRecord, logger: logging.Logger) -> bool:
    """Returns whether the container of a run has ended, and fails the run unless it has already ended itself."""
    run = record.dagster_run
    if run.status not in (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED):
        return False
    health = instance.run_launcher.check_run_worker_health(run)
    if health.status != WorkerStatus.FAILED:
        return False
    now = instance.get_run_by_id(run.run_id)
    if now is not None and now.status == run.status:  # otherwise it has ended by itself in the meantime
        logger.info("run %s: %s", run.run_id, health.msg)
        instance.report_run_failed(now, health.msg)
    return True
