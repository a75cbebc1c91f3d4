"""A run's container: what it is made with, and that nothing of it stays where it cannot start."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from dagster import DagsterInstance, DagsterRun
from dagster._core.code_pointer import FileCodePointer, ModuleCodePointer
from dagster._core.launcher.base import LaunchRunContext, ResumeRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG

from ingest_host.launcher import STOP_SECONDS, LocationRunLauncher, RunRefused, location_of, run_container

SERVICE = Path(__file__).parents[2] / "locations" / "service.yaml"
IMAGE = "ingest-github:1a2b3c"
CANARY = "canary-5d0c7e"


class PlayedContainer:
    """What the launcher asks of a container it made."""

    id = "0123456789abcdef"
    short_id = "0123456789"

    def __init__(self, problem: Exception | None) -> None:
        self.problem = problem
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")
        if self.problem:
            raise self.problem

    def remove(self, *, v: bool, force: bool) -> None:
        assert v
        assert force
        self.calls.append("remove")


class PlayedEngine:
    """Takes the one call that the launcher makes."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.containers = self
        self.container = PlayedContainer(problem)
        self.made: dict[str, Any] = {}

    def create(self, image: str, command: list[str], **arguments: Any) -> PlayedContainer:
        self.made = {"image": image, "command": command, **arguments}
        return self.container


@pytest.fixture
def launcher() -> Iterator[LocationRunLauncher]:
    launcher = LocationRunLauncher()
    with DagsterInstance.local_temp() as instance:
        launcher.register_instance(instance)
        yield launcher


@pytest.fixture
def run(launcher: LocationRunLauncher, monkeypatch: pytest.MonkeyPatch) -> DagsterRun:
    """A run of github's, launched by a daemon whose environment holds what no run may see."""
    monkeypatch.setenv("INGEST_PROJECT", "ingest")
    monkeypatch.setenv("DAEMONS_OWN", CANARY)
    server = GrpcServerCodeLocationOrigin(host="github", port=4000, location_name="github")
    context = {"docker": {"env_vars": [f"THEIRS={CANARY}"], "container_kwargs": {"volumes": ["/:/host"]}}}
    code = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=ModuleCodePointer("github_location.definitions", "defs"),
        container_image=IMAGE,
        container_context=context,
    )
    made: DagsterRun = create_run_for_test(
        launcher._instance,
        "github_ingest",
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(server, "__repository__"), "github_ingest"),
        job_code_origin=JobPythonOrigin("github_ingest", code),
    )
    return made


def launch(
    launcher: LocationRunLauncher, run: DagsterRun, patch: pytest.MonkeyPatch, problem: Exception | None = None
) -> PlayedEngine:
    engine = PlayedEngine(problem)
    patch.setattr(docker.client, "from_env", lambda: engine)
    launcher.launch_run(LaunchRunContext(run, workspace=None))
    return engine


def test_a_run_has_what_belongs_to_its_location_alone(run: DagsterRun) -> None:
    made = run_container("ingest", location_of(run), run)
    assert made["network"] == "ingest_github"
    assert made["volumes"] == [
        "ingest_github-secrets:/run/secrets:ro",
        "ingest_compute-logs:/var/log/dagster",
        "/var/lib/ingest",
    ]
    assert made["environment"]["DESTINATION__POSTGRES__CREDENTIALS__USERNAME"] == "github"
    assert made["environment"]["INGEST_SECRET_COMMAND"] == "make secret LOCATION=github NAME={setting}"
    assert made["name"].startswith(f"ingest-github-run-{run.run_id[:8]}-")


def test_the_catalogue_names_the_warehouse_that_runs_load_into(run: DagsterRun) -> None:
    """It is the code server that makes the catalogue."""
    server = yaml.safe_load(SERVICE.read_text())["services"]["server"]
    made = run_container("ingest", "github", run)
    assert server["environment"]["INGEST_DESTINATION"] == made["environment"]["INGEST_DESTINATION"]


def test_no_container_is_called_like_another(run: DagsterRun) -> None:
    """A run that is resumed has a second one."""
    assert run_container("ingest", "github", run)["name"] != run_container("ingest", "github", run)["name"]


