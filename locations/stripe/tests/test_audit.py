"""Losses that nobody thought of: the audit finds each one, names its table and mends it."""

from pathlib import Path
from random import Random

import duckdb

from ingest_shared.tables import Table
from stripe_location.source.tables import TABLES

from .mirror import EVERY_GROUP, Warehouse, assert_mirrors
from .origin import Origin

LOSSES = 100


def test_planted_losses_are_found_and_mended(origin: Origin, tmp_path: Path) -> None:
    warehouse = Warehouse(origin, tmp_path, EVERY_GROUP)
    warehouse.sync()
    assert warehouse.audit() == {}, "nothing is wrong on a quiet origin"
    planted = plant(warehouse, Random(7), LOSSES)
    found = warehouse.audit()
    assert {table: sum(counts) for table, counts in found.items()} == planted
    assert warehouse.audit() == {}
    for table, compared, calls in warehouse.query(
        "SELECT resource, sum(compared), sum(calls) FROM {audits} GROUP BY 1 ORDER BY 1"
    ):
        print(f"audit of {table}: {compared} rows compared with {calls} calls")
    forget_added(warehouse)
    assert_mirrors(warehouse)


def forget_added(warehouse: Warehouse) -> None:
    """Takes the rows that never were at Stripe out of the warehouse, each of which is marked as deleted."""
    with duckdb.connect(warehouse.folder / "stripe.duckdb") as database:
        for name in TABLES:
            added = f"stripe_raw.{name} WHERE id LIKE 'added%'"
            assert database.execute(f"SELECT count(*) FROM {added} AND deleted_at IS NULL").fetchone() == (0,)
            database.execute(f"DELETE FROM {added}")


def plant(warehouse: Warehouse, random: Random, count: int) -> dict[str, int]:
    """Removes and adds rows, and changes values, of tables and child tables; counts what is wrong now by table."""
    wrong: dict[str, set[str]] = {}
    with duckdb.connect(warehouse.folder / "stripe.duckdb") as database:
        database.execute("USE stripe_raw")
        while sum(map(len, wrong.values())) < count:
            table = random.choice(list(TABLES.values()))
            ids = [
                id_
                for (id_,) in database.execute(
                    f"SELECT id FROM {table.name} WHERE id NOT LIKE 'added%' ORDER BY id"
                ).fetchall()
            ]
            id_ = random.choice(ids) if ids else ""
            if id_ and id_ not in wrong.setdefault(table.name, set()) and _spoil(database, random, table, id_):
                wrong[table.name].add(id_)
    return {table: len(ids) for table, ids in wrong.items() if ids}


def _spoil(database: duckdb.DuckDBPyConnection, random: Random, table: Table, id_: str) -> bool:
    """One loss in one row or in its child rows; False where there is none to lose."""
    if table.children and random.random() < 0.3:
        child = random.choice(table.children)
        owner = child.within[-1]
        removed = database.execute(
            f"DELETE FROM {child.name} WHERE rowid ="
            f" (SELECT min(rowid) FROM {child.name} WHERE {owner} = ?) RETURNING 1",
            [id_],
        ).fetchall()
        return bool(removed)
    if random.random() < 0.3:
        database.execute(f"DELETE FROM {table.name} WHERE id = ?", [id_])
        return True
    if random.random() < 0.4:
        added = "SELECT * REPLACE ('added_' || id AS id)"
        database.execute(f"INSERT INTO {table.name} {added} FROM {table.name} WHERE id = ?", [id_])
        return True
    texts = [c.name for c in table.columns if c.type.name == "text" and c.origin == "payload" and c.name != "id"]
    database.execute(f"UPDATE {table.name} SET \"{random.choice(texts)}\" = 'spoilt' WHERE id = ?", [id_])
    return True
