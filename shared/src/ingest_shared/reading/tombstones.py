"""Deletes that the API does not report: rows that are missing from a full list, objects that are gone.

A deleted row stays in the warehouse with its last values and gets ``deleted_at``. The merge
replaces whole rows, so those values are read back from the warehouse. Call all functions while dlt reads a resource, in
the same thread. Their ``table`` has a column ``deleted_at``, and one key column besides those that ``scope`` names. A
scope gives each column a value, null, a tuple of possible values, or the :class:`~ingest_shared.reading.windows.Window`
that contains its instant.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec
import pyarrow as pa
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient
from dlt.destinations.sql_client import SqlClientBase

from ingest_shared import pipelines
from ingest_shared.columnar import arrow_schema
from ingest_shared.reading.windows import Window
from ingest_shared.tables import JSON, AnyTable, Table, all_columns

DELETED_AT = "deleted_at"
KEYS_PER_QUERY = 500


class _Opened:
    """The warehouse during a block in which no table of the group changes."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._columns: dict[str, frozenset[str]] = {}

    @cached_property
    def client(self) -> SqlClientBase[Any]:
        client: SqlClientBase[Any] = pipelines.current().sql_client()
        return self._stack.enter_context(client)  # type: ignore[arg-type]  # dlt types __exit__ too narrowly

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table, in lower case; none before its first load."""
        if table not in self._columns:
            try:
                with self.client.execute_query(f"SELECT * FROM {table} WHERE 1 = 0") as cursor:
                    self._columns[table] = frozenset(map(str.lower, cursor.columns_schema))
            except DatabaseUndefinedRelation:
                self._columns[table] = frozenset()
        return self._columns[table]


_opened: ContextVar[_Opened | None] = ContextVar("opened", default=None)


@contextmanager
def warehouse_opened_once() -> Iterator[None]:
    """Opens the warehouse at this module's first query in the block and keeps it open for later ones.

    Opening it takes some 50 ms. It must be closed while an API is read, or other groups of the location could not load
    into a DuckDB file.
    """
    if _opened.get():
        yield
        return
    with ExitStack() as stack:
        token = _opened.set(_Opened(stack))
        try:
            yield
        finally:
            _opened.reset(token)


def held_rows(table: AnyTable, like: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with all declared columns, that the warehouse holds under the keys of ``like``.

    For a child table, all rows of the same owners. Values are as the destination's driver returns them.
    """
    names = [column.name for column in all_columns(table)]
    owner = table.merge_key or table.key
    by = owner[-1]  # the others only distinguish equal keys of several scopes
    wanted = {tuple(row[name] for name in owner) for row in like}
    keys = list({row[-1] for row in wanted})
    with _held(table, {name: None for name in table.key if name != by}) as held:
        if held is None:
            return []
        found: list[dict[str, Any]] = []
        for i in range(0, len(keys), KEYS_PER_QUERY):
            some = keys[i : i + KEYS_PER_QUERY]
            condition = f"{held.name(by)} IN ({', '.join(['%s'] * len(some))})"
            rows = replace(held, scope={}).rows(names, condition, *some)
            found += (dict(zip(names, row, strict=True)) for row in rows)
    return [row for row in found if tuple(row[name] for name in owner) in wanted]


