"""What differs between a table of a database and the warehouse, row by row, in bounded memory.

Both sides are streamed into a DuckDB file of this process, which keeps of each row its key and a hash of its values
and finds the differences. So neither the order of keys nor the SQL of the two databases has to agree.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingest_shared.reading.tombstones import DELETED_AT
from ingest_shared.tables import JSON, Column

MEMORY = "256MB"
KEYS_PER_QUERY = 500


@contextmanager
def scratch() -> "Iterator[duckdb.DuckDBPyConnection]":
    """A database on disk that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="ingest-compare-") as folder:
        config: dict[str, Any] = {"memory_limit": MEMORY, "preserve_insertion_order": False}
        with duckdb.connect(Path(folder) / "scratch.duckdb", config=config) as database:
            yield database


@dataclass(frozen=True)
class Found:
    """What a comparison found; a row of the origin that is ``changed`` may differ only since the load before."""

    compared: int
    missing: int
    surplus: int
    stale: int
    changed: int
    digest: str
    """Of the keys and what tells changes of all rows of the origin."""


class Comparison:
    """Compares by ``key``, and by the values of ``columns``; ``cursor`` and ``since`` tell which rows have changed.

    Rows that have changed are read anyway if ``columns`` are not all that the table has, and are left out here.
    """

    def __init__(
        self,
        database: "duckdb.DuckDBPyConnection",
        key: Sequence[Column],
        columns: Sequence[Column],
        cursor: Column | None,
        since: Any,
    ) -> None:
        self.database = database
        self.key = [column.name for column in key]
        self.columns = [column for column in columns if column.name not in self.key]
        self.cursor = cursor
        self.keys = ", ".join(map(_quoted, self.key))
        changed = f"{_quoted(cursor.name)} IS NULL OR {_quoted(cursor.name)} >= $since" if cursor else "false"
        self.changed = changed if since is not None else "false"
        self.values = {"since": since} if since is not None and cursor else {}

    def fill(self, side: str, batches: Iterable[pa.Table]) -> None:
        """Takes the rows of one side, ``origin`` or ``held``."""
        hashed = ", ".join(_quoted(column.name) for column in self.columns) or "0"
        told = _quoted(self.cursor.name) if self.cursor else hashed
        alive = f"{_quoted(DELETED_AT)} IS NULL" if side == "held" else "true"
        asked = f"hash({hashed}) AS h, hash({self.keys}, {told}) AS d, {alive} AS alive, "
        asked += f"({self.changed}) AS changed" if side == "origin" else "false AS changed"
        is_there = False
        for batch in batches:
            rows = _canonical(batch, self.columns)  # noqa: F841, DuckDB finds it by its name
            begin = f"INSERT INTO {side}" if is_there else f"CREATE TABLE {side} AS"
            self.database.execute(f"{begin} SELECT {self.keys}, {asked} FROM rows", self._given(side))
            is_there = True

    def _given(self, side: str) -> dict[str, Any]:
        return self.values if side == "origin" else {}

    def find(self, *, leave_changed: bool) -> Found:
        """Makes the tables ``wanted`` and ``surplus`` of the keys to load and to mark as deleted."""
        kept = "AND NOT o.changed" if leave_changed else ""
        self.database.execute(
            f"CREATE TABLE wanted AS SELECT {self._of('o')}, o.changed, h.h IS NULL AS missing "
            f"FROM origin o LEFT JOIN held h ON {self._same} WHERE (h.h IS NULL OR h.h <> o.h) {kept}"
        )
        self.database.execute(
            f"CREATE TABLE surplus AS SELECT {self._of('h')} FROM held h ANTI JOIN origin o ON {self._same} "
            "WHERE h.alive"
        )
        compared, digest = self._one("SELECT count(*), coalesce(bit_xor(d), 0) FROM origin")
        told = "count(*) FILTER (missing AND NOT changed), count(*) FILTER (NOT missing AND NOT changed)"
        missing, stale, changed = self._one(f"SELECT {told}, count(*) FILTER (changed) FROM wanted")
        (surplus,) = self._one("SELECT count(*) FROM surplus")
        return Found(compared, missing, surplus, stale, changed, f"{compared}:{digest}")

    def count(self, table: str) -> int:
        return int(self._one(f"SELECT count(*) FROM {table}")[0])

    def keys_of(self, table: str) -> Iterator[list[tuple[Any, ...]]]:
        """The keys in ``wanted`` or ``surplus``, some hundred at a time."""
        result = self.database.cursor().execute(f"SELECT {self.keys} FROM {table}")
        while keys := result.fetchmany(KEYS_PER_QUERY):
            yield keys

    def only(self, table: str, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The rows whose keys are in ``wanted`` or ``surplus``."""
        same = " AND ".join(f"w.{_quoted(name)} = r.{_quoted(name)}" for name in self.key)
        query = f"SELECT r.* FROM rows r SEMI JOIN {table} w ON {same}"
        for rows in batches:
            reader: Any = self.database.execute(query).to_arrow_reader()
            found: pa.Table = reader.read_all()
            if found.num_rows:
                yield found.cast(rows.schema)

    @property
    def _same(self) -> str:
        return " AND ".join(f"o.{_quoted(name)} = h.{_quoted(name)}" for name in self.key)

    def _of(self, side: str) -> str:
        return ", ".join(f"{side}.{_quoted(name)}" for name in self.key)

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self.database.execute(query).fetchone()
        assert row is not None
        return tuple(row)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _canonical(rows: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """The rows with their JSON written in one way: a destination may write it differently."""
    for column in columns:
        if column.type is JSON:
            texts = [None if text is None else _same_json(text) for text in rows[column.name].to_pylist()]
            rows = rows.set_column(rows.schema.get_field_index(column.name), column.name, pa.array(texts, pa.string()))
    return rows


def _same_json(text: str) -> str:
    try:
        return json.dumps(json.loads(text, parse_float=_number), sort_keys=True)
    except ValueError:
        return text


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number
