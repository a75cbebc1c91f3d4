"""The floor: a good script that knows its tables and needs no dlt.

orjson parses, list comprehensions make columns, Arrow carries them into the database with one
insert per 5,000 rows. There is no merge, no schema change, no state, no new field and no check of
a value's type beyond Arrow's own. Only the names, paths and types of the columns, and the sums of
money, are taken from the locations' descriptions.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import duckdb
import orjson
import pyarrow as pa

from ingest_shared.tables import Child, Column, Table

Json = dict[str, Any]
Insert = Callable[[str, pa.Table], None]

ROWS_PER_INSERT = 5_000


def rows_of(body: bytes) -> list[Json]:
    """The rows of a page, of either API."""
    page: Any = orjson.loads(body)
    rows: list[Json] = page["data"] if isinstance(page, dict) else page
    return rows


def load(table: Table, rows: Iterable[Json], given: Mapping[str, Any], insert: Insert) -> int:
    """Inserts all rows and those of their child tables; returns how many rows ``table`` got."""
    gc.disable()  # JSON has no cycles, and looking for them would take half of the time
    rows, done = iter(rows), 0
    while batch := list(islice(rows, ROWS_PER_INSERT)):
        done += len(batch)
        for name, columns in arrow(table, batch, given).items():
            insert(name, columns)
    return done


def arrow(table: Table, rows: list[Json], given: Mapping[str, Any]) -> dict[str, pa.Table]:
    """The rows as Arrow tables by name: the table's own and those of its children."""
    values = _Values(rows)

    def constant(column: Column) -> pa.Array:
        return pa.repeat(pa.scalar(given.get(column.name), column.type.arrow), len(rows))

    root = _columns(table, values, constant)
    return {table.name: root} | {child.name: _child(child, values, root) for child in table.children}


def _child(child: Child, parents: "_Values", root: pa.Table) -> pa.Table:
    lists = [elements or () for elements in parents.at(child.path)]
    owners = pa.array([owner for owner, elements in enumerate(lists) for _ in elements], pa.int64())
    values = _Values([element for elements in lists for element in elements])

    def of_parent(column: Column) -> Any:
        if column.origin == "position":
            return pa.array([place for elements in lists for place in range(len(elements))], pa.int64())
        return root[column.path].combine_chunks().take(owners)

    return _columns(child, values, of_parent)


def _columns(table: Table | Child, values: "_Values", other: Callable[[Column], Any]) -> pa.Table:
    made: dict[str, Any] = {}
    for column in table.columns:
        if column.compute:
            made[column.name] = column.compute(*(made[name] for name in column.of))
        elif column.origin == "payload":
            made[column.name] = _array(column, values.at(column.path))
        else:
            made[column.name] = other(column)
    return pa.table(made)


class _Values:
    """The values of rows by path; each object on the way is looked up once."""

    def __init__(self, rows: list[Any]) -> None:
        self._objects: dict[str, list[Any]] = {"": rows}

    def at(self, path: str) -> list[Any]:
        """The value at ``path`` of each row; ``.`` is the row itself."""
        if path == ".":
            return self._objects[""]
        parent, _, name = path.rpartition(".")
        return [row.get(name) for row in self._object(parent)]

    def _object(self, path: str) -> list[Any]:
        if path not in self._objects:
            self._objects[path] = [value or {} for value in self.at(path)]
        return self._objects[path]


def _array(column: Column, values: list[Any]) -> pa.Array:
    match column.type.name:
        case "timestamp" | "decimal":
            return pa.array(values, pa.string()).cast(column.type.arrow)
        case "epoch":
            return pa.array(values, pa.timestamp("s", "UTC"))
        case "json":
            return pa.array([None if v is None else orjson.dumps(v) for v in values], pa.binary()).cast(pa.string())
        case "present":
            return pa.array([v is not None for v in values], pa.bool_())
    return pa.array(values, column.type.arrow)


@contextmanager
def into_duckdb(folder: Path) -> Iterator[Insert]:
    """Inserts into a new DuckDB file, in one transaction."""
    with duckdb.connect(str(folder / "floor.duckdb")) as connection:

        def insert(name: str, batch: pa.Table) -> None:
            connection.register("batch", batch)
            connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM batch LIMIT 0")
            connection.execute(f"INSERT INTO {name} SELECT * FROM batch")

        connection.execute("SET enable_progress_bar = false")
        connection.begin()
        yield insert
        connection.commit()


@contextmanager
def into_postgres(uri: str) -> Iterator[Insert]:
    """Copies into PostgreSQL, in one transaction."""
    with adbc_driver_postgresql.dbapi.connect(uri) as connection, connection.cursor() as cursor:

        def insert(name: str, batch: pa.Table) -> None:
            cursor.adbc_ingest(name, batch, mode="create_append")

        yield insert
        connection.commit()
