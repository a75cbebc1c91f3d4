"""The trail's table: its writer can add rows, and nobody can change one."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import cursor

from ingest_host.access.audit import PostgresTrail


@pytest.fixture
def trail(trail_database: str) -> PostgresTrail:
    return PostgresTrail(host=trail_database, user="audit", password="audit", dbname="audit")


@pytest.fixture
def writer(trail_database: str) -> Iterator[cursor]:
    with closing(psycopg2.connect(host=trail_database, user="audit", password="audit", dbname="audit")) as connection:
        connection.autocommit = True
        yield connection.cursor()


@pytest.fixture
def superuser(trail_database: str) -> Iterator[cursor]:
    with closing(psycopg2.connect(host=trail_database, user="postgres", dbname="audit")) as connection:
        connection.autocommit = True
        yield connection.cursor()


def test_a_row_is_added(trail: PostgresTrail, superuser: cursor) -> None:
    trail.record("anna", "session", "launchRun", ["stripe"], {"job": "x"}, "done")
    superuser.execute("SELECT who, how, action, locations, subject, outcome FROM public.trail ORDER BY id DESC LIMIT 1")
    assert superuser.fetchone() == ("anna", "session", "launchRun", ["stripe"], {"job": "x"}, "done")


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_what_postgres_cannot_store_keeps_no_action_out_of_it(
    trail: PostgresTrail, superuser: cursor, text: str
) -> None:
    trail.record(text, text, text, [text], {text: [text]}, text)
    superuser.execute("SELECT who, how, action, locations, subject, outcome FROM public.trail ORDER BY id DESC LIMIT 1")
    assert superuser.fetchone() == ("a?b", "a?b", "a?b", ["a?b"], {"a?b": ["a?b"]}, "a?b")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE public.trail SET who = 'eve'",
        "DELETE FROM public.trail",
        "TRUNCATE public.trail",
        "SELECT * FROM public.trail",
        "DROP TABLE public.trail",
        "ALTER TABLE public.trail DISABLE TRIGGER ALL",
        "DROP TRIGGER append_only ON public.trail",
        "CREATE TABLE public.other (a int)",
        "CREATE SCHEMA other",
        "INSERT INTO public.trail (at, who, how, action, locations, subject, outcome)"
        " VALUES ('2020-01-01', '', '', '', '{}', '{}', '')",
    ],
)
def test_the_writer_does_nothing_else(trail: PostgresTrail, writer: cursor, statement: str) -> None:
    trail.record("anna", "session", "launchRun", [], {}, "done")
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.GeneratedAlways)):
        writer.execute(statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE public.trail SET who = 'eve'", "DELETE FROM public.trail", "TRUNCATE public.trail"]
)
def test_not_even_the_superuser_does_so_by_mistake(trail: PostgresTrail, superuser: cursor, statement: str) -> None:
    trail.record("anna", "session", "launchRun", [], {}, "done")
    with pytest.raises(psycopg2.errors.RaiseException, match="can only be added to"):
        superuser.execute(statement)


def test_a_restart_of_postgres_loses_no_row(trail: PostgresTrail, superuser: cursor) -> None:
    trail.check()
    superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'audit'")
    trail.record("anna", "session", "after", [], {}, "done")
    superuser.execute("SELECT action FROM public.trail ORDER BY id DESC LIMIT 1")
    assert superuser.fetchone() == ("after",)
