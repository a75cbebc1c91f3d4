"""Each run in a container of its own, in its location's image, with that location's secrets alone."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
from dagster import DagsterRun
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher.base import LaunchRunContext, ResumeRunContext
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, RepositoryPythonOrigin
from dagster._core.storage.tags import DOCKER_IMAGE_TAG
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs
from dagster_docker import DockerRunLauncher
from dagster_docker.container_context import DockerContainerContext
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG
from docker.models.containers import Container
from docker.types import LogConfig

PROJECT_LABEL = "ingest.project"
LOCATION_LABEL = "ingest.location"
STOP_SECONDS = 60
"""Time that a run has to end in order when somebody terminates it."""


class RunRefused(Exception):
    """What a run's record says of its code is not of its location."""


class LocationRunLauncher(DockerRunLauncher):
    """dagster-docker's launcher, with everything about a container derived from the location's name.

    A location has no say in its runs' containers (`DAGSTER_CONTAINER_CONTEXT` is not read): or else
    one could mount another's secrets. A failed run's container exits with 1, so that it is told
    from others; https://docs.dagster.io/deployment/oss/deployment-options/docker
    """

    def get_container_context(self, dagster_run: DagsterRun) -> DockerContainerContext:
        """Only how long `terminate` waits; the rest is in :func:`run_container`."""
        return DockerContainerContext(container_kwargs={"stop_timeout": STOP_SECONDS})

    def launch_run(self, context: LaunchRunContext) -> None:
        self._launch(context, ExecuteRunArgs)

    def resume_run(self, context: ResumeRunContext) -> None:
        self._launch(context, ResumeRunArgs)

    def _launch(
        self, context: LaunchRunContext | ResumeRunContext, arguments: type[ExecuteRunArgs | ResumeRunArgs]
    ) -> None:
        run, origin = context.dagster_run, context.job_code_origin
        assert origin is not None
        location = location_of(run)
        image = image_of(location, origin.repository_origin)
        command = arguments(
            job_origin=origin,
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        ).get_command_args()
        client = docker.client.from_env()
        container = client.containers.create(
            image, list(command), **run_container(os.environ["INGEST_PROJECT"], location, run)
        )
        with _or_nothing_stays(container):
            self._instance.report_engine_event(
                f"Launching run in container {container.short_id} with image {image}", run, cls=self.__class__
            )
            self._instance.add_run_tags(
                run.run_id, {DOCKER_CONTAINER_ID_TAG: str(container.id), DOCKER_IMAGE_TAG: image}
            )
            container.start()


def location_of(run: DagsterRun) -> str:
    """The name of the code location whose run it is."""
    assert run.remote_job_origin is not None
    return run.remote_job_origin.location_name


def image_of(location: str, code: RepositoryPythonOrigin) -> str:
    """The image with the run's code; raises ``RunRefused`` for any code that is not the location's own.

    A run's record says both, and lies in a storage that every location may write: without this, one
    could have its own code started with another's secrets.
    """
    image, pointer = code.container_image or "", code.code_pointer
    own_image = re.fullmatch(rf"ingest-{re.escape(location)}:[\w.-]+", image)
    own_code = isinstance(pointer, ModuleCodePointer) and pointer.module == f"{location}_location.definitions"
    if own_image and own_code and code.entry_point in (None, DEFAULT_DAGSTER_ENTRY_POINT):
        return image
    raise RunRefused(f"the run is of {location}, and its code is not: {pointer.describe()} in the image {image!r}")


def run_container(project: str, location: str, run: DagsterRun) -> dict[str, Any]:
    """How a run's container is made: docker-py's arguments of ``containers.create``.

    https://docker-py.readthedocs.io/en/stable/containers.html
    """
    return {
        "name": f"{project}-{location}-run-{run.run_id[:8]}-{os.urandom(2).hex()}",
        "labels": {
            PROJECT_LABEL: project,
            LOCATION_LABEL: location,
            "dagster/run_id": run.run_id,
            "dagster/job_name": run.job_name,
        },
        "environment": {
            "INGEST_SECRET_COMMAND": f"make secret LOCATION={location} NAME={{setting}}",
            "PGSERVICEFILE": "/run/secrets/pg_service.conf",
            "DLT_DATA_DIR": "/var/lib/ingest",
            "INGEST_DESTINATION": "postgres",
            "DESTINATION__POSTGRES__CREDENTIALS__HOST": "postgres",
            "DESTINATION__POSTGRES__CREDENTIALS__DATABASE": "warehouse",
            "DESTINATION__POSTGRES__CREDENTIALS__USERNAME": location,
            "DAGSTER_RUN_JOB_NAME": run.job_name,
        },
        "network": f"{project}_{location}",
        "volumes": [
            f"{project}_{location}-secrets:/run/secrets:ro",
            f"{project}_compute-logs:/var/log/dagster",
            "/var/lib/ingest",  # of its own, removed with the container: what dlt stages need not fit into memory
        ],
        "read_only": True,
        "tmpfs": {"/tmp": "size=256m"},  # noqa: S108, in the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "mem_limit": "2g",
        "pids_limit": 256,
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
    }


@contextmanager
def _or_nothing_stays(container: Container) -> Iterator[None]:
    """Removes the container where the launch fails: Dagster fails the run then, so it must not go on."""
    try:
        yield
    except Exception:
        with suppress(docker.errors.APIError):
            container.remove(v=True, force=True)
        raise
