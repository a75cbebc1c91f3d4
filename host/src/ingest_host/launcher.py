"""Dagster's run launcher on this platform: asks the launch service, with nothing but the run's id."""

import json
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, ResumeRunContext, WorkerStatus
from dagster._core.storage.tags import DOCKER_IMAGE_TAG
from dagster_docker import DockerRunLauncher
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG

from ingest_host.launch import PORT, TOKEN

URL = f"http://launch:{PORT}"
RESTART_SECONDS = 30
"""How long requests are retried while the service or the engine is down; the wait doubles each time."""
TIMEOUT = 60
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LaunchError(Exception):
    """The launch service refuses or fails; the text is its reason."""


class LaunchAway(LaunchError, DagsterUserCodeUnreachableError):
    """The launch service or the engine does not answer.

    A run whose code cannot be reached goes back into the queue: `max_user_code_failure_retries` in dagster.yaml.
    """


def ask(method: str, path: str) -> dict[str, Any]:
    """Returns the launch service's answer; raises :class:`LaunchError`.

    While the service or the engine restarts, the request is retried: every verb may be repeated.
    """
    until, wait = time.monotonic() + RESTART_SECONDS, 0.5
    while True:
        try:
            return _asked(method, path)
        except (OSError, LaunchAway) as error:
            if time.monotonic() + wait > until:
                raise LaunchAway(f"the launch service does not answer ({error})") from None
            time.sleep(wait)
            wait *= 2


def _asked(method: str, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {TOKEN.read_text()}"}
    request = urllib.request.Request(URL + path, method=method, headers=headers)  # noqa: S310
    try:
        with _HTTP.open(request, timeout=TIMEOUT) as answer:
            told: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        kind = LaunchAway if error.code == HTTPStatus.SERVICE_UNAVAILABLE else LaunchError
        with suppress(ValueError):
            raise kind(json.load(error)["error"]) from None
        raise kind(f"the launch service answered {error.code}") from None
    return told


class LocationRunLauncher(DockerRunLauncher):
    """dagster-docker's launcher for a host without an engine: the launch service makes all calls to Docker.

    :mod:`ingest_host.launch` defines a run's container; a location has no say in it, so
    `DAGSTER_CONTAINER_CONTEXT` is not read. The container of a run that fails exits with 1.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        self._launch(context.dagster_run, "execute_run")

    def resume_run(self, context: ResumeRunContext) -> None:
        self._launch(context.dagster_run, "resume_run")

    def _launch(self, run: DagsterRun, verb: str) -> None:
        try:
            started = ask("POST", f"/runs/{run.run_id}/{verb}")
        except LaunchAway:
            raise
        except LaunchError as error:
            self._instance.report_run_failed(run, f"it was not started: {error}")  # Dagster would give no reason
            raise
        container, image = started["container"], started["image"]
        try:
            self._instance.report_engine_event(
                f"Launched run in container {container[:12]} with image {image}", run, cls=self.__class__
            )
            # For people who read the run's page; no code reads these tags.
            self._instance.add_run_tags(run.run_id, {DOCKER_CONTAINER_ID_TAG: container, DOCKER_IMAGE_TAG: image})
        except Exception:  # Dagster fails the run then, so it must not go on
            ask("POST", f"/runs/{run.run_id}/stop")
            raise

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        stopped = bool(ask("POST", f"/runs/{run_id}/stop")["stopped"])
        if not stopped:
            self._instance.report_engine_event("The run has no container to stop", run, cls=self.__class__)
        return stopped

    def purge(self) -> int:
        """Removes the containers of runs that ended a while ago; returns how many."""
        return int(ask("POST", "/purge")["removed"])

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        told = ask("GET", f"/runs/{run.run_id}")
        if not told:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the run has no container")
        if "reason" in told:
            return CheckRunHealthResult(WorkerStatus.FAILED, told["reason"])
        return CheckRunHealthResult(WorkerStatus.RUNNING)
