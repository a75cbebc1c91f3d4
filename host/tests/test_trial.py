"""The trial of a run, before a deploy: a container like a run's, which says why it failed and leaves nothing behind."""

from typing import Any, cast

import docker
import pytest
import requests

from ingest_host.launch import Launch, Run, run_container
from ingest_host.trial import SECONDS, try_out
from tests.test_launch import PlayedContainer, PlayedEngine


class Tried(PlayedContainer):
    """A trial that ends with an exit code, or not in time."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__("exited", exit_code or 0)
        self.exit_code = exit_code

    def wait(self, *, timeout: int) -> dict[str, int]:
        assert timeout == SECONDS
        if self.exit_code is None:
            raise requests.exceptions.ConnectionError("Read timed out.")
        return {"StatusCode": self.exit_code}

    def reload(self) -> None:
        self.calls.append("reload")


class Engine(PlayedEngine):
    def __init__(self, exit_code: int | None) -> None:
        super().__init__()
        self.created = Tried(exit_code)
        self.left: PlayedContainer | None = None

    def get(self, name: str) -> PlayedContainer:
        assert name == "ingest-github-trial"
        if self.left is None:
            raise docker.errors.NotFound("no such container")
        return self.left


def tried(engine: Engine) -> str:
    launch = Launch(cast(docker.DockerClient, engine), "ingest")
    launch.__dict__["instance"] = "{}"
    why = try_out(launch, "github", "new")
    assert engine.created.calls[-1] == "remove"
    return why


def test_its_container_is_a_runs_in_everything_but_its_command() -> None:
    engine = Engine(0)
    assert tried(engine) == ""
    run = Run("trial", "", "github", "ingest-github:new")
    expected: dict[str, Any] = run_container("ingest", "ingest-github-trial", run, ["?"])
    assert engine.made | {"command": ["?"], "log_config": 0} == expected | {"log_config": 0}
    assert engine.made["command"] == ["python", "-m", "ingest_shared.trial", "github", "{}"]


def test_one_that_fails_says_what_it_printed_last() -> None:
    engine = Engine(1)
    engine.created.printed = b"Traceback\nSettingError: sources.github.access_token is not set\n"
    assert tried(engine).splitlines()[-1] == "SettingError: sources.github.access_token is not set"


def test_one_that_does_not_end_is_not_waited_for() -> None:
    assert tried(Engine(None)) == f"it did not end within {SECONDS} s"


@pytest.mark.parametrize("exit_code", [0, 1, None])
def test_what_a_killed_deploy_left_is_in_nobodys_way(exit_code: int | None) -> None:
    engine = Engine(exit_code)
    engine.left = PlayedContainer("running")
    tried(engine)
    assert engine.left.calls == ["remove"]
