"""Nobody can take all locks: tried with a location's own login, which needs no right for that."""

import re
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection

from ingest_host import roles
from ingest_host.monitor import guard
from ingest_host.monitor.guard import TOLD_SECONDS, Guard

from ..conftest import Platform, refused

ROOM = 50_000
"""More than fit into the lock table: on this server, max_locks_per_transaction is 64."""


@pytest.fixture
def watching(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Guard:
    password = roles.password_file("monitor").read_text()
    monkeypatch.setattr(guard, "STORAGE", f"host={roles.HOST} user=monitor password={password} dbname=dagster")
    return Guard()


def fill(session: connection, name: str) -> None:
    """Opens nested savepoints, each of which writes and so holds a lock, until no lock is left."""
    with session.cursor() as cursor, refused("out of shared memory"):
        cursor.execute(f"CREATE TABLE {name}_raw.rows (at int); SET idle_in_transaction_session_timeout = 0")
        cursor.execute("BEGIN")
        for _ in range(0, ROOM, 1000):
            cursor.execute(f"SAVEPOINT one; INSERT INTO {name}_raw.rows VALUES (1);" * 1000)


def test_who_takes_the_locks_of_all_loses_its_sessions_and_nobody_else(platform: Platform, watching: Guard) -> None:
    name, other = platform.location(), platform.location()
    with closing(platform.connect(name, "warehouse")) as greedy, closing(platform.connect(other, "warehouse")) as idle:
        watching.turn()  # as it did two seconds ago
        assert watching.ended_lately() == {}
        fill(greedy, name)
        with greedy.cursor() as cursor:
            cursor.execute("ROLLBACK TO one")  # only the last one is undone, and the transaction stays open
        watching.turn()
        ((login, why),) = watching.ended_lately().items()
        assert login == name
        assert re.fullmatch(r"they held \d{5} locks", why)
        with greedy.cursor() as cursor, pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
        with idle.cursor() as cursor:
            cursor.execute("SELECT 1")
        platform.sql(other, f"CREATE TABLE {other}_raw.rows (at int)")


@pytest.fixture
def impatient(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(roles, "TRANSACTION", "100 milliseconds")
        roles.set_up_storage()
    yield
    roles.set_up_storage()


def test_a_transaction_ends_some_time_whatever_its_session_has_set(
    platform: Platform, watching: Guard, impatient: None
) -> None:
    """Otherwise it would keep a backup from a table for ever, and Postgres from vacuuming."""
    name = platform.location()
    platform.sql(name, f"CREATE TABLE {name}_raw.rows (at int)")
    with closing(platform.connect(name, "warehouse")) as held, held.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = 0; SET transaction_timeout = 0; BEGIN")
        cursor.execute(f"LOCK {name}_raw.rows")
        time.sleep(0.2)
        watching.turn()
        assert watching.ended_lately() == {name: "a transaction was open for more than 100 milliseconds"}
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")


def test_in_dagsters_storage_it_ends_after_seconds(
    platform: Platform, watching: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Webserver and daemon wait for what it has locked. In the warehouse, a load may take as long as it needs."""
    monkeypatch.setattr(roles, "STORAGE_TRANSACTION", "100 milliseconds")
    roles.set_up_storage()
    name = platform.location()
    with (
        closing(platform.connect(f"dagster-{name}", "dagster")) as locking,
        closing(platform.connect(name, "warehouse")) as loading,
    ):
        locking.cursor().execute("SET idle_in_transaction_session_timeout = 0; SET transaction_timeout = 0; BEGIN")
        locking.cursor().execute("SELECT run_id FROM runs FOR UPDATE")
        loading.cursor().execute("BEGIN; SELECT 1")
        time.sleep(0.2)
        watching.turn()
        assert watching.ended_lately() == {
            f"dagster-{name}": "a transaction was open in Dagster's storage for more than 100 milliseconds"
        }
        with pytest.raises(psycopg2.OperationalError):
            locking.cursor().execute("SELECT 1")
        loading.cursor().execute("SELECT 1")


def test_nobody_keeps_the_queue_of_notifications_full(
    platform: Platform, watching: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise no run can store an event: Dagster sends a notification with each."""
    monkeypatch.setattr(roles, "LISTENING", "100 milliseconds")
    roles.set_up_storage()
    name, other = platform.location(), platform.location()
    flood = ";".join(f"NOTIFY greedy, '{number}{'x' * 7000}'" for number in range(40))
    with (
        closing(platform.connect(name, "warehouse")) as listening,
        closing(platform.connect(f"dagster-{name}", "dagster")) as sending,
        closing(platform.connect(other, "warehouse")) as idle,
    ):
        listening.cursor().execute("SET idle_in_transaction_session_timeout = 0; LISTEN greedy")
        listening.cursor().execute("BEGIN; SELECT 1")
        with refused("too many notifications in the NOTIFY queue"):
            for _ in range(1000):
                sending.cursor().execute(flood)
        time.sleep(0.2)
        with refused("too many notifications in the NOTIFY queue"):
            platform.sql("dagster", "NOTIFY run_events, 'an event'", "dagster")
        watching.turn()
        assert watching.ended_lately() == {
            name: "notifications waited, and a transaction was open for 100 milliseconds"
        }
        platform.sql("dagster", "NOTIFY run_events, 'an event'", "dagster")
        idle.cursor().execute("SELECT 1")


@pytest.mark.parametrize("holding", ["SELECT 1", "SELECT pg_current_xact_id()"])
def test_nobody_keeps_transaction_ids_from_being_given_out_again(
    platform: Platform, watching: Guard, monkeypatch: pytest.MonkeyPatch, holding: str
) -> None:
    """There are two billion, and after the last one nobody can write."""
    monkeypatch.setattr(roles, "TRANSACTION_IDS", 1000)
    roles.set_up_storage()
    name, other = platform.location(), platform.location()
    with closing(platform.connect(name, "warehouse")) as kept, closing(platform.connect(other, "warehouse")) as using:
        kept.cursor().execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ; {holding}")
        using.cursor().execute("BEGIN; SELECT pg_current_xact_id(); COMMIT;" * 500)
        watching.turn()
        assert watching.ended_lately() == {}
        using.cursor().execute("BEGIN; SELECT pg_current_xact_id(); COMMIT;" * 1000)
        watching.turn()
        assert watching.ended_lately() == {name: "a transaction was open while 1000 others were made"}
        using.cursor().execute("SELECT 1")


def test_it_is_told_for_a_while() -> None:
    told, now = Guard(), time.time()
    told.ended = {"stripe": (now - TOLD_SECONDS + 60, "why"), "github": (now - TOLD_SECONDS - 1, "why")}
    assert told.ended_lately() == {"stripe": "why"}


def test_it_connects_again(platform: Platform, watching: Guard, caplog: pytest.LogCaptureFixture) -> None:
    watching.turn()
    platform.sql("postgres", "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'monitor'")
    watching.turn()
    assert "sessions cannot be checked" in caplog.text
    caplog.clear()
    watching.turn()
    assert caplog.text == ""


def test_nobody_else_ends_sessions(platform: Platform) -> None:
    name = platform.location()
    for login in (f"dagster-{name}", "dagster"):
        with refused("permission denied for function end_greedy"):
            platform.sql(login, "SELECT platform.end_greedy()", "dagster")
