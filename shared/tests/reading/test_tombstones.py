"""A row that the origin deleted without a word stays, with its last values and a mark."""

import json
import os
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest

from ingest_shared import tables as t
from ingest_shared.columnar import Decoder, Page
from ingest_shared.loading import Load
from ingest_shared.reading import tombstones
from ingest_shared.reading.tombstones import deleted, held_without_parent, living
from ingest_shared.reading.windows import Window
from ingest_shared.tables import Table
from tests.conftest import Warehouse, read_by, reading

NOW = 1_714_559_400
COMMENTS = Table(
    name="comments",
    description="Comments.",
    docs="",
    key=("id",),
    columns=(
        t.bigint("id", "Immutable id."),
        t.bigint("repo_id", "Repository.", origin="reader"),
        t.text("body", "Text."),
        t.timestamp("created_at", "When."),
        t.decimal("score", "Score."),
        t.double("share", "Share."),
        t.boolean("edited", "Whether."),
        t.json("reactions", "Reactions."),
        t.epoch("deleted_at", "When it was noticed to be gone.", origin="reader"),
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


def noticing(repo_id: int, seen: AbstractSet[int], at: int = NOW, table: Table = COMMENTS, **scope: Any) -> Any:
    """A resource whose reader saw just these rows of the repository."""

    def read(_: Load) -> Iterable[Page | pa.Table]:
        where = {"repo_id": repo_id, **scope}
        yield deleted(table, where, dict.fromkeys(living(table, where) - seen, at))

    return read_by(Decoder(table), read)


def told(table: Table, scope: dict[str, Any], at: dict[int, int]) -> Any:
    """A resource whose reader knows when these rows were deleted."""

    def read(_: Load) -> Iterable[Page | pa.Table]:
        yield deleted(table, scope, at)

    return read_by(Decoder(table), read)


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


def without(*columns: str) -> Decoder:
    """The decoder of the time before these columns were declared."""
    return Decoder(replace(COMMENTS, columns=tuple(c for c in COMMENTS.columns if c.name not in columns)))


@pytest.mark.parametrize("new", ["share", "reactions", "deleted_at"])
def test_a_column_that_the_warehouse_has_not_got_yet_is_null(new: str, warehouse: Warehouse) -> None:
    before = without(new)
    body = json.dumps([comment(10), comment(11)]).encode()
    warehouse.load(reading(before, before.page(body, {"repo_id": 1})))
    warehouse.load(noticing(1, {10}))
    assert marked(warehouse) == {10: False, 11: True}
    assert warehouse.rows("comments", "id", "body", "share IS NULL", "reactions IS NULL") == [
        (id, f"caf\u00e9 {id}", new == "share", new == "reactions") for id in (10, 11)
    ]


def test_a_scope_that_the_warehouse_cannot_tell_yet_holds_nothing(warehouse: Warehouse) -> None:
    before = without("repo_id")
    warehouse.load(reading(before, before.page(json.dumps([comment(10)]).encode())))
    warehouse.load(noticing(1, set()))
    assert marked(warehouse) == {10: False}


def test_a_row_outside_the_span_that_was_listed_is_not_marked(warehouse: Warehouse) -> None:
    made = int(datetime(2024, 5, 1, 10, 30, tzinfo=UTC).timestamp())
    warehouse.load(reading(decoder, page(1, 10)))
    warehouse.load(noticing(1, set(), created_at=Window(made - 60, made)))
    warehouse.load(noticing(1, set(), created_at=Window(made + 1, made + 60)))
    assert marked(warehouse) == {10: False}
    warehouse.load(noticing(1, set(), created_at=Window(made, made + 1)))
    assert marked(warehouse) == {10: True}


def test_a_key_of_several_columns_is_told_apart_by_the_one_outside_the_scope(warehouse: Warehouse) -> None:
    keyed = replace(COMMENTS, key=("repo_id", "id"))
    warehouse.load(reading(Decoder(keyed), page(1, 10, 11), page(2, 10)))
    warehouse.load(noticing(1, {11}, table=keyed))
    assert warehouse.rows("comments", "repo_id", "id", "deleted_at IS NULL") == [
        (1, 10, False),
        (1, 11, True),
        (2, 10, True),
    ]


def test_rows_are_marked_with_the_time_that_is_told_of_each(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tombstones, "KEYS_PER_QUERY", 2)
    warehouse.load(reading(decoder, page(1, 10, 11, 12, 13)))
    at = {12: NOW + 2, 10: NOW, 11: NOW + 1, 99: NOW}
    warehouse.load(told(COMMENTS, {"repo_id": 1}, at))
    assert {id: when and when.timestamp() for id, when in warehouse.rows("comments", "id", "deleted_at")} == {
        10: NOW,
        11: NOW + 1,
        12: NOW + 2,
        13: None,
    }


REPLIES = Table(
    name="replies",
    description="Replies to each comment.",
    docs="",
    key=("id",),
    columns=(
        t.bigint("id", "Immutable id."),
        t.bigint("comment_id", "Comment."),
        t.epoch("deleted_at", "When it was noticed to be gone.", origin="reader"),
    ),
)


def replies_to(*comments: int) -> Any:
    replies = Decoder(REPLIES)
    rows = [{"id": 100 * number, "comment_id": id} for number, id in enumerate(comments)]
    return reading(replies, replies.page(json.dumps(rows).encode()))


def without_comment(warehouse: Warehouse) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def read(_: Load) -> Iterable[Page | pa.Table]:
        found.extend(held_without_parent(REPLIES, "comment_id", [], COMMENTS, "id"))
        return ()

    warehouse.load(read_by(Decoder(COMMENTS), read))
    return found


def test_rows_whose_parent_is_gone_or_unknown_are_without_a_parent(warehouse: Warehouse) -> None:
    warehouse.load(reading(decoder, page(1, 10, 11)))
    warehouse.load(replies_to(10, 11, 11, 12))
    warehouse.load(noticing(1, {10}))
    assert sorted(row["comment_id"] for row in without_comment(warehouse)) == [11, 12]


def test_rows_without_a_parent_are_found_quickly_among_more_than_postgres_keeps_in_memory(postgres: str) -> None:
    settings = "-cwork_mem=64kB\t-cstatement_timeout=5s"
    os.environ["DESTINATION__POSTGRES__CREDENTIALS"] = f"{postgres}&options={quote(settings)}"
    os.environ["INGEST_DESTINATION"] = "postgres"
    warehouse = Warehouse("postgres", "many_parents")
    warehouse.load(reading(decoder, page(1, *range(30_000))), replies_to(*range(30_001)))
    warehouse.execute("ANALYZE {comments}", "ANALYZE {replies}")
    assert without_comment(warehouse) == [{"comment_id": 30_000}]