def held_where(table: Table, columns: Sequence[str], scope: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """These columns of the rows of ``scope`` that are not deleted, as the destination's driver returns them.

    None before the first load.
    """
    with _held(table, scope) as held:
        if held is None:
            return None
        rows = held.rows(list(columns), f"{held.name(DELETED_AT)} IS NULL")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def held_without(table: Table, other: Table) -> list[dict[str, Any]] | None:
    """The keys of the existing rows for which ``other``, a table with the same key, has no row.

    None before the first load.
    """
    with _held(table, {}) as held, _held(other, {}) as found:
        if held is None:
            return None
        columns = [held.name(name) for name in table.key]
        sql = f"SELECT {', '.join(columns)} FROM {held.table} WHERE {held.name(DELETED_AT)} IS NULL"
        if found:
            sql += f" EXCEPT SELECT {', '.join(columns)} FROM {found.table}"
        return [dict(zip(table.key, row, strict=True)) for row in held.client.execute_sql(sql) or ()]


def held_without_parent(
    table: Table, key: str, columns: Sequence[str], parent: Table, parent_key: str
) -> list[dict[str, Any]]:
    """``key`` and ``columns`` of the living rows of which no row of ``parent`` lives that has the same key."""
    with _held(table, {}) as held, _held(parent, {}) as owners:
        if not held or not owners or key not in held.columns:
            return []
        names = [key, *columns]
        same = f"parent.{owners.name(parent_key)} = held.{held.name(key)} AND {owners.name(DELETED_AT)} IS NULL"
        # For NOT IN, PostgreSQL would read all parents again for each row as soon as they exceed its `work_mem`.
        condition = f"NOT EXISTS (SELECT 1 FROM {owners.table} AS parent WHERE {same})"
        sql = f"SELECT DISTINCT {', '.join(map(held.name, names))} FROM {held.table} AS held "
        sql += f"WHERE {held.name(DELETED_AT)} IS NULL AND {condition}"
        return [dict(zip(names, row, strict=True)) for row in held.client.execute_sql(sql) or ()]


def living(table: Table, scope: Mapping[str, Any]) -> set[Any]:
    """The keys of the rows of ``scope`` that the warehouse holds without ``deleted_at``."""
    with _held(table, scope) as held:
        return {key for (key,) in held.rows([held.key], f"{held.name(DELETED_AT)} IS NULL")} if held else set()


def deleted(table: Table, scope: Mapping[str, Any], at: Mapping[Any, int]) -> pa.Table:
    """The rows that the warehouse holds under the keys of ``at``, each marked as deleted at that time.

    A column that dlt will add to the warehouse only with the next load is null.
    """
    schema, keys = arrow_schema(table), list(at)
    with _held(table, scope) as held:
        if held is None:
            return schema.empty_table()
        rows: list[Any] = []
        for i in range(0, len(keys), KEYS_PER_QUERY):
            some = keys[i : i + KEYS_PER_QUERY]
            rows += held.rows(schema.names, f"{held.name(held.key)} IN ({', '.join(['%s'] * len(some))})", *some)
    values = _by_column(schema, rows)
    values[DELETED_AT] = tuple(datetime.fromtimestamp(at[key], UTC) for key in values[held.key])
    return _arrow(table, values)


def key_in(table: AnyTable, scope: Mapping[str, Any]) -> str:
    """The column of the key that distinguishes the rows of a scope; the scope may itself give one or many values of
    it."""
    return next((name for name in table.key if name not in scope or isinstance(scope[name], tuple)), table.key[-1])


def query(sql: str, *args: Any) -> list[Any]:
    """The rows of a query, in which ``{name}`` stands for a table; none if a table does not exist yet."""
    with warehouse_opened_once():
        opened = _opened.get()
        assert opened
        client = opened.client
        named = re.sub(r"\{(\w+)\}", lambda found: client.make_qualified_table_name(found[1]), sql)
        try:
            return list(client.execute_sql(named, *args) or ())
        except DatabaseUndefinedRelation:
            return []


@dataclass(frozen=True)
class _Held:
    """The rows of a scope as the warehouse holds them."""

    client: SqlClientBase[Any]
    table: str
    columns: frozenset[str]
    """The columns that exist in the warehouse; a newly declared column may still be missing."""
    declared: AnyTable
    scope: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The single column that distinguishes the rows of the scope, to find rows by it."""
        return key_in(self.declared, self.scope)

    def name(self, column: str) -> str:
        """The column in SQL; ``NULL`` if the warehouse does not have it."""
        return self.client.escape_column_name(column) if column in self.columns else "NULL"

    def _asked(self, column: str) -> str:
        """The column as it is selected: JSON as its text, since of a parsed text nobody knows that it was JSON."""
        texts = {c.name for c in self.declared.columns if c.type is JSON} | {"_undeclared"}
        is_parsed = isinstance(self.client, Psycopg2SqlClient) and column in texts and column in self.columns
        return f"{self.name(column)}::text" if is_parsed else self.name(column)

    def rows(self, columns: list[str], condition: str, *args: Any) -> list[Any]:
        """These columns of the rows of the scope that meet the condition."""
        conditions, values = [condition], list(args)
        for column, value in self.scope.items():
            if isinstance(value, Window):
                conditions.append(f"{self.name(column)} >= %s AND {self.name(column)} < %s")
                values += [datetime.fromtimestamp(second, UTC) for second in (value.start, value.end)]
            elif value is None:
                conditions.append(f"{self.name(column)} IS NULL")
            elif isinstance(value, tuple):
                conditions.append(f"{self.name(column)} IN ({', '.join(['%s'] * len(value))})")
                values += value
            else:
                conditions.append(f"{self.name(column)} = %s")
                values.append(value)
        names = ", ".join(map(self._asked, columns))
        sql = f"SELECT {names} FROM {self.table} WHERE {' AND '.join(conditions)}"
        return list(self.client.execute_sql(sql, *values) or ())


@contextmanager
def _held(table: AnyTable, scope: Mapping[str, Any]) -> Iterator[_Held | None]:
    """What the warehouse holds of the table; None before the first load."""
    if unknown := scope.keys() - {column.name for column in table.columns}:
        raise ValueError(
            f"table {table.name}: declare a column {min(unknown)!r}, which says which scope a row belongs to"
        )
    with warehouse_opened_once():
        opened = _opened.get()
        assert opened
        name = opened.client.make_qualified_table_name(table.name)
        columns = opened.columns(name)
        yield _Held(opened.client, name, columns, table, scope) if columns else None


def _by_column(schema: pa.Schema, rows: list[Any]) -> dict[str, tuple[Any, ...]]:
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return dict(zip(schema.names, columns, strict=True))


def _arrow(table: Table, values: Mapping[str, Any]) -> pa.Table:
    schema = arrow_schema(table)
    texts = {column.name for column in table.columns if column.type is JSON} | {"_undeclared"}
    return pa.table([_array(values[f.name], f.type, as_json=f.name in texts) for f in schema], schema=schema)


def _array(values: Any, type_: pa.DataType, *, as_json: bool) -> pa.Array:
    """The values from the destination's driver; some drivers parse JSON."""
    if as_json:
        values = [
            value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()
            for value in values
        ]
    return pa.array(values, type_)
