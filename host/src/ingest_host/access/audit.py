"""The audit trail: a table that its writer can only add to.

It is in a database of its own, which no location's role may open. Neither the writer nor the owner of
Dagster's storage can change or remove a row, and nothing purges it.
"""

import json
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg2
from psycopg2.extensions import connection

DATABASE = ROLE = "audit"

SET_UP = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE TABLE IF NOT EXISTS public.trail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    who text NOT NULL,
    how text NOT NULL,
    action text NOT NULL,
    locations text[] NOT NULL,
    subject jsonb NOT NULL,
    outcome text NOT NULL
);
CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS
    $$ BEGIN RAISE EXCEPTION 'the audit trail can only be added to'; END $$;
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.trail
    FOR EACH STATEMENT EXECUTE FUNCTION public.refuse();
REVOKE ALL ON public.trail FROM audit;
GRANT CONNECT ON DATABASE audit TO audit;
GRANT USAGE ON SCHEMA public TO audit;
GRANT INSERT (who, how, action, locations, subject, outcome) ON public.trail TO audit;
"""
"""Run by the superuser in the audit database; the writer can set neither the time nor the number of a row."""

INSERT = "INSERT INTO public.trail (who, how, action, locations, subject, outcome) VALUES (%s, %s, %s, %s, %s, %s)"
LONGEST = 4000
"""Characters of a request's arguments that are kept."""


def set_up(database: connection) -> None:
    """Creates the table, as the superuser."""
    with database.cursor() as cursor:
        cursor.execute(SET_UP)


class Trail(Protocol):
    """Records actions. An action that cannot be recorded is not done."""

    def check(self) -> None:
        """Raises ``psycopg2.Error`` if nothing can be recorded."""

    def record(
        self, who: str, how: str, action: str, locations: Iterable[str], subject: dict[str, Any], outcome: str
    ) -> None:
        """Adds a row."""


class PostgresTrail:
    """Uses one connection, and reopens it if Postgres closed it."""

    def __init__(self, **address: Any) -> None:
        self._address = address
        self._connection: connection | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, secrets: Path) -> "PostgresTrail":
        # Read here, because libpq ignores a file that others may read, as is each file of a Secret in a pod.
        host, port, database, user, password = (secrets / "pgpass").read_text().strip().split(":")
        return cls(host=host, port=port, dbname=database, user=user, password=password, connect_timeout=5)

    def check(self) -> None:
        self._execute("SELECT 1", ())

    def record(
        self, who: str, how: str, action: str, locations: Iterable[str], subject: dict[str, Any], outcome: str
    ) -> None:
        texts = [_storable(text) for text in (who, how, action)]
        self._execute(INSERT, (*texts, sorted(map(_storable, locations)), _kept(subject), _storable(outcome)))

    def _execute(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            try:
                self._once(statement, values)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._close()
                self._once(statement, values)

    def _once(self, statement: str, values: tuple[Any, ...]) -> None:
        if self._connection is None:
            self._connection = psycopg2.connect(**self._address)
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg2.Error):
                self._connection.close()
        self._connection = None


def _kept(subject: dict[str, Any]) -> str:
    text = json.dumps(_storable(subject), default=str, ensure_ascii=False)
    return text if len(text) <= LONGEST else json.dumps({"cut": text[:LONGEST]}, ensure_ascii=False)


def _storable(value: Any) -> Any:
    """Returns a value that PostgreSQL can store: NUL or half a surrogate pair would keep an action out of the trail."""
    if isinstance(value, str):
        return value.replace("\0", "?").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return value
