"""First set-up, on a real PostgreSQL: what it makes, that it may run again, and what it refuses."""

import io
import itertools
import multiprocessing
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection

from ingest_host import setup

PASSWORD = "destination--postgres--credentials--password"
MANY = 8
_unused = itertools.count()


@dataclass
class Platform:
    """Folders in place of the volumes, and the database server."""

    folder: Path
    postgres: str
    patch: pytest.MonkeyPatch

    def connect(self, database: str, user: str = "postgres", password: str = "") -> connection:
        opened: connection = psycopg2.connect(host=self.postgres, user=user, password=password, dbname=database)
        opened.autocommit = True
        return opened

    def enter(self, location: str) -> Path:
        """Mounts a location's volumes, as its one-shot services do."""
        for name in ("runs", "server"):
            (self.folder / location / name).mkdir(parents=True, exist_ok=True)
            self.patch.setattr(setup, name.upper(), self.folder / location / name)
        return self.folder / location

    def location(self, name: str = "") -> str:
        name = name or f"source{next(_unused)}"
        self.enter(name)
        run("location", name)
        return name

    def sql(self, role: str, statement: str, database: str = "warehouse") -> list[tuple[Any, ...]]:
        """Rows of a statement, or none, as a role that signs in with its own password."""
        stored = self.folder / "platform" / f"{role}-password"
        password = stored if stored.exists() else self.folder / role / "runs" / PASSWORD
        with closing(self.connect(database, role, password.read_text())) as opened, opened.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def platform(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """After `setup secrets` and `setup platform`."""
    for name in ("platform", "dagster", "served"):
        (tmp_path / name).mkdir()
    (tmp_path / "workspace.yaml").write_text("load_from: []\n")
    made = Platform(tmp_path, postgres, monkeypatch)
    monkeypatch.setattr(setup, "PLATFORM", tmp_path / "platform")
    monkeypatch.setattr(setup, "DAGSTER", tmp_path / "dagster")
    monkeypatch.setattr(setup, "WORKSPACE", tmp_path / "workspace.yaml")
    monkeypatch.setattr(setup, "SERVED_WORKSPACE", tmp_path / "served" / "workspace.yaml")
    monkeypatch.setattr(setup, "_connect", made.connect)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)  # Dagster makes its tables by itself
    run("secrets")
    run("platform")
    return made


def run(*arguments: str, given: bytes = b"") -> None:
    """The command as a one-shot service gives it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["setup", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert setup.main() == 0


@contextmanager
def refused(why: str) -> Iterator[None]:
    with pytest.raises(psycopg2.Error, match=why):
        yield


def files(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_everything_may_run_again(platform: Platform) -> None:
    """What is there stays: passwords, and rows."""
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
    passwords = [text for name, text in found.items() if name.endswith("password")]
    assert len(passwords) == len(set(passwords)) == 5
    assert min(map(len, passwords)) > 40


def test_the_roles_sign_in_with_their_passwords_alone(platform: Platform) -> None:
    name = platform.location()
    assert platform.sql("dagster", "SELECT current_user", "dagster") == [("dagster",)]
    assert platform.sql("analyst", "SELECT current_user") == [("analyst",)]
    assert platform.sql(name, "SELECT current_user") == [(name,)]
    with refused("password authentication failed"):
        platform.connect("warehouse", name, "guessed")


def test_postgres_never_sees_a_password(platform: Platform) -> None:
    """It would stand in its log where a statement fails."""
    seen = []
    with closing(platform.connect("warehouse")) as warehouse:
        setup._role(warehouse, "seen", "never-sent")
        with warehouse.cursor() as cursor:
            cursor.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'seen'")
            seen += cursor.fetchall()
            cursor.execute("DROP ROLE seen")
    ((stored,),) = seen
    assert stored.startswith("SCRAM-SHA-256$")


def test_libpq_takes_dagsters_password_from_a_file(platform: Platform) -> None:
    name = platform.location()
    password = (platform.folder / "platform" / "dagster-password").read_text()
    for folder in ("dagster", f"{name}/runs", f"{name}/server"):
        assert (platform.folder / folder / "pgpass").read_text() == f"postgres:5432:dagster:dagster:{password}\n"


def test_file_modes(platform: Platform) -> None:
    """What another container's user must read is in a volume of its own; nothing else is for others."""
    name = platform.location()
    run("secret", name, f"sources.{name}.token", given=b"one")
    run("secret", name, f"sources.{name}.token", given=b"two")  # over a file that cannot be written to
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in platform.folder.rglob("*") if file.is_file()}
    secret = {file: mode for file, mode in modes.items() if "workspace" not in file.name}
    assert {mode for file, mode in secret.items() if file.parent.name == "platform"} == {0o444}
    assert {mode for file, mode in secret.items() if file.parent.name != "platform"} == {0o400}


