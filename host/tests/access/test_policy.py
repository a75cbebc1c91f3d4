"""What `access.yaml` may contain, and the one-line error for anything else."""

import logging
import os
from itertools import pairwise
from pathlib import Path

import pytest
from dagster._core.workspace.permissions import LOCATION_SCOPED_PERMISSIONS, Permissions

from ingest_host.access.activate import activate, store_client_secret
from ingest_host.access.policy import PERMISSIONS, AccessError, Grant, OpenID, Role, Viewer, read
from ingest_host.access.settings import Settings

OPENID = "url: https://ingest.example.com\nlogin: {openid: {issuer: 'https://login.example.com/', client_id: ingest}}\n"
EVERYWHERE = "0.0.0.0"  # noqa: S104
DIGEST = "a" * 64
TOKEN = f"{{name: ci, sha256: {DIGEST}, role: viewer, ends: 2099-01-01}}"


def test_all_of_it() -> None:
    access = read(
        OPENID
        + "groups: {data: admin, analysts: viewer, team: {editor: [github], launcher: [stripe]}}\n"
        + f"tokens: [{{name: ci, sha256: {DIGEST}, role: {{launcher: [github]}}, ends: 2099-01-31}}]\n"
    )
    assert access.login == OpenID("https://login.example.com", "ingest")
    assert access.grants_of(["team", "unknown"]) == (
        Grant(Role.EDITOR, frozenset({"github"})),
        Grant(Role.LAUNCHER, frozenset({"stripe"})),
    )
    assert access.tokens[0].grants == (Grant(Role.LAUNCHER, frozenset({"github"})),)


