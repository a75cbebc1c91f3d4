"""Starts the queued runs of other locations while one location keeps its queued runs locked.

Dagster's queue begins a round only after it has tried each run of the previous one, and in every round it waits for a
locked run as long as the storage lets it. So the location of such a run is skipped for a while, through Dagster's own
list of unreachable locations.
https://github.com/dagster-io/dagster/blob/1.13.27/python_modules/dagster/dagster/_daemon/run_coordinator/queued_run_coordinator_daemon.py
"""

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from dagster import DagsterInstance, DagsterRun
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from psycopg2.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

DEQUEUE = "_dequeue_run"
LEFT_OUT_SECONDS = 600
logger = logging.getLogger("ingest")


def leave_out_locked() -> None:
    """Wraps Dagster's own function; raises ``AttributeError`` if Dagster has renamed it."""
    setattr(QueuedRunCoordinatorDaemon, DEQUEUE, _unless_locked(getattr(QueuedRunCoordinatorDaemon, DEQUEUE)))


def _unless_locked(dequeue: Callable[..., bool]) -> Callable[..., bool]:
    @wraps(dequeue)
    def dequeued(
        self: Any, instance: DagsterInstance, workspace: object, run: DagsterRun, *rest: Any, **more: Any
    ) -> bool:
        try:
            return dequeue(self, instance, workspace, run, *rest, **more)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            reason = str(error).partition("\n")[0]
            location = run.remote_job_origin.location_name if run.remote_job_origin else ""
            logger.warning("no run of %s is started for %d s: %s: %s", location, LEFT_OUT_SECONDS, run.run_id, reason)
            with self._location_timeouts_lock:
                self._location_timeouts[location] = time.time() + LEFT_OUT_SECONDS
            return False

    return dequeued
