"""Dagster's retries of runs, once the code server of their location answers.

Dagster tries to create a retry once, and never again where the location is not loaded at that moment. Yet what ended
the run may have ended the code server, too, such as the loss of their node.
https://github.com/dagster-io/dagster/blob/1.13.27/python_modules/dagster/dagster/_daemon/auto_run_reexecution/auto_run_reexecution.py
"""

import time
from collections.abc import Callable
from typing import Any

from dagster import DagsterRun
from dagster._core.errors import DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError
from dagster._daemon.auto_run_reexecution import auto_run_reexecution

UNLOADED = (DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError)
WAIT_SECONDS = 60
"""The longest that one retry may keep the others waiting: with more, the daemon's heartbeat would be too old."""
LOOK_SECONDS = 2


def retry_once_loaded() -> None:
    """Puts it before Dagster's own; raises ``AttributeError`` where Dagster calls that otherwise."""
    auto_run_reexecution.retry_run = _once_loaded(auto_run_reexecution.retry_run)


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
