"""Plants mistakes in a warehouse without any change at the origin: lost rows, surplus rows, changed values."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, product
from typing import Any, NamedTuple

import duckdb

from ingest_shared.tables import Child, Column, Table
from ingest_testing.warehouse import Warehouse

KINDS = ("removed", "added", "changed")
Key = tuple[Any, ...]


class Mistake(NamedTuple):
    """A mistake in a table, or in the child rows of one of its rows."""

    root: Table
    table: Table | Child
    kind: str
    where: str
    """An SQL condition for the row that was added; empty for the other kinds."""


def plant(warehouse: Warehouse[Any], count: int, seed: int) -> list[Mistake]:
    """Makes this many mistakes over all tables and child tables, each in a different row of a root table."""
    tables = warehouse.location.tables
    hidden = {name: _hidden(warehouse, tables[name]) for name in warehouse.location.kept if name in tables}
    with warehouse.opened() as database:
        return list(_Planter(warehouse, database, hidden, seed).mistakes(count))


def by_root(mistakes: list[Mistake]) -> dict[str, int]:
    """The number of mistakes by root table."""
    return dict(Counter(mistake.root.name for mistake in mistakes))


def take_out_added(warehouse: Warehouse[Any], mistakes: list[Mistake]) -> None:
    """Removes the rows that were added to root tables; fails if the audit neither marked nor removed one."""
    with warehouse.opened() as database:
        for mistake in mistakes:
            if mistake.where and mistake.table is mistake.root:
                added = f"{mistake.table.name} WHERE {mistake.where}"
                if not any(column.name == "deleted_at" for column in mistake.table.columns):
                    assert database.execute(f"SELECT * FROM {added}").fetchall() == [], f"{added}: not removed"
                    continue
                marked = database.execute(f"SELECT deleted_at IS NOT NULL FROM {added}").fetchall()
                assert marked == [(True,)], f"{added}: not marked as deleted"
                database.execute(f"DELETE FROM {added}")


def _hidden(warehouse: Warehouse[Any], table: Table) -> set[Key]:
    """The keys of rows that the origin no longer shows, like those of days before today: an audit leaves them alone."""
    mirror = warehouse.location.mirror(warehouse, table, True)
    return {tuple(row[column] for column in table.key) for row in warehouse.rows(table) if mirror.may_remain(row)}


class _Planter:
    def __init__(
        self,
        warehouse: Warehouse[Any],
        database: duckdb.DuckDBPyConnection,
        hidden: dict[str, set[Key]],
        seed: int,
    ) -> None:
        self.database = database
        self.random = random.Random(seed)
        self.hidden = hidden
        self.tables = [(root, table) for root in warehouse.location.tables.values() for table in root.with_children]
        self.untouched = {root.name: self._keys(root) for root in warehouse.location.tables.values()}

    def mistakes(self, count: int) -> Iterator[Mistake]:
        for (root, table), kind in cycle(product(self.tables, KINDS)):
            if kind == "added" and root.name in self.hidden:
                continue
            owners = [key for key in self.untouched[root.name] if table is root or self._has_rows(root, table, key)]
            if owners:
                owner = self.random.choice(owners)
                self.untouched[root.name].remove(owner)
                count -= 1
                yield Mistake(root, table, kind, self._spoil(kind, root, table, owner, count + 1))
            if not count or not any(self.untouched.values()):
                return

    def _keys(self, root: Table) -> list[Key]:
        keys = self.database.execute(f"SELECT {', '.join(root.key)} FROM {root.name} ORDER BY ALL").fetchall()
        return [key for key in keys if key not in self.hidden.get(root.name, ())]

    def _has_rows(self, root: Table, table: Table | Child, owner: Key) -> bool:
        asked = f"SELECT 1 FROM {table.name} WHERE {_owned(root, table)} LIMIT 1"
        return bool(self.database.execute(asked, owner).fetchall())

    def _spoil(self, kind: str, root: Table, table: Table | Child, owner: Key, number: int) -> str:
        """Removes one row, duplicates it under another key, or changes it."""
        asked = f"SELECT min(rowid) FROM {table.name} WHERE {_owned(root, table)}"
        ((row,),) = self.database.execute(asked, owner).fetchall()
        own_key = next(column for column in table.columns if column.name == table.key[-1])
        if kind == "removed":
            self.database.execute(f"DELETE FROM {table.name} WHERE rowid = ?", [row])
        elif kind == "added":
            wrong = _wrong(own_key, number)
            replaced = f"* REPLACE ({wrong} AS {own_key.name})"
            doubled = f"INSERT INTO {table.name} SELECT {replaced} FROM {table.name} WHERE rowid = ?"
            self.database.execute(doubled, [row])
            return f"{own_key.name} = {wrong}"
        else:
            keys = {*table.key, *table.merge_key}
            column = self.random.choice(
                [c for c in table.columns if c.name not in keys and not c.volatile] or [own_key]
            )
            changed = f'UPDATE {table.name} SET "{column.name}" = {_wrong(column, number)} WHERE rowid = ?'
            self.database.execute(changed, [row])
        return ""


def _owned(root: Table, table: Table | Child) -> str:
    columns = root.key if isinstance(table, Table) else table.merge_key
    return " AND ".join(f"{column} = ?" for column in columns)


def _wrong(column: Column, number: int) -> str:
    """A value, in SQL, that no row of the origin has in the column."""
    match column.type.dlt:
        case "bigint" | "decimal" | "double":
            return str(-number)
        case "bool":
            return f'NOT coalesce("{column.name}", false)'
        case "timestamp":
            return "TIMESTAMPTZ '2001-02-03 04:05:06+00'"
        case "date":
            return "DATE '2001-02-03'"
        case "json":
            return f"'{{\"planted\": {number}}}'"
        case _:
            return f"'planted {number}'"
