"""Starts what other locations queued where one keeps its queued runs locked.

Dagster's queue begins a round once it has tried each run of the one before, and waits for one that is locked as long as
the storage lets it, in each round again. So the location of such a run is left out for a while, by Dagster's own list
of locations that cannot be reached.
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
    """Puts it around Dagster's own; raises ``AttributeError`` where Dagster calls it otherwise."""
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