def test_the_workspace_is_served(platform: Platform) -> None:
    (platform.folder / "workspace.yaml").write_text("load_from: [new]\n")
    run("platform")
    assert (platform.folder / "served" / "workspace.yaml").read_text() == "load_from: [new]\n"


# Walls in the warehouse


def test_a_role_works_in_its_own_schema_and_in_no_other(platform: Platform) -> None:
    one, other = platform.location(), platform.location()
    platform.sql(other, f"CREATE TABLE {other}_raw.items AS SELECT 1 AS id")
    platform.sql(one, f"CREATE SCHEMA {one}_raw_staging")  # dlt's
    for statement in (
        f"SELECT * FROM {other}_raw.items",
        f"INSERT INTO {other}_raw.items VALUES (2)",
        f"CREATE TABLE {other}_raw.ours (id int)",
        f"DROP SCHEMA {other}_raw CASCADE",
        f"SET ROLE {other}",
        "CREATE TABLE public.ours (id int)",
        "CREATE ROLE another",
    ):
        with refused("permission denied|must be owner"):
            platform.sql(one, statement)


@pytest.mark.parametrize("database", ["dagster", "postgres", "template1"])
def test_a_role_opens_the_warehouse_alone(platform: Platform, database: str) -> None:
    name = platform.location()
    for role in (name, "analyst"):
        with refused("permission denied for database"):
            platform.sql(role, "SELECT 1", database)
    with refused("permission denied for database"):
        platform.sql("dagster", "SELECT 1", "warehouse")


def test_an_analyst_reads_what_a_location_makes_later(platform: Platform) -> None:
    name = platform.location()
    platform.sql(name, f"CREATE TABLE {name}_raw.items AS SELECT 1 AS id")
    assert platform.sql("analyst", f"SELECT id FROM {name}_raw.items") == [(1,)]
    for statement in (f"DELETE FROM {name}_raw.items", f"CREATE TABLE {name}_raw.ours (id int)", "CREATE SCHEMA ours"):
        with refused("permission denied"):
            platform.sql("analyst", statement)


def test_many_locations_are_set_up_at_once(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `docker compose up` does: each in a process of its own."""
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(MANY)

    def connect(database: str) -> connection:
        opened = platform.connect(database)
        together.wait(timeout=20)
        return opened

    def set_up(name: str) -> None:
        for _ in range(10):
            platform.location(name)

    monkeypatch.setattr(setup, "_connect", connect)
    processes = [fork.Process(target=set_up, args=(f"many{number}",)) for number in range(MANY)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * MANY


def test_a_schema_that_another_made_first_is_not_taken_over(platform: Platform) -> None:
    one = platform.location()
    platform.sql(one, "CREATE SCHEMA squatted_raw")
    with pytest.raises(SystemExit, match=f"squatted_raw belongs to {one}, not to squatted"):
        platform.location("squatted")
    platform.sql(one, "DROP SCHEMA squatted_raw")
    platform.location("squatted")


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


@pytest.mark.parametrize("setting", ["token", "", "Sources.x", "sources..x", "../x.y", "a.b/c", "a.b\n", "sources.x."])
def test_a_setting_with_a_bad_name_is_refused(platform: Platform, setting: str) -> None:
    name = platform.location()
    before = files(platform.folder)
    with pytest.raises(SystemExit) as error:
        run("secret", name, setting, given=b"value")
    assert "is no setting: write it as" in str(error.value)
    assert "\n" not in str(error.value)
    assert files(platform.folder) == before


@pytest.mark.parametrize(("given", "why"), [(b"", "nothing came"), (b" \n", "nothing came"), (b"\xff\xfe", "no text")])
def test_what_is_no_secret_changes_nothing(platform: Platform, given: bytes, why: str) -> None:
    name = platform.location()
    run("secret", name, "sources.x.token", given=b"good")
    before = files(platform.folder)
    with pytest.raises(SystemExit, match=rf"{why}.*: sources.x.token stays as it was") as error:
        run("secret", name, "sources.x.token", given=given)
    assert "\n" not in str(error.value)
    assert files(platform.folder) == before


def test_a_write_that_fails_leaves_the_old_secret(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was half written is not there under any name that dlt reads, nor in the way later."""
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
    "name", ["", "Git", "a-b", "9a", "a b", "../x", "a\n", "pg_x", "postgres", "dagster", "analyst"]
)
def test_a_location_with_a_bad_name_is_refused(platform: Platform, name: str) -> None:
    with pytest.raises(SystemExit, match="is no name of a location"):
        run("location", name)


@pytest.mark.parametrize("command", [[], ["all"], ["location"], ["secret", "github"], ["secrets", "github"]])
def test_a_command_that_makes_no_sense_is_refused_in_one_line(command: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"^say one of: secrets, platform, location NAME, [^\n]*$"):
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
