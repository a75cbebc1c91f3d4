"""First set-up, on a real PostgreSQL: what it creates, that it can run again, and what it refuses."""

import configparser
import stat
from pathlib import Path

import pytest

from ingest_host import roles, setup

from .conftest import Platform, run


def files(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def service(folder: Path) -> dict[str, str]:
    """Returns how libpq signs in with the folder mounted."""
    read = configparser.RawConfigParser()
    read.read(folder / setup.SERVICE)
    return dict(read["dagster"])


def test_everything_may_run_again(platform: Platform) -> None:
    """What exists is kept: passwords and rows."""
    name = platform.location()
    platform.sql(name, f"CREATE TABLE {name}_raw.items AS SELECT 1 AS id")
    before = files(platform.folder)
    for _ in range(2):
        run("secrets")
        run("platform")
        run("location", name)
    assert files(platform.folder) == before
    assert platform.sql(name, f"SELECT id FROM {name}_raw.items") == [(1,)]


def test_the_passwords_are_made_here_and_are_all_different(platform: Platform) -> None:
    platform.location("first")
    platform.location("second")
    found = files(platform.folder)
    passwords = {text for name, text in found.items() if name.endswith("password")}
    passwords |= {service(platform.folder / name / "runs")["password"] for name in ("first", "second")}
    assert len(passwords) == 7 + 2 * 2
    assert min(map(len, passwords)) > 40


def test_each_container_signs_in_to_dagsters_storage_as_what_it_is(platform: Platform) -> None:
    """libpq reads the login from a file, and dagster.yaml is the same everywhere."""
    name = platform.location()
    assert service(platform.folder / "dagster")["user"] == "dagster"
    runs, server = (service(platform.folder / name / folder) for folder in ("runs", "server"))
    assert runs == server
    assert (runs["user"], runs["dbname"]) == (f"dagster-{name}", "dagster")


def test_the_one_password_of_an_older_platform_is_replaced(platform: Platform) -> None:
    """Every location had it."""
    name = platform.location()
    old = (roles.PLATFORM / "dagster-password").read_text()
    folders = (platform.folder / "dagster", setup.RUNS, setup.SERVER)
    for folder in folders:
        (folder / "pgpass").write_text(old)
    run("secrets")
    run("platform")
    run("location", name)
    assert not [folder for folder in folders if (folder / "pgpass").exists()]
    assert (roles.PLATFORM / "dagster-password").read_text() != old
    assert service(platform.folder / "dagster")["password"] != old
    assert platform.sql("dagster", "SELECT current_user", "dagster") == [("dagster",)]


def test_the_platforms_password_of_an_older_platform_is_replaced(platform: Platform) -> None:
    """It was next to the superuser's, where the set-up of every location read it."""
    old = roles.PLATFORM / "platform-password"
    roles.password_file("platform").rename(old)
    before = old.read_text()
    run("secrets")
    run("platform")
    assert not old.exists()
    assert roles.password_file("platform").read_text() != before
    assert platform.sql("platform", "SELECT current_user") == [("platform",)]


def test_file_modes(platform: Platform) -> None:
    """What another container's user must read is in its own volume; nobody else can read anything."""
    name = platform.location()
    run("secret", name, f"sources.{name}.token", given=b"one")
    run("secret", name, f"sources.{name}.token", given=b"two")  # replaces a file that is not writable
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in platform.folder.rglob("*") if file.is_file()}
    secret = {file: mode for file, mode in modes.items() if file.suffix != ".yaml"}
    assert {mode for file, mode in secret.items() if file.parent.name == "platform"} == {0o444}
    assert {mode for file, mode in secret.items() if file.parent.name != "platform"} == {0o400}


def test_the_workspace_is_served(platform: Platform) -> None:
    (platform.folder / "workspace.yaml").write_text("load_from: [new]\n")
    run("platform")
    assert (platform.folder / "served" / "workspace.yaml").read_text() == "load_from: [new]\n"


# Secrets of a location


