"""The run launcher as Dagster calls it: its requests to the launch service, and what it makes of the answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher import WorkerStatus
from dagster._core.launcher.base import LaunchRunContext, ResumeRunContext
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import (
    create_run_for_test,
    create_test_daemon_workspace_context,
    instance_for_test,
)
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from ingest_host import launcher
from ingest_host.launcher import LaunchError, LocationRunLauncher

CONTAINER = "0123456789abcdef"
STARTED = {"container": CONTAINER, "image": "ingest-github:new"}


class PlayedService(BaseHTTPRequestHandler):
    """Answers what the test sets, and keeps the requests."""

    asked: list[str]
    answers: list[tuple[int, Any]]

    def do_GET(self) -> None:
        assert self.headers["Authorization"] == "Bearer the-token"
        assert not int(self.headers.get("Content-Length") or 0), "the run's id is all that is sent"
        self.asked.append(f"{self.command} {self.path}")
        status, told = self.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    do_POST = do_GET  # noqa: N815, the parent's name

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[PlayedService]]:
    PlayedService.asked, PlayedService.answers = [], []
    (tmp_path / "token").write_text("the-token")
    monkeypatch.setattr(launcher, "TOKEN", tmp_path / "token")
    with ThreadingHTTPServer(("127.0.0.1", 0), PlayedService) as server:
        monkeypatch.setattr(launcher, "URL", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield PlayedService
        server.shutdown()


@pytest.fixture
def asked_of(service: type[PlayedService]) -> Iterator[LocationRunLauncher]:
    asks = LocationRunLauncher()
    with DagsterInstance.local_temp() as instance:
        asks.register_instance(instance)
        yield asks


@pytest.fixture
def run(asked_of: LocationRunLauncher) -> DagsterRun:
    made: DagsterRun = create_run_for_test(asked_of._instance, "github_ingest", status=DagsterRunStatus.STARTING)
    return made


@pytest.mark.parametrize("verb", ["execute_run", "resume_run"])
def test_a_run_is_launched_by_its_id(
    asked_of: LocationRunLauncher, service: type[PlayedService], run: DagsterRun, verb: str
) -> None:
    service.answers = [(200, STARTED)]
    if verb == "execute_run":
        asked_of.launch_run(LaunchRunContext(run, workspace=None))
    else:
        asked_of.resume_run(ResumeRunContext(run, workspace=None))
    assert service.asked == [f"POST /runs/{run.run_id}/{verb}"]
    stored = asked_of._instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.tags["docker/container_id"] == CONTAINER
    assert stored.tags["dagster/image"] == "ingest-github:new"


def test_a_refusal_is_the_launchs_error(
    asked_of: LocationRunLauncher, service: type[PlayedService], run: DagsterRun
) -> None:
    service.answers = [(409, {"error": "'x' is not an active image of github"})]
    with pytest.raises(LaunchError, match="is not an active image of github"):
        asked_of.launch_run(LaunchRunContext(run, workspace=None))
    (failure,) = asked_of._instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)
    assert failure.dagster_event is not None
    assert failure.dagster_event.message == "it was not started: 'x' is not an active image of github"


def test_while_the_engine_is_away_the_run_goes_back_into_the_queue(
    asked_of: LocationRunLauncher,
    service: type[PlayedService],
    run: DagsterRun,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """By Dagster's own daemon, as dagster.yaml has it."""
    monkeypatch.setattr(launcher, "RESTART_SECONDS", 0.1)
    ours = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())
    config = {"run_coordinator": ours["run_coordinator"], "concurrency": {"pools": ours["concurrency"]["pools"]}}
    config["run_launcher"] = ours["run_launcher"]
    with (
        instance_for_test(temp_dir=str(tmp_path), overrides=config) as instance,
        create_test_daemon_workspace_context(EmptyWorkspaceTarget(), instance) as workspace,
    ):
        server = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("github", 4000), "__repository__")
        queued = create_run_for_test(
            instance,
            "github_ingest",
            status=DagsterRunStatus.QUEUED,
            remote_job_origin=RemoteJobOrigin(server, "github_ingest"),
        )
        instance.report_dagster_event(DagsterEvent.job_enqueue(queued), run_id=queued.run_id)
        away = (503, {"error": "the engine is gone"})
        for answers, status in (([away], DagsterRunStatus.QUEUED), ([(200, STARTED)], DagsterRunStatus.STARTING)):
            service.answers = answers
            list(QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(workspace))
            now = instance.get_run_by_id(queued.run_id)
            assert now is not None
            assert now.status == status


def test_where_the_run_cannot_be_told_of_it_its_container_is_stopped(
    asked_of: LocationRunLauncher, service: type[PlayedService], run: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("the storage is gone")

    monkeypatch.setattr(DagsterInstance, "add_run_tags", fail)
    service.answers = [(200, STARTED), (200, {"stopped": True})]
    with pytest.raises(ConnectionError, match="the storage is gone"):
        asked_of.launch_run(LaunchRunContext(run, workspace=None))
    assert service.asked[-1] == f"POST /runs/{run.run_id}/stop"


def test_terminate_goes_by_the_runs_id_whatever_its_tags_say(
    asked_of: LocationRunLauncher, service: type[PlayedService], run: DagsterRun
) -> None:
    asked_of._instance.add_run_tags(run.run_id, {"docker/container_id": "the container of purge"})
    service.answers = [(200, {"stopped": True})]
    assert asked_of.terminate(run.run_id)
    assert service.asked == [f"POST /runs/{run.run_id}/stop"]
    stored = asked_of._instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status == DagsterRunStatus.CANCELING
    service.answers = [(200, {"stopped": False})]
    assert not asked_of.terminate(run.run_id)


def test_a_run_that_ended_is_not_terminated(asked_of: LocationRunLauncher, service: type[PlayedService]) -> None:
    ended = create_run_for_test(asked_of._instance, "github_ingest", status=DagsterRunStatus.SUCCESS)
    assert not asked_of.terminate(ended.run_id)
    assert not asked_of.terminate("no such run")
    assert service.asked == []


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, WorkerStatus.NOT_FOUND),
        ({"container": CONTAINER, "status": "created"}, WorkerStatus.RUNNING),
        ({"container": CONTAINER, "status": "running"}, WorkerStatus.RUNNING),
        ({"container": CONTAINER, "status": "exited", "reason": "out of memory: 2 GB"}, WorkerStatus.FAILED),
    ],
)
def test_the_health_of_a_run_is_that_of_its_container(
    asked_of: LocationRunLauncher,
    service: type[PlayedService],
    run: DagsterRun,
    told: dict[str, Any],
    status: WorkerStatus,
) -> None:
    service.answers = [(200, told)]
    assert asked_of.check_run_worker_health(run).status == status
    assert service.asked == [f"GET /runs/{run.run_id}"]


def test_a_service_that_is_restarted_is_asked_again(
    service: type[PlayedService], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = launcher._asked, [ConnectionRefusedError("refused"), ConnectionResetError("reset")]

    def asked(method: str, path: str) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return real(method, path)

    monkeypatch.setattr(launcher, "_asked", asked)
    service.answers = [(200, {"removed": 3})]
    assert launcher.ask("POST", "/purge") == {"removed": 3}


def test_one_that_stays_away_is_an_error_in_one_line(
    service: type[PlayedService], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "URL", "http://127.0.0.1:9")
    monkeypatch.setattr(launcher, "RESTART_SECONDS", 0.1)
    with pytest.raises(LaunchError, match="the launch service does not answer"):
        launcher.ask("GET", "/runs/x")
