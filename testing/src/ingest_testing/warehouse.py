"""A warehouse under test, and the syncs that fill it."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Generic
from unittest import mock

import duckdb
import psycopg2
import sqlalchemy as sa

from ingest_shared.pipelines import pipeline, run
from ingest_shared.tables import UNDECLARED, Child, Table
from ingest_testing.location import Location, OriginT

POSTGRES = "DESTINATION__POSTGRES__CREDENTIALS"
MARIADB = "DESTINATION__MARIADB__CREDENTIALS"
DELTA = "DESTINATION__DELTA__BUCKET_URL"


class Warehouse(Generic[OriginT]):
    """One warehouse, by default a DuckDB file in ``folder``; ``settings`` are environment variables.

    It has the tables of all groups, or of some. Each sync works as in a new process: only the warehouse is left of the
    previous one.
    """

    def __init__(self, location: Location[OriginT], origin: OriginT, folder: Path, **settings: str) -> None:
        self.location = location
        self.origin = origin
        self.folder = folder
        self.groups: Sequence[str] = list(location.groups)
        self.settings = {**location.settings_for(origin.url), "INGEST_DATA_DIR": str(folder), **settings}
        self.loaded_since: dict[str, int] = {}
        """When the first load of each group began, by the origin's clock."""

    @property
    def file(self) -> Path:
        """The DuckDB file."""
        return self.folder / f"{self.location.name}.duckdb"

    def copy(self, origin: OriginT, folder: Path) -> "Warehouse[OriginT]":
        """A copy of this warehouse as it is now, to be loaded from a copy of its origin."""
        copied = Warehouse(self.location, origin, folder)
        shutil.copy(self.file, copied.file)
        copied.loaded_since = dict(self.loaded_since)
        return copied

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """The environment of its syncs."""
        with mock.patch.dict(os.environ, {**self.settings, **settings}):
            yield

    def sync(self, *groups: str, audit: bool = False, **settings: str) -> None:
        """Loads the named groups, or all; raises dlt's error if that fails.

        One instance of DuckDB serves all of it. Otherwise each job would make one when it opens the file, at 13 ms of
        CPU: a third of the cost of a sync that finds nothing new.
        """
        with self.configured(**settings), duckdb.connect(self.file) if self.file.exists() else nullcontext():
            for group in groups or self.groups:
                began = self.origin.now()
                run(pipeline(self.location.name, group).drop(), self.location.groups[group](audit))
                self.loaded_since.setdefault(group, began)

    def audit(self, *groups: str) -> dict[str, tuple[int, int, int]]:
        """Audits the named groups, or all; returns what was missing, surplus and stale in each table, if anything.

        Deletes that only an audit can see count as surplus here; what changed since the previous sync does not.
        """
        self.sync(*groups, audit=True)
        found = self.query(
            "SELECT resource, sum(missing), sum(surplus + deleted), sum(stale) FROM {audits} GROUP BY resource"
        )
        return {str(table): (int(m), int(s), int(t)) for table, m, s, t in found if m or s or t}

    def lost(self) -> list[tuple[Any, ...]]:
        """What the latest audit counted as lost, by table and scope."""
        return self.query(
            "SELECT resource, scope, missing, surplus, stale FROM {audits} WHERE missing + surplus + stale > 0"
        )

    @contextmanager
    def opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The DuckDB file, opened to change the contents of its tables."""
        with duckdb.connect(self.file) as database:
            database.execute(f"USE {self.location.name}_raw")
            yield database

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Makes many queries fast: opening a DuckDB file takes far longer than reading one of its tables."""
        with duckdb.connect(self.file, read_only=True) if self.file.exists() else nullcontext():
            yield

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """The result of an SQL query, in which ``{name}`` stands for a table of the dataset."""
        sql = re.sub(r"\{(\w+)\}", rf"{self.location.name}_raw.\1", sql)
        if address := self.settings.get(POSTGRES):
            with psycopg2.connect(address) as connection, connection.cursor() as cursor:
                cursor.execute(sql, args)
                return list(cursor.fetchall())
        if address := self.settings.get(MARIADB):
            with _mariadb(address).connect() as mariadb:
                return [tuple(row) for row in mariadb.exec_driver_sql(sql, args or None)]
        if folder := self.settings.get(DELTA):
            return _in_delta(f"{folder}/{self.location.name}_raw", sql, args)
        with duckdb.connect(self.file, read_only=True) as database:
            return list(database.execute(sql.replace("%s", "?"), args).fetchall())

    def rows(self, table: Table | Child) -> list[dict[str, Any]]:
        """Every row with every declared column, and ``_undeclared``."""
        types = {column.name: column.type.name for column in table.columns} | {UNDECLARED: "json"}
        # Of JSON that its driver has parsed, nobody knows whether it was a text.
        as_text = "::text" if self.settings.get(POSTGRES) else ""
        asked = ", ".join(f'"{name}"' + as_text * (kind == "json") for name, kind in types.items())
        return [dict(zip(types, row, strict=True)) for row in self.query(f"SELECT {asked} FROM {{{table.name}}}")]

    def contents(self, *groups: str) -> dict[str, list[str]]:
        """All rows of all tables of the groups, by default of all groups, in a fixed order."""
        names = [name for group in groups or self.groups for name in self.location.tables_of(group)]
        tables = [table for name in names for table in self.location.tables[name].with_children]
        with self.kept_open():
            return {table.name: sorted(map(repr, self.rows(table))) for table in tables}

    def gaps(self) -> list[tuple[Any, ...]]:
        """What could not be read: table, scope, status and reason."""
        return self.query("SELECT resource, scope, status, reason FROM {load_gaps}")


def _in_delta(folder: str, sql: str, args: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The result of a query of Delta tables, which are read without dlt."""
    from deltalake import DeltaTable  # noqa: PLC0415, for the few that need it

    dataset = Path(folder).name
    with duckdb.connect() as database:
        database.execute(f"SET TimeZone = 'UTC'; CREATE SCHEMA {dataset}")
        for name in set(re.findall(rf"{dataset}\.(\w+)", sql)):
            database.register("rows", DeltaTable(f"{folder}/{name}").to_pyarrow_table())
            database.execute(f"CREATE TABLE {dataset}.{name} AS FROM rows")
        return list(database.execute(sql.replace("%s", "?"), args).fetchall())


def _mariadb(address: str) -> sa.Engine:
    from ingest_shared.mariadb import ENGINE  # noqa: PLC0415, its driver is loaded where it is used

    as_others = {"init_command": "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')"}
    return sa.create_engine(address, poolclass=sa.NullPool, connect_args=ENGINE["connect_args"] | as_others)
