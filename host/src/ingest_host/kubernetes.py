"""Dagster's run launcher on Kubernetes: dagster-k8s', for runs that have no say in their pods.

Everything about a run's pod follows from the name of its location: namespace, image, code, secrets, account, limits.
As on one machine (:mod:`ingest_host.launch`), two strings of its record are used, the location and the image; the image
must be one that a deploy activated, according to the ReplicaSets of the location's code server. So what anybody who can
launch a run may write (the tag ``dagster-k8s/config``), and what a location's code server says about itself
(``DAGSTER_CONTAINER_CONTEXT``), is refused: with it, plain dagster-k8s would mount another location's Secret.

The host's rights in a location's namespace: ``deploy/kubernetes/location/templates/namespace.yaml``.
"""

import json
import logging
import signal
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, ResumeRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData, serialize_value
from dagster_k8s import K8sRunLauncher
from dagster_k8s.client import DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig, get_job_name_from_run_id
from kubernetes.client import ApiException, AppsV1Api
from urllib3.exceptions import HTTPError

from ingest_host.launch import LAST_LINES, LOCATION_LABEL, LONGEST_LINE, NAME, RUN, STOP_SECONDS, Refused, environment
from ingest_host.serve import location_names

logger = logging.getLogger("launch")

NAMESPACE = Path("/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Contains the host's own namespace, with which those of the locations begin."""
ACCOUNT = "location"
SECRET = "runs"  # noqa: S105, the name of one
STEERING_TAGS = "dagster-k8s/"
MEMORY = "2Gi"
USER = 10001
KEEP_SECONDS = 3600
"""How long the Job of a run that ended is kept."""
LOST_NODE_SECONDS = 60
"""After this time, the pods of a node that does not answer are given up."""
ALIVE = {
    "DESTINATION__POSTGRES__CREDENTIALS__QUERY": json.dumps(
        {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000"}
    )
}
"""Makes a connection to a lost node fail within a minute; an operating system's own limit is two hours.

https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-KEEPALIVES, as in the charts' `pg_service.conf`.
"""
REPLACED = "its pod was lost with its node, or removed: the pod that Kubernetes created instead does not run it again"
"""Why a process exits with 0 before its run has ended: Dagster ignores a second execution of a run."""

CANNOT_START = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
)
"""Reasons why a container waits and will not start by itself: https://kubernetes.io/docs/concepts/containers/images/"""
AWAY = (429, 500, 502, 503, 504)
"""Statuses of an API that is overloaded or restarting."""


class LaunchAway(DagsterUserCodeUnreachableError):
    """The cluster's API does not answer: Dagster puts the run back into the queue."""


def namespace_of(location: str) -> str:
    """Returns a location's namespace; raises :class:`Refused` if the name is not valid for a location."""
    if not NAME.fullmatch(location):
        raise Refused(f"its record names no location: {location!r}")
    return f"{NAMESPACE.read_text()}-{location.replace('_', '-')}"


def run_pod(location: str) -> UserDefinedDagsterK8sConfig:
    """Returns a run's Job, except for its image and its arguments, in dagster-k8s' terms."""
    variables = environment(location, f"turnstile.{NAMESPACE.read_text()}") | ALIVE
    labels = {"app": "run", LOCATION_LABEL: location}
    folders = {"/var/lib/ingest": "work", "/var/lib/runs": "runs", "/tmp": "tmp"}  # noqa: S108, in the container
    mounts: list[dict[str, Any]] = [{"name": "secrets", "mount_path": "/run/secrets", "read_only": True}]
    mounts += [{"name": "work", "mount_path": path, "sub_path": folder} for path, folder in folders.items()]
    unreachable = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    return UserDefinedDagsterK8sConfig(
        container_config={
            "command": ["python", "-c", RUN.read_text()],
            "image_pull_policy": "IfNotPresent",
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            "resources": {"limits": {"cpu": "2", "memory": MEMORY}, "requests": {"cpu": "100m", "memory": "512Mi"}},
            "security_context": {
                "allow_privilege_escalation": False,
                "read_only_root_filesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volume_mounts": mounts,
        },
        pod_spec_config={
            "service_account_name": ACCOUNT,
            "automount_service_account_token": False,
            "enable_service_links": False,
            "share_process_namespace": True,  # as process 1, a program would ignore the signal to end
            "termination_grace_period_seconds": STOP_SECONDS,
            "security_context": {
                "run_as_non_root": True,
                "run_as_user": USER,
                "run_as_group": USER,
                "seccomp_profile": {"type": "RuntimeDefault"},
            },
            "tolerations": [
                {"key": key, "operator": "Exists", "effect": "NoExecute", "toleration_seconds": LOST_NODE_SECONDS}
                for key in unreachable
            ],
            "topology_spread_constraints": [
                {
                    "max_skew": 1,
                    "topology_key": "kubernetes.io/hostname",
                    "when_unsatisfiable": "ScheduleAnyway",
                    "label_selector": {"match_labels": labels},
                }
            ],
            "volumes": [
                {"name": "secrets", "secret": {"secret_name": SECRET}},
                {"name": "work", "empty_dir": {}},
            ],
        },
        pod_template_spec_metadata={"labels": labels},
        job_spec_config={"backoff_limit": 0, "ttl_seconds_after_finished": KEEP_SECONDS},
    )


class LocationRunLauncher(K8sRunLauncher):
    """dagster-k8s' launcher without settings, as described above. A run that fails ends its pod with exit code 1."""

    def __init__(self, inst_data: ConfigurableClassData | None = None, **clients: Any) -> None:
        super().__init__(
            service_account_name=ACCOUNT,
            instance_config_map="",
            dagster_home="",  # a run receives its instance as an argument
            fail_pod_on_run_failure=True,
            inst_data=inst_data,
            **clients,
        )
        if not clients:
            _accept_older_authorities(self._api_client.batch_api, self._api_client.core_api)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data, **config_value)

    @cached_property
    def _apps(self) -> AppsV1Api:
        return AppsV1Api(self._api_client.core_api.api_client)

    def get_container_context_for_run(self, dagster_run: DagsterRun) -> K8sContainerContext:
        """Returns the context of the run's location; only the location's name is read from the run."""
        location = _location(dagster_run)
        namespace = namespace_of(location)
        return K8sContainerContext(run_k8s_config=run_pod(location), namespace=namespace)

    def launch_run(self, context: LaunchRunContext) -> None:
        self._launch(context.dagster_run, "execute_run", None)

    def resume_run(self, context: ResumeRunContext) -> None:
        self._launch(context.dagster_run, "resume_run", context.resume_attempt_number)

    def _launch(self, run: DagsterRun, verb: str, attempt: int | None) -> None:
        try:
            with _answering():
                self._refuse(run)
                module = f"{_location(run)}_location.definitions"
                arguments = [verb, module, run.run_id, serialize_value(self._instance.get_ref())]
                self._launch_k8s_job_with_args(_job_name(run, attempt), arguments, run)
        except Refused as error:
            self._instance.report_run_failed(run, f"it was not started: {error}")  # Dagster would give no reason
            raise

    def _refuse(self, run: DagsterRun) -> None:
        """Raises :class:`Refused` if the record asks for another pod than its location's, or an inactive image."""
        if steering := sorted(tag for tag in run.tags if tag.startswith(STEERING_TAGS)):
            raise Refused(f"the tag {steering[0]} is not allowed: a run's pod follows from its location's name")
        origin = run.job_code_origin.repository_origin if run.job_code_origin else None
        if origin and origin.container_context:
            raise Refused("DAGSTER_CONTAINER_CONTEXT is not allowed: a run's pod follows from its location's name")
        location, image = _location(run), origin.container_image if origin else None
        if image not in (images := self._images(location)):
            raise Refused(f"{image!r} is not an active image of {location}: those are {', '.join(images) or 'none'}")

    def _images(self, location: str) -> list[str]:
        """Returns the images of a location that were activated, from its Deployment's ReplicaSets."""
        sets = self._apps.list_namespaced_replica_set(namespace_of(location), label_selector="app=server").items
        return list(dict.fromkeys(one.spec.template.spec.containers[0].image for one in sets))

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        with _answering():
            stopped = self._remove(self._job_name(run), namespace_of(_location(run)))
        if not stopped:
            self._instance.report_engine_event("The run has no Job to stop", run, cls=self.__class__)
        return stopped

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        namespace, job = namespace_of(_location(run)), self._job_name(run)
        with _answering():
            pods = self._api_client.core_api.list_namespaced_pod(namespace, label_selector=f"job-name={job}").items
            if pods:
                why = self._illness(max(pods, key=lambda pod: pod.metadata.creation_timestamp))
            elif (status := self._api_client.get_job_status(job, namespace)) is None:
                return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the run has no Job")
            else:
                why = "its pod was removed" if status.failed else ""
        return CheckRunHealthResult(WorkerStatus.FAILED if why else WorkerStatus.RUNNING, why or None)

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Returns the cluster's warnings about a run that did not start in time, such as why it has no pod or node."""
        namespace, job = namespace_of(_location(run)), self._job_name(run)
        events = self._api_client.core_api.list_namespaced_event(namespace).items
        about = [one for one in events if one.involved_object.name.startswith(job) and one.type == "Warning"]
        return "\n".join(dict.fromkeys(str(one.message) for one in about)) or None

    def purge(self) -> int:
        """Removes Jobs that are active though their runs have ended: their pods never started. Returns how many."""
        removed = 0
        for location in location_names():
            namespace = namespace_of(location)
            try:
                jobs = self._api_client.batch_api.list_namespaced_job(namespace).items
            except ApiException as error:  # a location that has not been deployed yet has no namespace
                logger.warning("%s: its Jobs cannot be listed: %s", location, _message(error))
                continue
            for job in jobs:
                run = self._instance.get_run_by_id(job.metadata.labels.get("dagster/run-id", ""))
                if job.status.active and (run is None or run.is_finished):
                    removed += self._remove(job.metadata.name, namespace)
        return removed

    def _illness(self, pod: Any) -> str:
        """Returns why a run's pod ended or will not start; empty if it may go on."""
        (container,) = pod.status.container_statuses or [None]
        if container and (ended := container.state.terminated):
            return self._reason(pod, ended)
        if container and (waits := container.state.waiting) and waits.reason in CANNOT_START:
            return f"its pod cannot start: {waits.reason}: {waits.message}"
        if pod.status.phase == "Failed":
            return f"its pod was ended: {pod.status.reason}: {pod.status.message}"
        lost = pod.metadata.deletion_timestamp  # by when it should have been gone
        return f"its node {pod.spec.node_name} does not answer" if lost and lost < datetime.now(UTC) else ""

    def _reason(self, pod: Any, ended: Any) -> str:
        if ended.reason == "OOMKilled":
            return f"out of memory: {MEMORY.removesuffix('Gi')} GB"
        if not (code := ended.exit_code):
            return REPLACED
        killed = f" (killed by {signal.Signals(code - 128).name})" if code - 128 in set(signal.Signals) else ""
        log = self._api_client.core_api.read_namespaced_pod_log
        try:
            # Raw: decoded text would begin with b': https://github.com/kubernetes-client/python/issues/2596
            told = log(pod.metadata.name, pod.metadata.namespace, tail_lines=LAST_LINES, _preload_content=False)
            printed = told.data.decode(errors="replace").splitlines()
        except ApiException as error:  # its node is down, or its log is gone with it
            printed = [f"its log cannot be read: {_message(error)}"]
        said = [line[:LONGEST_LINE] for line in printed if line.strip()]
        return "\n".join([f"its container ended with exit code {code}{killed}", *said])

    def _job_name(self, run: DagsterRun) -> str:
        return _job_name(run, self._get_resume_attempt_number(run) or None)

    def _remove(self, job: str, namespace: str) -> bool:
        """Removes a Job, and stops its pod gracefully; returns whether there was one."""
        try:
            self._api_client.batch_api.delete_namespaced_job(job, namespace, propagation_policy="Background")
        except ApiException as error:
            if error.status == 404:
                return False
            raise
        return True


def _accept_older_authorities(*apis: Any) -> None:
    """Verifies the API's certificate as kubectl does.

    Since 3.13, Python requires extensions that the certificate authorities of many clusters lack:
    https://github.com/kubernetes-client/python/issues/2394
    """
    for api in apis:
        rest, settings = api.api_client.rest_client, api.api_client.configuration
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        rest.pool_manager.connection_pool_kw["ssl_context"] = context


def _job_name(run: DagsterRun, attempt: int | None) -> str:
    named: Any = get_job_name_from_run_id
    return str(named(run.run_id, attempt))


def _location(run: DagsterRun) -> str:
    return run.remote_job_origin.location_name if run.remote_job_origin else ""


@contextmanager
def _answering() -> Iterator[None]:
    """Raises :class:`LaunchAway` if the cluster's API does not answer, :class:`Refused` if it refuses the request."""
    try:
        yield
    except (DagsterK8sAPIRetryLimitExceeded, HTTPError) as error:
        raise LaunchAway(f"the cluster's API does not answer ({error})") from None
    except DagsterK8sUnrecoverableAPIError as error:
        raise Refused(_message(error.k8s_api_exception)) from None
    except ApiException as error:
        if error.status in AWAY:
            raise LaunchAway(f"the cluster's API does not answer ({_message(error)})") from None
        raise Refused(_message(error)) from None


def _message(error: Any) -> str:
    """Returns the API's message, in one line."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason or error).strip().partition("\n")[0]
