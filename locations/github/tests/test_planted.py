"""Whatever is wrong in the warehouse, an audit finds and mends it."""

import random
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import duckdb

from github_location.source.tables import TABLES
from ingest_shared.tables import Child, Column, Table

from .mirror import Warehouse, assert_mirrors

PLANTED = 100
KINDS = ("removed", "added", "changed")


def plant(warehouse: Warehouse, seed: int) -> Iterator[str]:
    """Makes so many mistakes over all tables, each in another row or in the child rows of another; says where."""
    chance = random.Random(seed)
    with duckdb.connect(warehouse.folder / "github.duckdb") as database:
        database.execute("USE github_raw")
        tables = [(root, table) for root in TABLES.values() for table in root.with_children]
        untouched = {root.name: keys_of(database, root) for root in TABLES.values()}
        planted = 0
        for kind, (root, table) in zip(cycle(KINDS), cycle(tables), strict=False):
            if planted == PLANTED:
                return
            owners = [key for key in untouched[root.name] if has_rows(database, root, table, key)]
            if owners:
                owner = chance.choice(owners)
                untouched[root.name].remove(owner)
                planted += 1
                spoil(database, kind, root, table, owner, planted, chance)
                yield f"{table.name} {kind}"


def keys_of(database: duckdb.DuckDBPyConnection, root: Table) -> list[tuple[Any, ...]]:
    return database.execute(f"SELECT {', '.join(root.key)} FROM {root.name} ORDER BY ALL").fetchall()


def owner_columns(root: Table, table: Table | Child) -> tuple[str, ...]:
    return root.key if isinstance(table, Table) else table.within


def where(columns: tuple[str, ...]) -> str:
    return " AND ".join(f"{column} = ?" for column in columns)


def has_rows(database: duckdb.DuckDBPyConnection, root: Table, table: Table | Child, owner: tuple[Any, ...]) -> bool:
    condition = where(owner_columns(root, table))
    return bool(database.execute(f"SELECT 1 FROM {table.name} WHERE {condition} LIMIT 1", owner).fetchall())


def spoil(
    database: duckdb.DuckDBPyConnection,
    kind: str,
    root: Table,
    table: Table | Child,
    owner: tuple[Any, ...],
    number: int,
    chance: random.Random,
) -> None:
    """Removes, doubles under another key, or changes one row."""
    condition = where(owner_columns(root, table))
    ((row,),) = database.execute(f"SELECT min(rowid) FROM {table.name} WHERE {condition}", owner).fetchall()
    own_key = next(column for column in table.columns if column.name == table.key[-1])
    if kind == "removed":
        database.execute(f"DELETE FROM {table.name} WHERE rowid = ?", [row])
    elif kind == "added":
        replaced = f"* REPLACE ({wrong(own_key, number)} AS {own_key.name})"
        database.execute(f"INSERT INTO {table.name} SELECT {replaced} FROM {table.name} WHERE rowid = ?", [row])
    else:
        column = chance.choice([column for column in table.columns if column.name not in table.key] or [own_key])
        database.execute(f"UPDATE {table.name} SET {column.name} = {wrong(column, number)} WHERE rowid = ?", [row])


def wrong(column: Column, number: int) -> str:
    """A value, in SQL, that no row of the origin has in the column."""
    match column.type.dlt:
        case "bigint":
            return str(-number)
        case "bool":
            return f"NOT coalesce({column.name}, false)"
        case "timestamp":
            return "TIMESTAMPTZ '2001-02-03 04:05:06+00'"
        case "json":
            return f"'{{\"planted\": {number}}}'"
        case _:
            return f"'planted {number}'"


def test_a_hundred_planted_mistakes_are_found_and_mended_by_one_audit(warehouse: Warehouse) -> None:
    warehouse.sync()
    planted = list(plant(warehouse, seed=1))
    assert len(planted) == PLANTED
    found = warehouse.audit()
    assert sum(map(sum, found.values())) == PLANTED, f"{found}, planted: {sorted(planted)}"
    assert_mirrors(warehouse, audited=True)
    assert warehouse.audit() == {}
    for table, calls in warehouse.query("SELECT resource, sum(calls) FROM {audits} GROUP BY 1 ORDER BY 1"):
        print(f"{table}: {calls} calls")
