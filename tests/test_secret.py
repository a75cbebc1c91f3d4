"""What `make secret` refuses before it asks the engine, and where the tools find the platform."""

import json
import os
import re
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
from ingest_tools.projects import Project, locations
from ingest_tools.secret import checked, settings_of

OTHERWISE = r"choose from sources\.github\.access_token, .*, load\.\*, or add it to .*locations/github/README\.md"


@pytest.mark.parametrize(
    ("location", "setting", "why"),
    [
        ("github", "", OTHERWISE),
        ("github", "sources.stripe.api_key", OTHERWISE),
        ("github", "sources.github", OTHERWISE),
        ("github", "sources.github.a/../../pgpass", OTHERWISE),
        ("github", "sources.github.token\nx", OTHERWISE),
        ("github", "destination.postgres.credentials.password", OTHERWISE),
        ("github", "destination.postgres.credentials.host", OTHERWISE),
        ("github", "runtime.log_level", OTHERWISE),
        ("github", "pgpass", OTHERWISE),
        ("github", "sources.gihub.access_token", OTHERWISE),
        ("github", "sources.github.acess_token", OTHERWISE),
        ("github", "sources.github.access_token.more", OTHERWISE),
        ("github", "alerts.too", OTHERWISE),
        ("platform", "sources.github.access_token", "platform: its only setting is alerts.to"),
    ],
)
def test_what_cannot_be_a_secret_of_the_location(location: str, setting: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        checked(location, setting)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "setting", ["sources.github.access_token", "sources.github.installation_id", "alerts.to", "load.workers"]
)
def test_what_can(setting: str) -> None:
    checked("github", setting)


def test_a_readme_may_list_all_settings_of_a_kind_or_none(tmp_path: Path) -> None:
    readme = tmp_path / "locations" / "shop" / "README.md"
    checked("shop", "sources.shop.bucket_urll", tmp_path)
    readme.parent.mkdir(parents=True)
    readme.write_text("| `sources.shop.bucket_url` | a folder |\n| `sources.shop.credentials.*` | for S3 |\n")
    checked("shop", "sources.shop.bucket_url", tmp_path)
    checked("shop", "sources.shop.credentials.aws_access_key_id", tmp_path)
    with pytest.raises(Refused):
        checked("shop", "sources.shop.bucket_urll", tmp_path)


@pytest.mark.parametrize("location", locations(), ids=lambda location: location.folder.name)
def test_a_locations_readme_lists_each_setting_that_its_code_reads(location: Project) -> None:
    name = location.folder.name
    code = "".join(file.read_text() for file in (location.folder / "src").rglob("*.py"))
    read = set(re.findall(rf'"(sources\.{name}\.[a-z_]+)"', code))
    assert read
    assert read - set(settings_of(name)) == set()


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
