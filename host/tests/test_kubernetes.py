"""The run launcher on Kubernetes: what it requests from the cluster's API, and what it makes of the answers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import WorkerStatus
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from kubernetes.client import (
    ApiException,
    V1ContainerState,
    V1ContainerStateTerminated,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1Job,
    V1JobStatus,
    V1ObjectMeta,
    V1Pod,
    V1PodSpec,
    V1PodStatus,
)

from ingest_host import kubernetes
from ingest_host.kubernetes import LocationRunLauncher
from ingest_host.launch import Refused

IMAGE = "ingest-github:new"


class PlayedCluster:
    """The parts of the three APIs that are used."""

    def __init__(self) -> None:
        self.images = [IMAGE]
        self.jobs: dict[str, V1Job] = {}
        self.pods: list[V1Pod] = []
        self.error: Exception | None = None
        self.deleted: list[str] = []
        self.log = ""

    def list_namespaced_replica_set(self, namespace: str, **_: Any) -> Any:
        if self.error:
            raise self.error
        assert namespace == "ingest-github"
        sets = [
            SimpleNamespace(
                spec=SimpleNamespace(
                    template=SimpleNamespace(spec=SimpleNamespace(containers=[SimpleNamespace(image=one)]))
                )
            )
            for one in self.images
        ]
        return SimpleNamespace(items=sets)

    def create_namespaced_job(self, body: V1Job, namespace: str, **_: Any) -> None:
        assert namespace == "ingest-github"
        self.jobs[body.metadata.name] = body

    def read_namespaced_job_status(self, name: str, namespace: str) -> V1Job:
        if name not in self.jobs:
            raise ApiException(404)
        return self.jobs[name]

    def list_namespaced_job(self, namespace: str) -> Any:
        return SimpleNamespace(items=list(self.jobs.values()))

    def delete_namespaced_job(self, name: str, namespace: str, propagation_policy: str) -> None:
        if name not in self.jobs:
            raise ApiException(404)
        assert propagation_policy == "Background", "otherwise its pod goes on"
        self.deleted.append(name)

    def list_namespaced_pod(self, namespace: str, label_selector: str) -> Any:
        return SimpleNamespace(items=self.pods)

    def read_namespaced_pod_log(self, name: str, namespace: str, tail_lines: int, _preload_content: bool) -> Any:
        assert not _preload_content
        return SimpleNamespace(data=self.log.encode())


@pytest.fixture
def cluster() -> PlayedCluster:
    return PlayedCluster()


@pytest.fixture
def launcher(cluster: PlayedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocationRunLauncher]:
    (tmp_path / "namespace").write_text("ingest")
    monkeypatch.setattr(kubernetes, "NAMESPACE", tmp_path / "namespace")
    monkeypatch.setattr("dagster_k8s.launcher.load_kubernetes_config", lambda **_: None)
    made = LocationRunLauncher(k8s_client_batch_api=cluster, k8s_client_core_api=cluster)
    vars(made)["_apps"] = cluster
    with DagsterInstance.local_temp() as instance:
        made.register_instance(instance)
        yield made


def queued(launcher: LocationRunLauncher, tags: dict[str, str] | None = None, **origin: Any) -> DagsterRun:
    """A run as Dagster passes it; a location may have written all of it."""
    code = {"container_image": IMAGE, "container_context": None} | origin
    pointer = ModuleCodePointer("another.module", "defs", "/tmp")  # noqa: S108
    server = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("github", 4000, location_name="github"), "it")
    run: DagsterRun = create_run_for_test(
        launcher._instance,
        "github_ingest",
        status=DagsterRunStatus.STARTING,
        tags=tags,
        remote_job_origin=RemoteJobOrigin(server, "github_ingest"),
        job_code_origin=JobPythonOrigin("github_ingest", RepositoryPythonOrigin("python", pointer, **code)),
    )
    return run


def launched(launcher: LocationRunLauncher, run: DagsterRun) -> None:
    launcher.launch_run(LaunchRunContext(run, workspace=None))


def test_everything_of_a_runs_job_follows_from_its_locations_name(
    launcher: LocationRunLauncher, cluster: PlayedCluster
) -> None:
    run = queued(launcher)
    launched(launcher, run)
    (job,) = cluster.jobs.values()
    pod, (container,) = job.spec.template.spec, job.spec.template.spec.containers
    assert (job.spec.backoff_limit, job.spec.ttl_seconds_after_finished, pod.restart_policy) == (0, 3600, "Never")
    assert container.image == IMAGE
    assert container.args[:3] == ["execute_run", "github_location.definitions", run.run_id]
    assert (pod.service_account_name, pod.automount_service_account_token) == ("location", False)
    assert [one.secret.secret_name for one in pod.volumes if one.secret] == ["runs"]
    variables = {one.name: one.value for one in container.env}
    assert variables["DESTINATION__POSTGRES__CREDENTIALS__HOST"] == "turnstile.ingest"
    assert "keepalives_idle" in variables["DESTINATION__POSTGRES__CREDENTIALS__QUERY"]
    assert (pod.security_context.run_as_non_root, pod.security_context.run_as_user) == (True, 10001)
    assert container.security_context.read_only_root_filesystem
    assert container.security_context.capabilities.drop == ["ALL"]
    assert container.resources.limits["memory"] == "2Gi"


@pytest.mark.parametrize(
    ("tags", "origin", "why"),
    [
        ({"dagster-k8s/config": "{}"}, {}, "the tag dagster-k8s/config is not allowed"),
        ({"dagster-k8s/resource_requirements": "{}"}, {}, "the tag dagster-k8s/resource_requirements is not allowed"),
        ({}, {"container_context": {"k8s": {"namespace": "kube-system"}}}, "DAGSTER_CONTAINER_CONTEXT is not allowed"),
        ({}, {"container_image": "ingest-stripe:new"}, "'ingest-stripe:new' is not an active image of github"),
        ({}, {"container_image": None}, "None is not an active image of github: those are ingest-github:new"),
    ],
)
def test_a_record_that_would_have_another_pod_is_refused(
    tags: dict[str, str], origin: dict[str, Any], why: str, launcher: LocationRunLauncher, cluster: PlayedCluster
) -> None:
    run = queued(launcher, tags, **origin)
    with pytest.raises(Refused, match=why):
        launched(launcher, run)
    assert not cluster.jobs
    (failure,) = launcher._instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)
    assert failure.dagster_event is not None
    assert str(failure.dagster_event.message).startswith(f"it was not started: {why}")


def test_runs_of_a_location_spread_over_the_nodes(launcher: LocationRunLauncher, cluster: PlayedCluster) -> None:
    launched(launcher, queued(launcher))
    (job,) = cluster.jobs.values()
    (spread,) = job.spec.template.spec.topology_spread_constraints
    assert (spread.max_skew, spread.topology_key) == (1, "kubernetes.io/hostname")
    assert spread.when_unsatisfiable == "ScheduleAnyway", "one node is enough"
    assert spread.label_selector.match_labels.items() <= job.spec.template.metadata.labels.items()


def test_while_the_api_is_away_the_run_may_go_back_into_the_queue(
    launcher: LocationRunLauncher, cluster: PlayedCluster
) -> None:
    cluster.error = ApiException(503)
    with pytest.raises(DagsterUserCodeUnreachableError, match="the cluster's API does not answer"):
        launched(launcher, queued(launcher))


def test_what_the_api_forbids_is_the_runs_failure(launcher: LocationRunLauncher, cluster: PlayedCluster) -> None:
    error = ApiException(403)
    error.body = '{"message": "replicasets.apps is forbidden"}'
    cluster.error = error
    with pytest.raises(Refused, match=r"replicasets\.apps is forbidden"):
        launched(launcher, queued(launcher))


def pod(phase: str = "Running", *, gone_since: int | None = None, **state: Any) -> V1Pod:
    now = datetime.now(UTC)
    gone = None if gone_since is None else now - timedelta(seconds=gone_since)
    status = V1ContainerStatus(
        name="dagster", ready=False, restart_count=0, image=IMAGE, image_id="", state=V1ContainerState(**state)
    )
    return V1Pod(
        metadata=V1ObjectMeta(name="it", namespace="ingest-github", creation_timestamp=now, deletion_timestamp=gone),
        spec=V1PodSpec(containers=[], node_name="worker"),
        status=V1PodStatus(phase=phase, container_statuses=[status] if state else None),
    )


DEAD = V1ContainerStateTerminated
STUCK = V1ContainerStateWaiting


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (pod(), ""),
        (pod("Pending", waiting=STUCK(reason="ContainerCreating")), ""),
        (pod("Failed", terminated=DEAD(exit_code=137, reason="OOMKilled")), "out of memory: 2 GB"),
        (
            pod("Failed", terminated=DEAD(exit_code=137, reason="Error")),
            "its container ended with exit code 137 (killed by SIGKILL)\nthe last line",
        ),
        (
            pod("Succeeded", terminated=DEAD(exit_code=0, reason="Completed")),
            "its pod was lost with its node, or removed: the pod that Kubernetes created instead does not run it again",
        ),
        (
            pod("Pending", waiting=STUCK(reason="ImagePullBackOff", message="no such image")),
            "its pod cannot start: ImagePullBackOff: no such image",
        ),
        (pod("Running", gone_since=5), "its node worker does not answer"),
        (pod("Running", gone_since=-86_400), ""),
    ],
)
def test_why_a_pod_is_ill(seen: V1Pod, why: str, launcher: LocationRunLauncher, cluster: PlayedCluster) -> None:
    cluster.pods, cluster.log = [seen], "\nthe last line\n"
    health = launcher.check_run_worker_health(queued(launcher))
    assert (health.status, health.msg or "") == (WorkerStatus.FAILED if why else WorkerStatus.RUNNING, why)


def test_a_run_without_a_pod_is_ill_once_its_job_failed(launcher: LocationRunLauncher, cluster: PlayedCluster) -> None:
    run = queued(launcher)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.NOT_FOUND
    launched(launcher, run)
    (job,) = cluster.jobs.values()
    job.status = V1JobStatus()
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    job.status = V1JobStatus(failed=1)
    assert launcher.check_run_worker_health(run).msg == "its pod was removed"


def test_a_run_is_terminated_with_its_pod(launcher: LocationRunLauncher, cluster: PlayedCluster) -> None:
    run = queued(launcher)
    assert not launcher.terminate(run.run_id), "there is no Job yet"
    launched(launcher, run)
    assert launcher.terminate(run.run_id)
    assert cluster.deleted == [f"dagster-run-{run.run_id}"]


def test_jobs_of_ended_runs_that_never_started_are_purged(
    launcher: LocationRunLauncher, cluster: PlayedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "location_names", lambda: ["github"])
    late, going = queued(launcher), queued(launcher)
    for run in (late, going):
        launched(launcher, run)
    for job in cluster.jobs.values():
        job.status = V1JobStatus(active=1)
    launcher._instance.report_run_failed(late, "it took too long to start")
    assert launcher.purge() == 1
    assert cluster.deleted == [f"dagster-run-{late.run_id}"]
