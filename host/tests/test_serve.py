"""What webserver and daemon query from a real PostgreSQL, and how they survive its restart."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2.extensions
import pytest
from dagster import DagsterInstance
from dagster._core.remote_representation import code_location
from dagster._core.storage.dagster_run import RunsFilter
from dagster._grpc import server_watcher
from dagster._grpc.client import DagsterGrpcClient
from dagster_postgres.run_storage import PostgresRunStorage
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from ingest_host import serve
from ingest_host.answers import OwnCodeLocation
from ingest_host.serve import lasting_instance

STORAGE = """\
storage:
  postgres:
    # As a superuser, who after a set-up looks names up in pg_catalog alone.
    postgres_url: postgresql+psycopg2://postgres@/{database}?host={socket}&options=-csearch_path%3Dpublic
telemetry: {{enabled: false}}
"""


@pytest.fixture
def storage(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database with Dagster's schema, to which ``DAGSTER_HOME`` refers."""
    database = tmp_path.name.replace("-", "_")
    with superuser(postgres) as cursor:
        cursor.execute(f'CREATE DATABASE "{database}"')
    (tmp_path / "dagster.yaml").write_text(STORAGE.format(database=database, socket=postgres))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with DagsterInstance.get():  # creates the tables
        yield database


@contextmanager
def superuser(socket: str) -> Iterator[psycopg2.extensions.cursor]:
    with closing(psycopg2.connect(host=socket, user="postgres", dbname="postgres")) as connection:
        connection.autocommit = True
        yield connection.cursor()


def asked_by(instance: DagsterInstance) -> list[str]:
    """Returns what one round of the daemon's most frequent queries sends to PostgreSQL, including ``connect``."""
    said: list[str] = []

    def statement(_connection: object, _cursor: object, text: str, *_: object) -> None:
        said.append(text)

    def connected(*_: object) -> None:
        said.append("connect")

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "connect", connected)
    schedules = instance.schedule_storage
    assert schedules
    try:
        instance.get_run_records(RunsFilter())
        instance.get_runs(RunsFilter())
        instance.all_instigator_state()
        schedules.get_instigator_state("origin", "selector")
        schedules.get_batch_ticks(["selector"], limit=1)
    finally:
        event.remove(Engine, "before_cursor_execute", statement)
        event.remove(Engine, "connect", connected)
    return said


@pytest.mark.usefixtures("storage")
def test_nothing_is_asked_of_the_catalog_and_no_connection_opened() -> None:
    with lasting_instance(0) as instance:
        asked_by(instance)
        said = asked_by(instance)
    assert len(said) == 5
    assert not [text for text in said if text == "connect" or "pg_catalog" in text or "secondary_indexes" in text]


@pytest.mark.usefixtures("storage")
def test_dagster_asks_the_catalog_each_time() -> None:
    """What makes `serve` necessary: once this fails, much of it can be removed."""
    with DagsterInstance.get() as instance:
        asked_by(instance)
        said = asked_by(instance)
    assert len([text for text in said if "pg_catalog" in text]) > 5


def test_a_restart_of_postgres_goes_unnoticed(storage: str, postgres: str) -> None:
    with lasting_instance(0) as instance:
        asked_by(instance)
        with superuser(postgres) as cursor:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            cursor.execute(ended, [storage])
            assert cursor.rowcount > 0
        assert "connect" in asked_by(instance)


@pytest.mark.usefixtures("storage")
def test_what_code_servers_answer_is_checked() -> None:
    with lasting_instance(0):
        assert code_location.GrpcServerCodeLocation is OwnCodeLocation
    assert code_location.GrpcServerCodeLocation is not OwnCodeLocation


@pytest.mark.usefixtures("storage")
def test_a_statement_may_take_so_long_and_no_longer() -> None:
    with lasting_instance(250) as instance:
        runs = instance.run_storage
        assert isinstance(runs, PostgresRunStorage)
        with runs.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
            connection.exec_driver_sql("SELECT pg_sleep(5)")


def test_code_servers_are_asked_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WATCH_INTERVAL", "MAX_RECONNECT_ATTEMPTS"):
        monkeypatch.setattr(server_watcher, name, getattr(server_watcher, name))  # so that they are restored
    monkeypatch.setattr(serve, "WATCH_SECONDS", 0.1)
    asked: list[float] = []
    client = DagsterGrpcClient(host="localhost", port=1)

    def get_server_id(timeout: float) -> str:
        asked.append(timeout)
        return "same"

    monkeypatch.setattr(client, "get_server_id", get_server_id)
    serve.watch_seldom()
    stop, thread = server_watcher.create_grpc_watch_thread(
        "one",
        client,
        get_location_entry=lambda _: None,
        refresh_code_location=lambda _: None,
        on_disconnect=lambda _: None,
        on_reconnected=lambda _: None,
        on_updated=lambda *_: None,
        on_error=lambda _: None,
    )
    thread.start()
    time.sleep(0.55)
    stop.set()
    thread.join(5)
    assert 4 <= len(asked) <= 6  # with Dagster's own interval, 1
