"""What differs between an origin and the warehouse, row by row, in bounded memory.

Both sides are streamed into a DuckDB file of this process, which keeps the key of each row and a hash of its values,
and finds the differences. So neither the order of keys nor the SQL of the two sides has to agree.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from ingest_shared import pipelines
from ingest_shared.reading.tombstones import DELETED_AT, KEYS_PER_QUERY
from ingest_shared.tables import JSON, Column

MEMORY = "256MB"
"""DuckDB's limit; what does not fit goes to disk, next to its file."""


@dataclass(frozen=True)
class Found:
    """What a comparison found; a row of the origin that is ``changed`` may differ only since the previous load."""

    compared: int
    missing: int
    surplus: int
    stale: int
    changed: int
    digest: str
    """A digest of all rows of the origin, from their keys and the columns that show changes."""


@contextmanager
def comparison(
    key: Sequence[str], columns: Sequence[Column], cursor: str = "", since: Any = None
) -> "Iterator[Comparison]":
    """A comparison by ``key``, and by the values of the other ``columns``, until the block ends.

    Rows whose ``cursor`` is null or not below ``since`` have changed. The file is on the pipeline's disk, since a
    folder for temporary files may be in memory.
    """
    config: dict[str, Any] = {"memory_limit": MEMORY, "preserve_insertion_order": False}
    with (
        tempfile.TemporaryDirectory(dir=pipelines.current().working_dir) as folder,
        duckdb.connect(Path(folder) / "compared.duckdb", config=config) as database,
    ):
        database.execute("SET enable_progress_bar = false")
        yield Comparison(database, key, columns, cursor, since)


class Comparison:
    """The tables ``origin`` and ``held``, and what differs: ``wanted`` is to be loaded, ``surplus`` is gone."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        key: Sequence[str],
        columns: Sequence[Column],
        cursor: str,
        since: Any,
    ) -> None:
        self._database = database
        self._key = key
        self._keys = ", ".join(map(_quoted, key))
        self._since = since
        compared = [column.name for column in columns if column.name not in key and not column.volatile]
        values = ", ".join(map(_quoted, compared)) or "0"
        told = _quoted(cursor) if cursor else values
        changed = f"{_quoted(cursor)} IS NULL OR {_quoted(cursor)} >= $since" if since is not None else "false"
        is_alive = f"{DELETED_AT} IS NULL" if any(column.name == DELETED_AT for column in columns) else "true"
        self._asked = {
            "origin": f"hash({values}) AS h, hash({self._keys}, {told}) AS d, {changed} AS changed",
            "held": f"hash({values}) AS h, {is_alive} AS alive",
        }
        self._json = [column.name for column in columns if column.type is JSON]
        self._schema = pa.schema([(column.name, column.type.arrow) for column in columns])
        for side in self._asked:
            self._take(f"CREATE TABLE {side} AS", side, self._schema.empty_table())

    def fill(self, side: Literal["origin", "held"], batches: Iterable[pa.Table]) -> None:
        """Adds rows of one side."""
        for rows in batches:
            self._take(f"INSERT INTO {side}", side, rows)

    def _take(self, statement: str, side: str, rows: pa.Table) -> None:
        for name in self._json:  # a destination may format it differently
            texts = pa.array(map(_canonical, rows[name].to_pylist()), pa.string())
            rows = rows.set_column(rows.schema.get_field_index(name), name, texts)
        asked = self._asked[side]
        given = {"since": self._since} if "$since" in asked else {}
        self._database.execute(f"{statement} SELECT {self._keys}, {asked} FROM rows", given)

    def find(self, *, leave_changed: bool = False) -> Found:
        """Fills the tables ``wanted`` and ``surplus``; ``leave_changed`` if changed rows are loaded anyway."""
        same = " AND ".join(f"o.{name} = h.{name}" for name in map(_quoted, self._key))
        of_origin, of_held = (", ".join(f"{side}.{_quoted(name)}" for name in self._key) for side in "oh")
        kept = "AND NOT o.changed" if leave_changed else ""
        self._database.execute(
            f"CREATE TABLE wanted AS SELECT {of_origin}, o.changed, h.h IS NULL AS missing "
            f"FROM origin o LEFT JOIN held h ON {same} WHERE (h.h IS NULL OR h.h <> o.h) {kept}"
        )
        self._database.execute(
            f"CREATE TABLE surplus AS SELECT {of_held} FROM held h ANTI JOIN origin o ON {same} WHERE h.alive"
        )
        ((compared, digest),) = self._rows("SELECT count(*), coalesce(bit_xor(d), 0) FROM origin")
        told = "count(*) FILTER (missing AND NOT changed), count(*) FILTER (NOT missing AND NOT changed)"
        ((missing, stale, changed),) = self._rows(f"SELECT {told}, count(*) FILTER (changed) FROM wanted")
        return Found(compared, missing, self.count("surplus"), stale, changed, f"{compared}:{digest}")

    def count(self, table: str) -> int:
        ((rows,),) = self._rows(f"SELECT count(*) FROM {table}")
        return int(rows)

    def by(self, column: str) -> list[tuple[Any, int, int, int, int]]:
        """For each value of a column of the key: how many rows were compared, are missing, stale and surplus."""
        of, wrong = _quoted(column), "count(*) FILTER (missing) AS missing, count(*) FILTER (NOT missing) AS stale"
        counts = "coalesce(o.n, 0), coalesce(missing, 0), coalesce(stale, 0)"
        return self._rows(
            f"WITH o AS (SELECT {of}, count(*) AS n FROM origin GROUP BY ALL), "
            f"h AS (SELECT {of}, count(*) AS n FROM held GROUP BY ALL), "
            f"w AS (SELECT {of}, {wrong} FROM wanted GROUP BY ALL) "
            # A duplicate counts as surplus, too.
            f"SELECT {of}, {counts}, coalesce(h.n, 0) - coalesce(o.n, 0) + coalesce(missing, 0) "
            f"FROM o FULL JOIN h USING ({of}) LEFT JOIN w USING ({of})"
        )

    def keys(self, table: Literal["wanted", "surplus"]) -> Iterator[list[tuple[Any, ...]]]:
        """The keys of a few rows, some hundred at a time; instants are in UTC."""
        schema = pa.schema([self._schema.field(name) for name in self._key])
        keys = self._database.sql(f"SELECT {self._keys} FROM {table}").to_arrow_table().cast(schema)
        for first in range(0, keys.num_rows, KEYS_PER_QUERY):
            yield [tuple(row.values()) for row in keys.slice(first, KEYS_PER_QUERY).to_pylist()]

    def only(self, table: Literal["wanted", "surplus"], batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The rows whose keys are in the table."""
        for rows in batches:
            query = f"SELECT rows.* FROM rows SEMI JOIN {table} USING ({self._keys})"
            found = self._database.sql(query).to_arrow_table()
            if found.num_rows:
                yield found.cast(rows.schema)

    def _rows(self, query: str) -> list[Any]:
        return self._database.execute(query).fetchall()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _canonical(text: str | None) -> str | None:
    """JSON in one canonical form; a number is the same with and without an exponent or trailing zeros."""
    if text is None:
        return None
    try:
        return json.dumps(json.loads(text, parse_float=_number), sort_keys=True)
    except ValueError:
        return text


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number
