"""What `make secret` refuses before it asks the engine, and where the tools find the platform."""

from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from ingest_tools import audit
from ingest_tools.cli import main
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