def test_a_run_can_do_nothing_to_the_machine(run: DagsterRun) -> None:
    made = run_container("ingest", "github", run)
    assert made["read_only"]
    assert made["init"]
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges:true"]
    assert made["mem_limit"] == "2g"
    assert made["pids_limit"] > 0
    assert made["log_config"].config == {"max-size": "10m", "max-file": "3"}
    assert not {"privileged", "cap_add", "devices", "user", "ports", "network_mode", "pid_mode"} & made.keys()
    assert not [volume for volume in made["volumes"] if volume.startswith("/") and ":" in volume]


def test_what_the_engine_is_told_holds_no_secret_and_nothing_the_location_asked_for(
    launcher: LocationRunLauncher, run: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = launch(launcher, run, monkeypatch).made
    assert made["image"] == IMAGE
    assert {name: value for name, value in made.items() if name not in ("image", "command", "name", "log_config")} == {
        name: value
        for name, value in run_container("ingest", "github", run).items()
        if name not in ("name", "log_config")
    }
    told = {name: value for name, value in made.items() if name != "command"}
    assert CANARY not in str(told)
    assert CANARY in os.environ["DAEMONS_OWN"]
    assert not [name for name in made["environment"] if "PASSWORD" in name or "TOKEN" in name or "KEY" in name]


def test_the_run_knows_its_container_before_it_starts(
    launcher: LocationRunLauncher, run: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else nobody could stop it."""
    engine = launch(launcher, run, monkeypatch)
    assert engine.container.calls == ["start"]
    stored = launcher._instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.tags[DOCKER_CONTAINER_ID_TAG] == PlayedContainer.id
    assert stored.tags["dagster/image"] == IMAGE
    assert launcher.get_container_context(run).container_kwargs == {"stop_timeout": STOP_SECONDS}


@pytest.mark.parametrize("command", ["execute_run", "resume_run"])
def test_a_failed_run_exits_with_one(
    launcher: LocationRunLauncher, run: DagsterRun, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    engine = PlayedEngine()
    monkeypatch.setattr(docker.client, "from_env", lambda: engine)
    if command == "execute_run":
        launcher.launch_run(LaunchRunContext(run, workspace=None))
    else:
        launcher.resume_run(ResumeRunContext(run, workspace=None))
    *_, verb, arguments = engine.made["command"]
    assert verb == command
    assert '"set_exit_code_on_failure": true' in arguments


FORGED = {
    "another location's image": {"container_image": "ingest-stripe:1a2b3c"},
    "an image that begins alike": {"container_image": "ingest-github-evil:1a2b3c"},
    "no image": {"container_image": None},
    "another module": {"code_pointer": ModuleCodePointer("stripe_location.definitions", "defs")},
    "a file that others can write": {"code_pointer": FileCodePointer("/var/log/dagster/evil.py", "defs")},
    "another program": {"entry_point": ["sh"]},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_no_other_code_gets_the_secrets_of_a_location(
    launcher: LocationRunLauncher, run: DagsterRun, monkeypatch: pytest.MonkeyPatch, forged: dict[str, Any]
) -> None:
    assert run.job_code_origin
    code = run.job_code_origin.repository_origin._replace(**forged)
    forgery = run._replace(job_code_origin=JobPythonOrigin("github_ingest", code))
    engine = PlayedEngine()
    monkeypatch.setattr(docker.client, "from_env", lambda: engine)
    with pytest.raises(RunRefused, match="the run is of github, and its code is not"):
        launcher.launch_run(LaunchRunContext(forgery, workspace=None))
    assert engine.made == {}


@pytest.mark.parametrize("problem", [docker.errors.APIError("no such network"), OSError("the engine is gone")])
def test_where_it_cannot_start_nothing_of_it_stays(
    launcher: LocationRunLauncher, run: DagsterRun, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    engine = PlayedEngine(problem)
    monkeypatch.setattr(docker.client, "from_env", lambda: engine)
    with pytest.raises(type(problem), match=str(problem)):
        launcher.launch_run(LaunchRunContext(run, workspace=None))
    assert engine.container.calls == ["start", "remove"]
