"""A row that the origin deleted without a word stays, with its last values and a mark."""

import json
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from ingest_shared import tables as t
from ingest_shared.columnar import Decoder, Page
from ingest_shared.loading import Load, mirror
from ingest_shared.tables import Table
from ingest_shared.tombstones import vanished
from tests.conftest import Warehouse, reading

NOW = 1_714_559_400
COMMENTS = Table(
    name="comments",
    meaning="Comments.",
    docs="",
    key=("id",),
    columns=(
        t.bigint("id", "Immutable id."),
        t.bigint("repo_id", "Repository.", origin="given"),
        t.text("body", "Text."),
        t.timestamp("created_at", "When."),
        t.decimal("score", "Score."),
        t.double("share", "Share."),
        t.boolean("edited", "Whether."),
        t.json("reactions", "Reactions."),
        t.epoch("deleted_at", "When it was noticed to be gone.", origin="given"),
    ),
)
decoder = Decoder(COMMENTS)


def comment(id: int) -> dict[str, Any]:
    return {
        "id": id,
        "body": f"caf\u00e9 {id}",
        "created_at": "2024-05-01T10:30:00.123456Z",
        "score": "0.100000000001",
        "share": 0.1,
        "edited": True,
        "reactions": {"+1": 2},
        "mood": {"x": [1]},
    }


def page(repo_id: int, *ids: int) -> Page:
    return decoder.page(json.dumps([comment(id) for id in ids]).encode(), {"repo_id": repo_id})


def noticing(repo_id: int, seen: AbstractSet[int], at: int = NOW) -> Any:
    """A resource whose reader saw just these rows of the repository."""

    def read(_: Load) -> Iterable[Page | pa.Table]:
        yield vanished(COMMENTS, {"repo_id": repo_id}, seen, at)

    return mirror(decoder, read)


def marked(warehouse: Warehouse) -> dict[int, bool]:
    return {id: at is not None for id, at in warehouse.rows("comments", "id", "deleted_at")}


def test_a_row_that_a_whole_list_no_longer_has_is_marked_and_others_are_not(warehouse: Warehouse) -> None:
    warehouse.load(reading(decoder, page(1, 10, 11), page(2, 20)))
    warehouse.load(noticing(1, {10}))
    assert marked(warehouse) == {10: False, 11: True, 20: False}


def test_a_marked_row_keeps_its_last_values_of_every_type(warehouse: Warehouse) -> None:
    columns = ("id", "repo_id", "body", "created_at", "score", "share", "edited", "reactions", "_undeclared")
    warehouse.load(reading(decoder, page(1, 10)))
    before = warehouse.rows("comments", *columns)
    warehouse.load(noticing(1, set()))
    assert warehouse.rows("comments", *columns) == before
    ((_, _, body, created_at, score, *_),) = before
    assert (body, score) == ("caf\u00e9 10", Decimal("0.100000000001"))
    assert created_at.astimezone(UTC) == datetime(2024, 5, 1, 10, 30, 0, 123456, tzinfo=UTC)
    ((deleted_at,),) = warehouse.rows("comments", "deleted_at")
    assert deleted_at.timestamp() == NOW


def test_a_row_that_is_marked_already_keeps_its_first_mark(duckdb_warehouse: Warehouse) -> None:
    duckdb_warehouse.load(reading(decoder, page(1, 10)))
    duckdb_warehouse.load(noticing(1, set()))
    duckdb_warehouse.load(noticing(1, set(), at=NOW + 1000))
    ((deleted_at,),) = duckdb_warehouse.rows("comments", "deleted_at")
    assert deleted_at.timestamp() == NOW


def test_before_the_first_load_nothing_can_have_vanished(warehouse: Warehouse) -> None:
    warehouse.load(noticing(1, set()))
    assert warehouse.rows("comments", "id") == []
