"""Ranges of keys, and how far the rows of a table are known to be loaded."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from ingest_shared.databases.connection import Reads, Snapshot
from ingest_shared.tables import BIGINT, TIMESTAMP, Column

ROWS = 500_000
"""Approximate number of rows in a range."""
RANGES = 256
"""At most, of a table whose keys are numbers."""
Value = Any
Edge = list[Value]


def edges(snapshot: Snapshot, reads: Reads, key: Sequence[Column]) -> list[Edge]:
    """The keys at which ranges of about ``ROWS`` rows begin, except for the first, which is open."""
    if [column.type for column in key] == [BIGINT]:
        column = reads.raw(key[0])
        ends = sa.select(sa.func.min(column), sa.func.max(column)).select_from(reads.table)
        ((first, last),) = snapshot.rows(ends)
        if first is None:
            return []
        count = min(RANGES, math.ceil((last - first + 1) / ROWS))
        return [[first + (last - first + 1) * i // count] for i in range(1, count)]
    columns = [reads.raw(column) for column in key]
    number = sa.func.row_number().over(order_by=columns).label("n")
    values = [reads.value(column).label(f"k{i}") for i, column in enumerate(key)]
    numbered = sa.select(*values, number).select_from(reads.table).subquery()
    found = snapshot.rows(sa.select(numbered).where(numbered.c.n % ROWS == 0).order_by(numbered.c.n))
    return [[written(value) for value in row[:-1]] for row in found]


def between(
    reads: Reads, key: Sequence[Column], low: Edge | None, high: Edge | None
) -> Iterator[sa.ColumnElement[bool]]:
    """The rows from ``low`` on and below ``high``; the first range also has the rows without a key.

    If there cannot be any, they are not requested: a range that includes them would not use an index on the key.
    """
    columns = [reads.raw(column) for column in key]
    if low:
        values = [read_back(value, column) for value, column in zip(low, key, strict=True)]
        yield columns[0] >= values[0]
        yield sa.not_(_below(columns, values))
    if high:
        values = [read_back(value, column) for value, column in zip(high, key, strict=True)]
        below = sa.and_(columns[0] <= values[0], _below(columns, values))
        without = [reads.raw(column).is_(None) for column in key if column.path in reads.nullable]
        yield below if low else sa.or_(below, *without)


def _below(columns: Sequence[sa.ColumnElement[Any]], values: Sequence[Value]) -> sa.ColumnElement[bool]:
    """Whether a key sorts before these values."""
    if len(columns) == 1:
        return sa.and_(columns[0] < values[0])
    return sa.or_(columns[0] < values[0], sa.and_(columns[0] == values[0], _below(columns[1:], values[1:])))


def written(value: Value) -> Value:
    """A value as dlt's state keeps it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value


def read_back(value: Value, column: Column) -> Value:
    """A value that :func:`written` made, of this column."""
    match column.type.dlt:
        case "timestamp":
            at = datetime.fromisoformat(value)
            return at.replace(tzinfo=UTC) if column.type is TIMESTAMP and at.tzinfo is None else at
        case "date":
            return date.fromisoformat(value)
        case "decimal":
            return Decimal(value)
        case "binary":
            return bytes.fromhex(value)
        case _:
            return value


def not_in_the_future(highest: Value) -> Value:
    """A cursor that lies in the future would hide what changes until then."""
    if isinstance(highest, datetime):
        return min(highest, datetime.now(UTC).replace(tzinfo=None) if highest.tzinfo is None else datetime.now(UTC))
    return min(highest, datetime.now(UTC).date()) if isinstance(highest, date) else highest


def less(value: Value, lag: float) -> Value:
    """The value that is ``lag`` seconds or units below."""
    if isinstance(value, datetime):
        return value - timedelta(seconds=lag)
    return value - timedelta(days=math.ceil(lag / 86_400)) if isinstance(value, date) else value - type(value)(lag)
