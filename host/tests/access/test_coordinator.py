"""Which runs Dagster's own queue starts at the same time, with the limits of dagster.yaml."""

from pathlib import Path

import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.test_utils import create_run_for_test, create_test_daemon_workspace_context, instance_for_test
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from ingest_host.access.coordinator import mark_runs

ROOT = Path(__file__).parents[3]
FILES = (".", "deploy/kubernetes/host")


def queued(instance: DagsterInstance, location: str, partition: str | None) -> DagsterRun:
    """A run that somebody launches, for a partition or for none, with a tag that names github's first one."""
    server = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("127.0.0.1", 4000, location_name=location), "r")
    run: DagsterRun = create_run_for_test(
        instance,
        "ingest",
        remote_job_origin=RemoteJobOrigin(server, "ingest"),
        tags={"ingest/partition": "github 1_of_2"} | ({"dagster/partition": partition} if partition else {}),
    )
    return run


def test_two_runs_of_a_shard_never_run_at_the_same_time_and_two_shards_do(tmp_path: Path) -> None:
    ours, on_kubernetes = (yaml.safe_load((ROOT / file / "dagster.yaml").read_text()) for file in FILES)
    assert on_kubernetes["concurrency"] == ours["concurrency"]
    config = {name: ours[name] for name in ("run_coordinator", "concurrency")}
    config["run_launcher"] = {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}
    with (
        instance_for_test(temp_dir=str(tmp_path), overrides=config) as instance,
        create_test_daemon_workspace_context(EmptyWorkspaceTarget(), instance) as workspace,
    ):
        mark_runs(instance)
        wanted = [
            ("stripe", None),
            ("github", "1_of_2"),
            ("github", "1_of_2"),
            ("github", "2_of_2"),
            ("stripe", "1_of_2"),
        ]
        runs = [queued(instance, *one) for one in wanted]
        for run in runs:
            instance.run_coordinator.submit_run(SubmitRunContext(run, workspace.create_request_context()))

        def started() -> list[bool]:
            list(QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(workspace))
            found = [instance.get_run_by_id(run.run_id) for run in runs]
            return [run is not None and run.status != DagsterRunStatus.QUEUED for run in found]

        assert started() == [True, True, False, True, True]
        instance.report_run_canceled(runs[1])
        assert started() == [True, True, True, True, True]