def test_an_empty_file_gives_nobody_a_role() -> None:
    assert read("").groups == {}
    assert read("groups:\ntokens:\n").tokens == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("groups: [", "is not YAML"),
        ("- a", "must be a mapping"),
        ("group: {}", "has no setting group"),
        ("groups: {a: owner}", "groups.a has the role 'owner': choose one of viewer, launcher, editor, admin"),
        ("groups: {a: {editor: github}}", "groups.a.editor must be a list"),
        ("groups: {a: {editor: []}}", "groups.a.editor must list locations"),
        ("groups: {a: {editor: ['*']}}", "groups.a.editor must list locations"),
        ("groups: {a: {viewer: [github]}}", "write `groups.a: viewer`"),
        ("groups: {a: {admin: [github]}}", "write `groups.a: admin`"),
        ("login: {openid: {issuer: 'https://x', client_id: y}}", "needs `url`"),
        ("url: https://a\nlogin: {openid: {issuer: 'http://x.example', client_id: y}}", "must be an https:// address"),
        ("url: https://a\nlogin: {openid: {client_id: y}}", "login.openid lacks issuer"),
        ("url: https://a\nlogin: {openid: {issuer: 'https://x', client_id: y, secret: z}}", "has no setting secret"),
        ("login: {ldap: {}}", "must be either `openid` or `proxy`"),
        ("login: yes", "must be either `openid` or `proxy`"),
        ("login: {proxy: {peers: [], user_header: X-U, groups_header: X-G}}", "peers is empty"),
        ("login: {proxy: {peers: ['0.0.0.0/0'], user_header: X-U, groups_header: X-G}}", "anybody could"),
        ("login: {proxy: {peers: [proxy], user_header: X-U, groups_header: X-G}}", "is not an IP address"),
        ("login: {proxy: {peers: [1.2.3.4], user_header: 'X U', groups_header: X-G}}", "not a header name"),
        ("url: ingest.example.com", "write it as https://ingest.example.com"),
        ("url: https://ingest.example.com/path", "write it as https://ingest.example.com"),
        ("tls: self-signed", "write internal, or leave it out for acme"),
        ("tokens: [{name: ci}]", "a token lacks sha256, role, ends"),
        (f"tokens: [{{name: ci, sha256: {DIGEST}, role: viewer, ends: soon}}]", "write a day as 2027-01-31"),
        ("tokens: [{name: ci, sha256: secret, role: viewer, ends: 2099-01-01}]", "make a token with `make token"),
        (
            f"tokens: [{', '.join([f'{{name: ci, sha256: {DIGEST}, role: viewer, ends: 2099-01-01}}'] * 2)}]",
            "two tokens",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_line(text: str, told: str) -> None:
    with pytest.raises(AccessError) as error:
        read(text)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_each_role_may_what_the_one_before_may() -> None:
    sets = [PERMISSIONS[role] for role in Role]
    assert all(smaller < larger for smaller, larger in pairwise(sets))


def test_a_role_in_a_location_reaches_no_further() -> None:
    """And a launcher gets no permission of a new Dagster version unnoticed."""
    viewer = Viewer("a", "token", (Grant(Role.EDITOR, frozenset({"github"})),))
    for permission in Permissions:
        assert not viewer.may(permission, "stripe")
        assert not viewer.may(permission, None)
        assert viewer.may(permission, "github") == (permission in PERMISSIONS[Role.EDITOR])
    assert PERMISSIONS[Role.EDITOR] <= LOCATION_SCOPED_PERMISSIONS
    assert {one.value for one in PERMISSIONS[Role.LAUNCHER]} == {
        "launch_pipeline_execution",
        "launch_pipeline_reexecution",
        "terminate_pipeline_execution",
        "launch_partition_backfill",
        "cancel_partition_backfill",
    }


# What is active


@pytest.mark.parametrize("host", [EVERYWHERE, "192.168.1.5", "::", "ingest.example.com"])
def test_beyond_the_loopback_there_must_be_a_login(tmp_path: Path, host: str) -> None:
    file = tmp_path / "access.yaml"
    file.touch()
    with pytest.raises(AccessError, match=rf"INGEST_HOST={host} .* no `login`.*make access"):
        Settings(file, host=host).load()
    file.write_text(OPENID)
    assert Settings(file, host=host).load().login


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_on_the_loopback_there_need_not(tmp_path: Path, host: str) -> None:
    settings = Settings(tmp_path / "access.yaml", host=host)
    settings.file.touch()
    assert "no login" in settings.describe(settings.load())


def test_a_file_that_is_gone_opens_nothing(tmp_path: Path) -> None:
    file = tmp_path / "access.yaml"
    with pytest.raises(AccessError, match="run `make access`"):
        Settings(file, host="127.0.0.1").load()
    file.write_text(OPENID)
    settings = Settings(file, host="127.0.0.1")
    assert settings.load().login
    file.unlink()
    assert settings.load().login


def test_a_file_that_is_not_valid_leaves_the_one_before_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "access.yaml"
    settings = Settings(file, host=EVERYWHERE)
    for after, text in enumerate((OPENID + "groups: {a: viewer}", "groups: [", "groups: {a: admin}")):
        file.write_text(text)
        os.utime(file, ns=(after, after + 1))
        with caplog.at_level(logging.ERROR):
            assert settings.load().grants_of(["a"]) == (Grant(Role.VIEWER),)
            settings.load()
    assert len(caplog.records) == 2


def test_only_a_valid_file_is_activated(tmp_path: Path) -> None:
    given, active = tmp_path / "given.yaml", tmp_path / "active.yaml"
    given.write_text(OPENID)
    assert activate(given, active) == "login at https://login.example.com; the UI is at https://ingest.example.com"
    given.write_text("groups: [")
    with pytest.raises(SystemExit, match="not YAML"):
        activate(given, active)
    assert active.read_text() == OPENID


@pytest.mark.parametrize(("setting", "issuer"), [("", "acme"), ("tls: internal\n", "internal")])
def test_the_name_and_the_issuer_of_the_certificate_are_activated(tmp_path: Path, setting: str, issuer: str) -> None:
    given, active, tls = tmp_path / "given.yaml", tmp_path / "active.yaml", tmp_path / "tls.env"
    given.write_text(OPENID + setting)
    activate(given, active)
    assert tls.read_text() == f"UI_URL=https://ingest.example.com\nUI_HOST=ingest.example.com\nUI_ISSUER={issuer}\n"
    given.write_text(OPENID.replace("https://ingest", "http://ingest"))
    activate(given, active)
    assert not tls.exists()


def test_an_https_address_needs_a_login(tmp_path: Path) -> None:
    """The service `tls` publishes it."""
    given, active = tmp_path / "given.yaml", tmp_path / "active.yaml"
    given.write_text("url: https://localhost\n")
    with pytest.raises(SystemExit, match=r"url is https://localhost, .* no `login`: [^\n]*$"):
        activate(given, active)
    assert not list(tmp_path.glob("*.env"))


def test_a_client_secret_is_its_owners(tmp_path: Path) -> None:
    store_client_secret("s3cret\n", tmp_path)
    assert (tmp_path / "client-secret").stat().st_mode & 0o777 == 0o400
    assert Settings(tmp_path / "access.yaml", secrets=tmp_path).client_secret == "s3cret"
    with pytest.raises(SystemExit, match="was not changed"):
        store_client_secret(" ", tmp_path)
