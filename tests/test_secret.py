"""What `make secret` refuses before it asks the engine, and where the tools find the platform."""

import json
import os
import shutil
import subprocess
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from ingest_tools import audit
from ingest_tools.cli import main
from ingest_tools.dagster_api import Platform
from ingest_tools.engine import Deployment
from ingest_tools.local import Refused
from ingest_tools.secret import checked


@pytest.mark.parametrize(
    ("location", "setting", "why"),
    [
        ("github", "", "begin with sources.github."),
        ("github", "sources.stripe.api_key", "begin with sources.github."),
        ("github", "sources.github", "begin with sources.github."),
        ("github", "sources.github.a/../../pgpass", "begin with sources.github."),
        ("github", "sources.github.token\nx", "begin with sources.github."),
        ("github", "destination.postgres.credentials.password", "begin with sources.github."),
        ("github", "destination.postgres.credentials.host", "begin with sources.github."),
        ("github", "runtime.log_level", "begin with sources.github."),
        ("github", "pgpass", "begin with sources.github."),
        ("github", "sources.gihub.access_token", "begin with sources.github."),
        ("platform", "sources.github.access_token", "platform: its only setting is alerts.to"),
    ],
)
def test_what_cannot_be_a_secret_of_the_location(location: str, setting: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        checked(location, setting)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("setting", ["sources.github.access_token", "alerts.to", "load.workers"])
def test_what_can(setting: str) -> None:
    checked("github", setting)


def test_the_platform_has_addresses_of_its_own() -> None:
    checked("platform", "alerts.to")


def test_a_secret_is_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not is refused before the engine is asked."""
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"\xff\xfe"), "utf-8"))
    monkeypatch.setattr(audit, "record", lambda *_, **__: None)
    assert main(["secret", "github", "sources.github.access_token"]) == 1
    assert capsys.readouterr().err == "standard input is not UTF-8 text: nothing was stored\n"


ENV = """# ours
PLAIN=8080
  export INDENTED = 1
DOUBLE="a b # c"
SINGLE='x=y' # said
COMMENT=value # said
HASH=a#b=
EMPTY=
#OFF=1
"""
NAMES = ("PLAIN", "INDENTED", "DOUBLE", "SINGLE", "COMMENT", "HASH", "EMPTY", "OFF")


@pytest.mark.skipif(shutil.which("docker") is None, reason="Docker Compose is not installed")
def test_a_line_of_env_means_what_it_means_to_compose(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(ENV)
    (tmp_path / "compose.yaml").write_text(json.dumps({"x-read": {name: f"${{{name}:-}}" for name in NAMES}}))
    command = ["docker", "compose", "config", "--format=json"]
    told = subprocess.run(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, check=True)
    read = Deployment(env_file=tmp_path / ".env").remembered()
    assert {name: read.get(name, "") for name in NAMES} == json.loads(told.stdout)["x-read"]


@pytest.mark.parametrize("line", ["down", "deploy github", "audit"])
def test_a_machine_without_docker_is_told_to_install_it(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(Platform, "locations", lambda _: {})
    assert main(line.split()) == 1
    assert capsys.readouterr().err.endswith("docker is not installed: install Docker Engine with Compose\n")


def test_the_tools_read_what_compose_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command in the environment comes first, `.env` second."""
    monkeypatch.delenv("INGEST_PORT", raising=False)
    (tmp_path / ".env").write_text("# ours\nINGEST_PORT=8080\n")
    deployment = Deployment(env_file=tmp_path / ".env")
    assert deployment.platform.url == "http://127.0.0.1:8080"
    monkeypatch.setenv("INGEST_PORT", "9090")
    assert deployment.platform.url == "http://127.0.0.1:9090"
    assert Deployment(env_file=tmp_path / "none").platform.url == "http://127.0.0.1:9090"
    monkeypatch.delenv("INGEST_PORT")
    assert Deployment(env_file=tmp_path / "none").platform.url == "http://127.0.0.1:3000"
