"""Logins of analysts on a real Postgres: they read what locations load, and PgBouncer can look up nobody else."""

from contextlib import closing
from typing import Any

import psycopg2
import pytest

from ingest_host import roles
from tests.conftest import Platform, refused, run


def let_in(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Returns the role and the password that the command prints."""
    run("analyst", name)
    word, role, password = capsys.readouterr().out.splitlines()[-1].split()
    assert word == "LOGIN"
    return role, password


def ask(role: str, password: str, statement: str, database: str = "warehouse") -> list[tuple[Any, ...]]:
    opened = psycopg2.connect(host=roles.HOST, user=role, password=password, dbname=database)
    with closing(opened), opened.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@pytest.fixture
def loaded(platform: Platform) -> str:
    """A location with a table that it created."""
    name = platform.location()
    platform.sql(name, f"CREATE TABLE {name}_raw.issues AS SELECT 7 AS id")
    return name


def test_an_analyst_reads_what_a_location_loads_and_changes_nothing(
    loaded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    login = let_in("ana", capsys)
    assert login[0] == "analyst-ana"
    assert ask(*login, f"SELECT id FROM {loaded}_raw.issues") == [(7,)]
    assert ask(*login, "SHOW statement_timeout") == [("15min",)]
    for statement in (
        f"INSERT INTO {loaded}_raw.issues VALUES (8) RETURNING id",
        f"SET transaction_read_only = off; DELETE FROM {loaded}_raw.issues RETURNING id",
        f"SET transaction_read_only = off; CREATE TABLE {loaded}_raw.mine AS SELECT 1",
        "SELECT verifier FROM platform.analyst_login('analyst-ana')",
    ):
        with refused("read-only|permission denied|must be set before"):
            ask(*login, statement)
    for database in ("dagster", "audit", "postgres"):
        with refused("permission denied for database"):
            ask(*login, "SELECT 1", database)


def test_another_password_ends_the_one_before(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    role, first = let_in("bob", capsys)
    _, second = let_in("bob", capsys)
    assert ask(role, second, "SELECT 1") == [(1,)]
    with refused("password authentication failed"):
        ask(role, first, "SELECT 1")


def test_who_is_put_out_cannot_come_back(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    login = let_in("carl", capsys)
    opened = psycopg2.connect(host=roles.HOST, user=login[0], password=login[1], dbname="warehouse")
    run("analyst-out", "carl")
    with refused("terminating connection|server closed"):
        opened.cursor().execute("SELECT 1")
    with refused("password authentication failed"):
        ask(*login, "SELECT 1")
    with pytest.raises(SystemExit, match="there is no analyst carl"):
        run("analyst-out", "carl")


@pytest.mark.parametrize("name", ["Ana", "a-b", "", "1", 'a"b', "a" * 41])
def test_what_is_no_name_is_refused(platform: Platform, name: str) -> None:
    with pytest.raises(SystemExit, match="lowercase letters, digits and _"):
        run("analyst", name)


def test_pgbouncer_gets_the_verifiers_of_analysts_alone(
    platform: Platform, loaded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    role, _ = let_in("dora", capsys)
    asked = "SELECT login, verifier FROM platform.analyst_login('{}')"
    ((login, verifier),) = platform.sql("door", asked.format(role))
    assert login == role
    assert verifier.startswith("SCRAM-SHA-256$")
    for other in ("postgres", "platform", "dagster", "analyst", "door", loaded, "nobody"):
        assert platform.sql("door", asked.format(other)) == []
    with refused("permission denied"):
        platform.sql("door", f"SELECT * FROM {loaded}_raw.issues")
    for other in (loaded, "platform"):
        with refused("permission denied"):
            platform.sql(other, asked.format(role))
