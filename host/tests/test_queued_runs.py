"""A location that keeps its queued runs locked delays only its own queue."""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test, create_test_daemon_workspace_context
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from ingest_host import queued_runs

from .conftest import INSTANCE, Platform

QUEUED = {
    "run_coordinator": {
        "module": "dagster._core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_use_threads": True, "dequeue_num_workers": 4},
    },
    "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
}


@pytest.fixture
def process(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkspaceProcessContext]:
    platform.location("one")
    (platform.folder / "dagster.yaml").write_text(yaml.safe_dump(INSTANCE | QUEUED))
    dequeue = getattr(QueuedRunCoordinatorDaemon, queued_runs.DEQUEUE)
    monkeypatch.setattr(QueuedRunCoordinatorDaemon, queued_runs.DEQUEUE, dequeue)
    queued_runs.leave_out_locked()
    target = EmptyWorkspaceTarget()
    with DagsterInstance.get() as instance, create_test_daemon_workspace_context(target, instance) as process:
        yield process
        instance.wipe()


def queue(instance: DagsterInstance, location: str) -> DagsterRun:
    server = GrpcServerCodeLocationOrigin("127.0.0.1", 1, location_name=location)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(server, "__repository__"), "all")
    run: DagsterRun = create_run_for_test(instance, "all", remote_job_origin=origin, status=DagsterRunStatus.QUEUED)
    return run


def test_others_runs_start_at_once(
    process: WorkspaceProcessContext, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """After one round, at the end of which the locked location is known."""
    instance = process.instance
    platform.sql("postgres", "ALTER ROLE dagster SET lock_timeout = '5s'", "dagster")
    locked = queue(instance, "one")
    with (
        QueuedRunCoordinatorDaemon(interval_seconds=2) as daemon,
        closing(platform.connect("dagster-one", "dagster")) as holding,
    ):
        holding.autocommit = False
        holding.cursor().execute("SELECT FROM runs FOR UPDATE")
        list(daemon.run_iteration(process))
        assert f"no run of one is started for 600 s: {locked.run_id}: " in caplog.text
        run, started = queue(instance, "other"), time.monotonic()
        list(daemon.run_iteration(process))
        assert time.monotonic() - started < 5
        launched = [one.run_id for one in instance.run_launcher.queue()]  # type: ignore[attr-defined]
        assert launched == [run.run_id]
