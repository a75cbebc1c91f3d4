"""Losses that nobody thought of: the audit finds each one, names its table and mends it."""

from random import Random

import duckdb

from ingest_shared.tables import Table
from stripe_location.source.tables import TABLES

from .mirror import TABLES_OF, Warehouse, assert_mirrors

LOSSES = 100


def test_planted_losses_are_found_and_mended(warehouse: Warehouse) -> None:
    warehouse.sync()
    assert warehouse.audit() == {}, "nothing is wrong on a quiet origin"
    planted = plant(warehouse, Random(7), LOSSES)
    found = warehouse.audit()
    assert {table: sum(counts) for table, counts in found.items()} == planted
    for group in TABLES_OF:
        assert_mirrors(warehouse, *(name for name in TABLES_OF[group]))
    assert warehouse.audit() == {}
    for table, compared, calls in warehouse.query(
        "SELECT resource, sum(compared), sum(calls) FROM {audits} GROUP BY 1 ORDER BY 1"
    ):
        print(f"audit of {table}: {compared} rows compared with {calls} calls")


def plant(warehouse: Warehouse, random: Random, count: int) -> dict[str, int]:
    """Removes rows, and changes values, of tables and child tables; counts by table the rows that are wrong now."""
    wrong: dict[str, set[str]] = {}
    with duckdb.connect(warehouse.folder / "stripe.duckdb") as database:
        database.execute("USE stripe_raw")
        while sum(map(len, wrong.values())) < count:
            table = random.choice(list(TABLES.values()))
            ids = [id_ for (id_,) in database.execute(f"SELECT id FROM {table.name} ORDER BY id").fetchall()]
            id_ = random.choice(ids)
            if id_ not in wrong.setdefault(table.name, set()) and _spoil(database, random, table, id_):
                wrong[table.name].add(id_)
    return {table: len(ids) for table, ids in wrong.items() if ids}


def _spoil(database: duckdb.DuckDBPyConnection, random: Random, table: Table, id_: str) -> bool:
    """One loss in one row or in its child rows; False where there is none to lose."""
    if table.children and random.random() < 0.3:
        (child,) = table.children
        owner = child.within[-1]
        removed = database.execute(
            f"DELETE FROM {child.name} WHERE rowid ="
            f" (SELECT min(rowid) FROM {child.name} WHERE {owner} = ?) RETURNING id",
            [id_],
        ).fetchall()
        return bool(removed)
    if random.random() < 0.5:
        database.execute(f"DELETE FROM {table.name} WHERE id = ?", [id_])
        return True
    texts = [c.name for c in table.columns if c.type.name == "text" and c.origin == "payload" and c.name != "id"]
    database.execute(f"UPDATE {table.name} SET {random.choice(texts)} = 'spoilt' WHERE id = ?", [id_])
    return True