def test_a_secret_is_stored_where_dlt_looks(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    name = platform.location()
    run("secret", name, f"sources.{name}.access_token", given=b" token\n")
    assert (platform.folder / name / "runs" / f"sources--{name}--access-token").read_text() == "token"
    assert capsys.readouterr().out == f"{name}: sources.{name}.access_token is stored; the next run reads it\n"


def test_an_alerts_secret_is_the_code_servers(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    name = platform.location()
    runs = files(platform.folder / name / "runs")
    run("secret", name, "alerts.to", given=b"https://example.com/hook")
    assert files(platform.folder / name / "server")["alerts--to"] == "https://example.com/hook"
    assert files(platform.folder / name / "runs") == runs
    assert "the next alert reads it" in capsys.readouterr().out


def test_a_setting_with_a_bad_name_is_refused(platform: Platform) -> None:
    name = platform.location()
    before = files(platform.folder)
    for setting in ("token", "", "Sources.x", "sources..x", "../x.y", "a.b/c", "a.b\n", "sources.x."):
        with pytest.raises(SystemExit) as error:
            run("secret", name, setting, given=b"value")
        assert str(error.value) == f"{setting!r} is not a setting: write it as sources.{name}.access_token"
        assert files(platform.folder) == before


@pytest.mark.parametrize(
    ("given", "why"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "is not UTF-8 text")]
)
def test_what_is_no_secret_changes_nothing(platform: Platform, given: bytes, why: str) -> None:
    name = platform.location()
    run("secret", name, "sources.x.token", given=b"good")
    before = files(platform.folder)
    with pytest.raises(SystemExit, match=rf"{why}.*: sources.x.token was not changed") as error:
        run("secret", name, "sources.x.token", given=given)
    assert "\n" not in str(error.value)
    assert files(platform.folder) == before


def test_a_write_that_fails_leaves_the_old_secret(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a half-written file has no name that dlt reads, nor is it in the way later."""
    name = platform.location()
    run("secret", name, "sources.x.token", given=b"good")

    def full(file: Path, text: str) -> None:
        file.write_bytes(text[:1].encode())
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            run("secret", name, "sources.x.token", given=b"better")
    assert (platform.folder / name / "runs" / "sources--x--token").read_text() == "good"
    run("secret", name, "sources.x.token", given=b"better")
    assert (platform.folder / name / "runs" / "sources--x--token").read_text() == "better"
    assert not list(platform.folder.rglob("*.new"))


@pytest.mark.parametrize(
    "name",
    ["", "Git", "a-b", "9a", "a b", "../x", "a\n", "pg_x", "a_raw", "postgres", "dagster", "analyst", "platform"],
)
def test_a_location_with_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(SystemExit, match="is not a valid location name"):
        run("location", name)


@pytest.mark.parametrize("command", [[], ["all"], ["location"], ["secret", "github"], ["secrets", "github"]])
def test_a_command_that_makes_no_sense_is_refused_in_one_line(command: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"^choose one of secrets, platform, location, [^\n]*$"):
        run(*command)


# The sandbox


@pytest.fixture
def sandboxed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> str:
    """A location that is pointed at the sandbox."""
    name = platform.location()
    monkeypatch.setenv(f"SOURCES__{name.upper()}__API_URL", "http://sandbox:8099")
    monkeypatch.setenv(f"SOURCES__{name.upper()}__ACCESS_TOKEN", "sandbox-token")
    run("sandbox", name)
    return name


def sources(platform: Platform, name: str) -> dict[str, str]:
    prefix = f"sources--{name}--"
    found = files(platform.folder / name / "runs").items()
    return {file.removeprefix(prefix): text for file, text in found if file.startswith(prefix)}


def test_the_sandbox_is_entered_and_left(platform: Platform, sandboxed: str) -> None:
    pointed = {"api-url": "http://sandbox:8099", "access-token": "sandbox-token"}
    assert sources(platform, sandboxed) == pointed
    run("sandbox", sandboxed)
    assert sources(platform, sandboxed) == pointed
    run("location", sandboxed)  # `up` without the profile
    assert sources(platform, sandboxed) == {}
    assert not (setup.RUNS / setup.SANDBOX).exists()
    run("sandbox", sandboxed)
    assert sources(platform, sandboxed) == pointed


def test_an_own_credential_leaves_the_sandbox_for_good(
    platform: Platform, sandboxed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("secret", sandboxed, f"sources.{sandboxed}.access_token", given=b"real")
    assert sources(platform, sandboxed) == {"access-token": "real"}
    run("location", sandboxed)
    run("sandbox", sandboxed)
    assert sources(platform, sandboxed) == {"access-token": "real"}
    assert "keeps its own settings" in capsys.readouterr().out


def test_an_alerts_channel_does_not_leave_the_sandbox(platform: Platform, sandboxed: str) -> None:
    run("secret", sandboxed, "alerts.to", given=b"https://example.com/hook")
    assert sources(platform, sandboxed).keys() == {"api-url", "access-token"}
