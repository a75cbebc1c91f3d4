"""What `make token` writes into `access.yaml`, and what the file of this repository says."""

import hashlib
from datetime import date
from pathlib import Path

import pytest

from ingest_tools import access
from ingest_tools.access import make_token, revoke_token
from ingest_tools.engine import Deployment
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT

FILE = "# ours\ngroups:\n  data: admin\ntokens: []\n"
ENDS = date(2027, 2, 22)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "access.yaml"
    file.write_text(FILE)
    return file


def made(file: Path, name: str = "ci", role: str = "editor", locations: str = "github") -> str:
    return make_token(file, name, role, locations.split(), ENDS)


def test_a_token_is_shown_once_and_its_digest_kept(file: Path) -> None:
    token = made(file)
    digest = hashlib.sha256(token.encode()).hexdigest()
    entry = f"  - {{name: ci, role: {{editor: [github]}}, ends: 2027-02-22, sha256: {digest}}}\n"
    assert file.read_text() == FILE.replace("tokens: []\n", f"tokens:\n{entry}")
    assert len(token) > 40


def test_a_revoked_token_leaves_no_trace_and_the_others_stay(file: Path) -> None:
    made(file, "ci")
    before = file.read_text()
    made(file, "script", "viewer", "")
    assert "name: script, role: viewer, ends" in file.read_text()
    revoke_token(file, "script")
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": ""}, "'' is not a valid token name"),
        ({"name": "a b"}, "'a b' is not a valid token name"),
        ({"name": "ci, role: admin"}, "'ci, role: admin' is not a valid token name"),
        ({"role": "viewer"}, "leave out --location"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_written(file: Path, settings: dict[str, str], told: str) -> None:
    with pytest.raises(Refused) as refused:
        made(file, **settings)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert file.read_text() == FILE


def test_no_name_is_taken_twice_and_none_revoked_that_is_not_there(file: Path) -> None:
    made(file)
    with pytest.raises(Refused, match="revoke it with `ingest token ci --revoke`"):
        made(file)
    with pytest.raises(Refused, match=r"has no token 'c\.'"):
        revoke_token(file, "c.")


def test_a_file_without_a_list_is_told(tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text("groups: {}\n")
    with pytest.raises(Refused, match="has no line `tokens:`"):
        made(tmp_path / "access.yaml")


def test_the_file_of_this_repository_opens_nothing() -> None:
    text = (ROOT / access.FILE).read_text()
    assert text.endswith("tokens: []\n")
    assert "\nlogin:" not in text


def test_the_tools_bring_the_token_that_env_or_the_environment_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INGEST_TOKEN", raising=False)
    (tmp_path / ".env").write_text("INGEST_TOKEN=from-file\nINGEST_HOST=0.0.0.0\n")
    deployment = Deployment(env_file=tmp_path / ".env")
    assert deployment.platform.token == "from-file"
    assert deployment.platform.url.startswith("http://127.0.0.1:")
    assert "from-file" not in repr(deployment.platform)
    monkeypatch.setenv("INGEST_TOKEN", "from-environment")
    assert deployment.platform.token == "from-environment"
