"""One value that cannot be read leaves out its row, and no other: the rest is loaded, and nothing is taken for gone."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ingest_shared.loading import mirror
from ingest_shared.notes import LOAD_GAPS
from ingest_shared.reading import api as http
from ingest_shared.reading.envelopes import HasMore, LinkHeader
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.per_value import PerValue
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import ByCreated, ChangedSince, FullList
from ingest_shared.tables import text
from tests.conftest import Reply, Server, Warehouse
from tests.reading.played import NOW, THINGS, Origin, living, thing

LISTINGS = {
    "full": Listing(THINGS, "/things", walk=FullList(), envelope=LinkHeader()),
    "changed": Listing(
        THINGS,
        "/things",
        walk=ChangedSince("changed", since=lambda at: {"since": at}),
        envelope=LinkHeader(),
        params={"sort": "changed", "direction": "asc"},
    ),
    "created": Listing(
        THINGS,
        "/things",
        walk=ByCreated("created", between=lambda start, end: {"from": start, "to": end}),
        envelope=HasMore(after="after"),
        params={"sort": "created", "direction": "desc"},
    ),
}
WRONG = {"name": 17, "due": "tomorrow"}
"""What does not fit already as JSON, and what fits no date."""
each_walk = pytest.mark.parametrize("walk", LISTINGS)
each_value = pytest.mark.parametrize(("field", "value"), WRONG.items())


def gaps(warehouse: Warehouse) -> list[str]:
    return [reason for (reason,) in warehouse.rows(LOAD_GAPS.name, "reason")]


@pytest.fixture
def origin(server: Server) -> Origin:
    return Origin(server, [thing(id, at=NOW - 100 - id // 2) for id in range(1, 9)])


def wrong(origin: Origin, walk: str, id: int, field: str, value: Any) -> None:
    """A row that cannot be read; ``created`` tells its walk nothing of later changes."""
    origin.in_data = walk == "created"
    origin[id][field] = value


@each_walk
@each_value
def test_all_other_rows_are_loaded_and_its_own_when_it_can_be_read(
    origin: Origin, duckdb_warehouse: Warehouse, walk: str, field: str, value: Any
) -> None:
    right = origin[4][field]
    wrong(origin, walk, 4, field, value)
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    assert [id for id, _ in living(duckdb_warehouse)] == [1, 2, 3, 5, 6, 7, 8]
    (gap,) = gaps(duckdb_warehouse)
    assert gap.startswith(f"table things, column {field}, row id=4: ")
    origin[4][field] = right
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    assert [id for id, _ in living(duckdb_warehouse)] == list(range(1, 9))
    assert gaps(duckdb_warehouse) == []


def test_a_response_that_always_breaks_leaves_out_its_list_and_no_other(
    server: Server, duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "FIRST_BACKOFF", 0.0)
    named = replace(THINGS, columns=(*THINGS.columns, text("kind", "Kind.", origin="reader")))
    per_kind = Listing(named, "/things/{kind}", walk=FullList(), per=PerValue("kind", ("good", "broken", "fine")))
    ids = {"/things/good": 1, "/things/broken": 2, "/things/fine": 3}
    server.answers(
        lambda request: Reply(
            body=json.dumps([thing(ids[request.path])]).encode(), cut=9 if "broken" in request.path else 0
        )
    )
    duckdb_warehouse.load(mirror(Reader(per_kind, Sync(server.api))))
    assert [id for id, _ in living(duckdb_warehouse)] == [1, 3]
    (gap,) = gaps(duckdb_warehouse)
    assert "did not answer" in gap


@each_walk
def test_no_content_is_an_empty_list_and_no_gap(
    server: Server, origin: Origin, duckdb_warehouse: Warehouse, walk: str
) -> None:
    server.answers(lambda request: Reply(204, b""))
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    assert (living(duckdb_warehouse), gaps(duckdb_warehouse)) == ([], [])


@each_walk
@each_value
def test_an_audit_does_not_take_it_for_gone(
    origin: Origin, duckdb_warehouse: Warehouse, walk: str, field: str, value: Any
) -> None:
    wrong(origin, walk, 4, field, origin[4][field])
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    wrong(origin, walk, 4, field, value)
    origin.delete(7)
    origin.sync(duckdb_warehouse, LISTINGS[walk], audit=True)
    assert (4, "thing 4") in living(duckdb_warehouse)
    assert len(gaps(duckdb_warehouse)) == 1


@each_walk
@pytest.mark.parametrize("audit", [False, True])
def test_two_different_rows_with_the_same_key_are_a_gap_and_the_same_row_twice_is_not(
    origin: Origin, duckdb_warehouse: Warehouse, walk: str, audit: bool
) -> None:
    """Only one of them can be loaded, and an audit does not miss the other one either."""
    origin.in_data, origin.per_page = walk == "created", 5
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    origin.things += [thing(9, at=origin.now + 900) for _ in range(2)]
    origin.sync(duckdb_warehouse, LISTINGS[walk], audit=audit)
    assert (len(living(duckdb_warehouse)), gaps(duckdb_warehouse)) == (9, [])
    origin.things[-1]["name"] = "another thing"
    origin.sync(duckdb_warehouse, LISTINGS[walk], audit=audit)
    assert len(living(duckdb_warehouse)) == 9
    (gap,) = gaps(duckdb_warehouse)
    assert gap.startswith("table things: two different rows have the key 9, and only one of them can be loaded")
    del origin.things[-1]
    origin.sync(duckdb_warehouse, LISTINGS[walk], audit=audit)
    assert gaps(duckdb_warehouse) == []


@each_walk
def test_a_page_without_a_row_that_can_be_read_ends_its_list(
    origin: Origin, duckdb_warehouse: Warehouse, walk: str
) -> None:
    for id in range(1, 9):
        wrong(origin, walk, id, "name", 17)
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    assert living(duckdb_warehouse) == []
    assert len(gaps(duckdb_warehouse)) == 1
    assert len(origin.calls) == 1


@pytest.mark.parametrize("errors", [[{"message": "too complex"}], "timeout", {"thing 3": "not found"}])
def test_rows_that_come_with_errors_are_not_taken_for_the_list(
    origin: Origin, duckdb_warehouse: Warehouse, errors: Any
) -> None:
    """GraphQL sends what it has beside its ``errors`` (https://spec.graphql.org/draft/#sec-Errors), as batches do."""
    listing, origin.in_data, everything = (
        replace(LISTINGS["full"], envelope=HasMore(after="after")),
        True,
        origin.things,
    )
    origin.sync(duckdb_warehouse, listing)
    origin.things, origin.errors = everything[:6], errors
    origin.sync(duckdb_warehouse, listing)
    assert [id for id, _ in living(duckdb_warehouse)] == list(range(1, 9))
    (gap,) = gaps(duckdb_warehouse)
    assert gap == f"table things: the response has errors: {errors!r}"
    origin.things, origin.errors = everything, []
    origin.sync(duckdb_warehouse, listing)
    assert gaps(duckdb_warehouse) == []


@pytest.mark.parametrize("data", [{"data": None}, {}])
def test_what_an_api_says_instead_of_rows_is_the_reason(
    origin: Origin, duckdb_warehouse: Warehouse, data: dict[str, None]
) -> None:
    origin.server.answers(lambda _: Reply(200, json.dumps({**data, "errors": "too complex"}).encode()))
    origin.sync(duckdb_warehouse, replace(LISTINGS["full"], envelope=HasMore(rows="data.things", after="after")))
    assert gaps(duckdb_warehouse) == ["table things: the response has errors: 'too complex'"]


def test_an_api_may_say_errors_of_a_list_that_is_complete(origin: Origin, duckdb_warehouse: Warehouse) -> None:
    origin.in_data, origin.errors = True, ["this version ends in May"]
    origin.sync(duckdb_warehouse, replace(LISTINGS["full"], envelope=HasMore(after="after", errors=None)))
    assert len(living(duckdb_warehouse)) == 8
