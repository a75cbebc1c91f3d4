"""Retries runs as Dagster does, but in a separate thread for each location, and only once its code server answers.

Dagster tries to create a retry once, and never again if the location is not loaded at that moment. But whatever ended
the run may have ended the code server, too, such as the loss of their node.

It processes the failed runs of all locations in sequence: one that raises, for example because its location keeps it
locked, ends the retries of all others, and one that waits delays them.
https://github.com/dagster-io/dagster/blob/1.13.27/python_modules/dagster/dagster/_daemon/auto_run_reexecution/auto_run_reexecution.py
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import wraps
from typing import Any

from dagster import DagsterRun
from dagster._core.errors import DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.utils import InheritContextThreadPoolExecutor
from dagster._daemon.auto_run_reexecution import auto_run_reexecution, event_log_consumer

UNLOADED = (DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError)
WAIT_SECONDS = 60
"""The longest that a retry waits for its location, and that the daemon waits for all retries before it continues."""
LOOK_SECONDS = 2
BEHIND = 500
"""Failed runs of a location that may wait for their turn, at most."""
CONSUME = "consume_new_runs_for_automatic_reexecution"
"""What Dagster's daemon calls with the runs that ended."""

Consume = Callable[[Any, Sequence[RunRecord], logging.Logger], Iterator[None]]
Waiting = dict[str, Future[None]]
logger = logging.getLogger("ingest")


def retry_apart() -> None:
    """Wraps Dagster's own functions; raises ``AttributeError`` if Dagster has renamed them."""
    auto_run_reexecution.retry_run = _once_loaded(auto_run_reexecution.retry_run)
    setattr(event_log_consumer, CONSUME, _apart(getattr(event_log_consumer, CONSUME)))


def _apart(consume: Consume) -> Consume:
    pools: dict[str, InheritContextThreadPoolExecutor] = {}
    waiting: dict[str, Waiting] = {}
    """By location and id of the run."""

    def alone(context: Any, record: RunRecord, its_logger: logging.Logger) -> None:
        try:
            for _ in consume(context, [record], its_logger):
                pass
        except Exception as error:  # noqa: BLE001  whatever it raises
            reason = str(error).partition("\n")[0]
            _tell(record.dagster_run, f"{type(error).__name__}: {reason}")

    @wraps(consume)
    def consumed(context: Any, records: Sequence[RunRecord], its_logger: logging.Logger) -> Iterator[None]:
        for location, runs in waiting.items():
            waiting[location] = {run_id: one for run_id, one in runs.items() if not one.done()}
        late = {location for location, runs in waiting.items() if runs}
        new = []
        for record in records:
            run = record.dagster_run
            location = run.remote_job_origin.location_name if run.remote_job_origin else ""
            its = waiting.setdefault(location, {})
            if run.run_id in its:
                continue
            if len(its) >= BEHIND:
                _tell(run, f"the limit of {BEHIND} waiting retries of {location} is reached")
                continue
            pool = pools.setdefault(location, InheritContextThreadPoolExecutor(max_workers=1))
            its[run.run_id] = pool.submit(alone, context, record, its_logger)  # type: ignore[no-untyped-call]
            if location not in late:
                new.append(its[run.run_id])
        # Waits, so that no retry is lost if the daemon ends now, but not for a location that is already behind.
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until and wait(new, timeout=1).not_done:
            yield

    return consumed


def _tell(run: DagsterRun, why: str) -> None:
    logger.warning("the run %s is not retried: %s", run.run_id, why)


def _once_loaded(retry: Callable[..., None]) -> Callable[..., None]:
    def retried(failed_run: DagsterRun, workspace_context: Any) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                return retry(failed_run, workspace_context)
            except UNLOADED:
                if time.monotonic() > until or not (origin := failed_run.remote_job_origin):
                    raise
                time.sleep(LOOK_SECONDS)
                workspace_context.reload_code_location(origin.location_name)

    return retried
