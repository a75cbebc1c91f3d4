"""Dagster's own monitoring, with a launcher that reports what happened to the containers."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher import DefaultRunLauncher, WorkerStatus
from dagster._core.launcher.base import CheckRunHealthResult
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster._daemon.monitoring import run_monitoring

from ingest_host import dead_runs

STARTING, STARTED, CANCELING = DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING
DIED = CheckRunHealthResult(WorkerStatus.FAILED, "out of memory: 2 GB")
LIVES = CheckRunHealthResult(WorkerStatus.RUNNING)


class PlayedWorkspace:
    def __init__(self, instance: DagsterInstance) -> None:
        self.instance = instance

    def create_request_context(self) -> None:
        pass


class Monitored:
    """Runs, and the reported state of their containers."""

    def __init__(self, instance: DagsterInstance, patch: pytest.MonkeyPatch) -> None:
        self.instance = instance
        self.health: Any = LIVES
        self.meanwhile: Callable[[DagsterRun], None] = lambda _: None
        patch.setattr(DefaultRunLauncher, "supports_check_run_worker_health", True)
        patch.setattr(DefaultRunLauncher, "check_run_worker_health", lambda _, run: self._check(run))

    def _check(self, run: Any) -> CheckRunHealthResult:
        self.meanwhile(run)
        if isinstance(self.health, Exception):
            raise self.health
        return cast(CheckRunHealthResult, self.health)

    def run(self, status: DagsterRunStatus) -> str:
        run: DagsterRun = create_run_for_test(self.instance, "github_ingest", status=DagsterRunStatus.NOT_STARTED)
        for event in (DagsterEventType.PIPELINE_STARTING, DagsterEventType.PIPELINE_START)[: 1 + (status == STARTED)]:
            self.instance.report_dagster_event(DagsterEvent(event.value, "github_ingest"), run.run_id)
        return run.run_id

    def look(self) -> list[Any]:
        workspace = cast(Any, PlayedWorkspace(self.instance))
        return [
            error for error in run_monitoring.execute_run_monitoring_iteration(workspace, logging.getLogger()) if error
        ]

    def status(self, run_id: str) -> DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status


@pytest.fixture
def monitored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitored]:
    for name in (*dead_runs.MONITORS, dead_runs.ATTEMPTS):  # restored afterwards
        monkeypatch.setattr(run_monitoring, name, getattr(run_monitoring, name))
    dead_runs.fail_dead_runs()
    with instance_for_test(overrides={"run_monitoring": {"enabled": True}}) as instance:
        yield Monitored(instance, monkeypatch)


@pytest.mark.parametrize("status", [STARTING, STARTED])
def test_a_run_whose_container_ended_fails_with_its_reason_alone(monitored: Monitored, status: Any) -> None:
    run_id, monitored.health = monitored.run(status), DIED
    assert monitored.look() == []
    assert monitored.status(run_id) == DagsterRunStatus.FAILURE
    (failure,) = monitored.instance.all_logs(run_id, of_type=DagsterEventType.RUN_FAILURE)
    assert failure.dagster_event is not None
    assert failure.dagster_event.message == "out of memory: 2 GB"


@pytest.mark.parametrize("status", [STARTING, STARTED])
@pytest.mark.parametrize("health", [LIVES, ConnectionError("the engine is away")])
def test_one_that_lives_or_is_not_known_goes_on(monitored: Monitored, status: Any, health: Any) -> None:
    run_id, monitored.health = monitored.run(status), health
    assert len(monitored.look()) == isinstance(health, Exception)
    assert monitored.status(run_id) == status


def test_a_run_that_ended_by_itself_meanwhile_is_left_alone(monitored: Monitored) -> None:
    run_id, monitored.health = monitored.run(STARTED), DIED
    success = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, "github_ingest")
    monitored.meanwhile = lambda run: monitored.instance.report_dagster_event(success, run_id=run.run_id)
    assert monitored.look() == []
    assert monitored.status(run_id) == DagsterRunStatus.SUCCESS


def test_one_that_is_being_canceled_is_dagsters_affair(monitored: Monitored) -> None:
    run_id = monitored.run(STARTED)
    run = monitored.instance.get_run_by_id(run_id)
    assert run is not None
    monitored.instance.report_run_canceling(run)
    monitored.health = DIED
    monitored.look()
    assert monitored.status(run_id) == CANCELING


def test_how_often_it_was_resumed_is_not_read_from_its_events(
    monitored: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may have any number of events, and no run is resumed."""
    run_id = monitored.run(STARTED)
    monitored.health = CheckRunHealthResult(WorkerStatus.UNKNOWN, "no container")
    monkeypatch.setattr(monitored.instance, "all_logs", lambda *_, **__: pytest.fail("all of its events are read"))
    assert monitored.look() == []
    assert monitored.status(run_id) == DagsterRunStatus.FAILURE
