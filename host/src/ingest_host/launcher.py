"""Dagster's run launcher on this platform: asks the launch service, by the run's id alone."""

import json
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from dagster import DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, ResumeRunContext, WorkerStatus
from dagster._core.storage.tags import DOCKER_IMAGE_TAG
from dagster_docker import DockerRunLauncher
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG

from ingest_host.launch import PORT, TOKEN

URL = f"http://launch:{PORT}"
RESTART_SECONDS = 30
TIMEOUT = 60
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LaunchError(Exception):
    """The launch service refuses, or cannot; the text is its reason."""


def ask(method: str, path: str) -> dict[str, Any]:
    """The launch service's answer; raises :class:`LaunchError`.

    While it is being restarted it is asked again: each verb may be said twice.
    """
    until = time.monotonic() + RESTART_SECONDS
    while True:
        try:
            return _asked(method, path)
        except OSError as error:
            if time.monotonic() > until:
                raise LaunchError(f"the launch service does not answer ({error})") from None
            time.sleep(0.5)


def _asked(method: str, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {TOKEN.read_text()}"}
    request = urllib.request.Request(URL + path, method=method, headers=headers)  # noqa: S310
    try:
        with _HTTP.open(request, timeout=TIMEOUT) as answer:
            told: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        with suppress(ValueError):
            raise LaunchError(json.load(error)["error"]) from None
        raise LaunchError(f"the launch service answered {error.code}") from None
    return told


class LocationRunLauncher(DockerRunLauncher):
    """dagster-docker's launcher for a host without an engine: each call to Docker is the launch service's.

    What a run's container is like stands in :mod:`ingest_host.launch`; a location has no say in it, so
    `DAGSTER_CONTAINER_CONTEXT` is not read. One that fails exits with 1.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        self._launch(context.dagster_run, "execute_run")

    def resume_run(self, context: ResumeRunContext) -> None:
        self._launch(context.dagster_run, "resume_run")

    def _launch(self, run: DagsterRun, verb: str) -> None:
        started = ask("POST", f"/runs/{run.run_id}/{verb}")
        container, image = started["container"], started["image"]
        try:
            self._instance.report_engine_event(
                f"Launched run in container {container[:12]} with image {image}", run, cls=self.__class__
            )
            # For people who read the run's page; nothing is found by it.
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
            self._instance.report_engine_event("There is no container of it to stop", run, cls=self.__class__)
        return stopped

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        told = ask("GET", f"/runs/{run.run_id}")
        if not told:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "there is no container of the run")
        if told["status"] == "running":
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        said = f"its container {told['container'][:12]} is {told['status']}, exit code {told['exit_code']}"
        return CheckRunHealthResult(WorkerStatus.FAILED, said)
