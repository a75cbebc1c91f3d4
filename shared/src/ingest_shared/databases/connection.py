"""A database as it is at one moment: what its tables look like, and their rows, streamed as Arrow.

PostgreSQL is read through ADBC, which turns a binary COPY into Arrow; all its connections see one exported snapshot.
Everything else is read through SQLAlchemy's driver, row by row, on one connection.
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from ingest_shared.databases.declared import Mirrored
from ingest_shared.databases.types import expression
from ingest_shared.errors import ApiError, PayloadError, SettingError, first_line
from ingest_shared.reading.held import copied
from ingest_shared.tables import Column

ROWS_AT_ONCE = 20_000
"""Rows fetched at once from a driver that does not speak Arrow."""
_DRIVERS = {"postgres": "postgresql+psycopg2", "postgresql": "postgresql+psycopg2"}
_DRIVERS |= {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
"""By engine; the connection settings were tested with these drivers."""
_REFUSED = ("password authentication failed", "does not exist", "no pg_hba.conf entry", "(1044,", "(1045,", "(1049,")
"""How a database rejects a wrong name or password."""
_SNAPSHOT = (
    "SET time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
"""For MySQL and MariaDB, which show a TIMESTAMP in the time zone of the connection."""


class Database:
    """A database by its address; ``setting`` is where the address comes from. Raises :class:`SettingError`."""

    def __init__(self, address: str, setting: str) -> None:
        self.setting = setting
        try:
            url = sa.make_url(address)
        except sa.exc.ArgumentError:
            raise SettingError(
                f"{setting} is not the address of a database; write it as postgresql://user:password@host:5432/database"
            ) from None
        try:
            url = url.set(drivername=_DRIVERS.get(url.get_backend_name(), url.drivername))
            self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        except (sa.exc.NoSuchModuleError, ImportError) as error:
            raise SettingError(
                f"{setting} names {url.drivername}, whose driver is not installed ({first_line(error)}); add it to the "
                "dependencies in pyproject.toml"
            ) from None
        self.dialect = self.engine.dialect.name
        self.uri = url.set(drivername="postgresql").render_as_string(hide_password=False)

    @property
    def is_postgres(self) -> bool:
        return self.dialect == "postgresql"

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """A connection; raises :class:`SettingError` or :class:`ApiError` if it cannot be opened."""
        try:
            connection = self.engine.connect()
        except sa.exc.DBAPIError as error:
            line = first_line(error)
            if any(words in line for words in _REFUSED):
                raise SettingError(f"the database refused the connection ({line}); check `{self.setting}`") from None
            raise ApiError(f"the database did not answer ({line}); check `{self.setting}`") from None
        with connection:
            yield connection

    @contextmanager
    def snapshot(self) -> "Iterator[Snapshot]":
        """The database as it is now, until the block ends."""
        with self.connected() as connection:
            whole = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.is_postgres else {}
            yield Snapshot(self, connection.execution_options(**whole))


class Snapshot:
    """All its queries see the same rows, as far as the engine supports that."""

    def __init__(self, database: Database, connection: sa.Connection) -> None:
        self.database = database
        self.dialect = database.dialect
        self.connection = connection
        self._exported = ""
        if database.is_postgres:
            self._exported = str(connection.execute(sa.text("SELECT pg_export_snapshot()")).scalar())
        elif self.dialect in ("mysql", "mariadb"):
            for statement in _SNAPSHOT:
                connection.execute(sa.text(statement))

    @property
    def is_shared(self) -> bool:
        """Whether several queries can run at once."""
        return bool(self._exported)

    def rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        """The result of a small query; a failing query leaves the snapshot intact."""
        with _told_in_one_line(), self.connection.begin_nested():
            return self.connection.execute(query).fetchall()

    def reads(self, mirrored: Mirrored) -> "Reads":
        """How the table is read; raises :class:`PayloadError` if it is not as declared."""
        with _told_in_one_line():
            columns = described(self.connection, mirrored.source)
        return Reads(mirrored, columns, self.dialect)

    def batches(self, query: sa.Select[Any]) -> Iterator[pa.Table]:
        """The rows of a query, a few megabytes at a time; raises :class:`PayloadError` if it fails."""
        with _told_in_one_line():
            if not self._exported:
                yield from self._by_rows(query)
                return
            begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
            snapshot = f"SET TRANSACTION SNAPSHOT '{self._exported}'"
            yield from copied(self.database.uri, begin, snapshot, self.sql(query))

    def _by_rows(self, query: sa.Select[Any]) -> Iterator[pa.Table]:
        names = [str(i) for i in range(len(query.selected_columns))]
        result = self.connection.execution_options(stream_results=True, yield_per=ROWS_AT_ONCE).execute(query)
        for rows in result.partitions():
            yield pa.table(dict(zip(names, map(_array, zip(*rows, strict=True)), strict=True)))

    def sql(self, query: sa.Select[Any]) -> str:
        """The query with its values in it, as psycopg2 quotes them: ADBC would not use COPY for one with parameters."""
        compiled = query.compile(self.database.engine, compile_kwargs={"render_postcompile": True})
        cursor: Any = self.connection.connection.cursor()
        return str(cursor.mogrify(compiled.string, compiled.params).decode())


def _array(values: Sequence[Any]) -> pa.Array:
    return pa.array(values, pa.string()) if all(value is None for value in values) else pa.array(values)


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Raises :class:`PayloadError` if the database refuses a query or the connection breaks."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        raise PayloadError(first_line(error)) from None


def described(connection: sa.Connection, source: str) -> list[Any]:
    """The table's columns as they are now; raises :class:`PayloadError` if there is no such table."""
    schema, name = split(source)
    try:
        return list(sa.inspect(connection).get_columns(name, schema))
    except sa.exc.NoSuchTableError:
        raise PayloadError(f"the database has no table {source}, or this user may not see it") from None


def split(source: str) -> tuple[str | None, str]:
    """The schema and the name of a table."""
    schema, _, name = source.rpartition(".")
    return schema or None, name


class Reads:
    """The queries that read one table."""

    def __init__(self, mirrored: Mirrored, columns: Sequence[Mapping[str, Any]], dialect: str) -> None:
        schema, name = split(mirrored.source)
        self.mirrored = mirrored
        self.types: dict[str, TypeEngine[Any]] = {column["name"]: column["type"] for column in columns}
        self.nullable = {column["name"] for column in columns if column["nullable"]}
        self.dialect = dialect
        self.table = sa.table(name, schema=schema)

    def raw(self, column: Column) -> sa.ColumnElement[Any]:
        """The column itself, for conditions: an index on it is used.

        MySQL sorts an enum by the place of its values in the type, and compares it as text.
        """
        is_enum = isinstance(self.types[column.path], mysql.ENUM | mysql.SET)
        return sa.cast(sa.column(column.path), sa.CHAR) if is_enum else sa.column(column.path)

    def value(self, column: Column) -> sa.ColumnElement[Any]:
        return expression(sa.column(column.path), self.types[column.path], self.dialect)

    def select(self, columns: Sequence[Column], *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
        chosen = [self.value(column).label(f"c{i}") for i, column in enumerate(columns)]
        return sa.select(*chosen).select_from(self.table).where(*conditions)
