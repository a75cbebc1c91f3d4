"""A list that takes no time: read whole once, then from its newest change down to the last sync."""

import pytest

from ingest_shared.reading.envelopes import LinkHeader
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.walks import NewestFirst
from tests.conftest import Server, Warehouse
from tests.reading.played import NOW, THINGS, Origin, gaps, gone, mirrors, thing

WALK = NewestFirst(
    "changed",
    whole={"sort": "created", "direction": "asc"},
    changed={"sort": "changed", "direction": "desc"},
)
LISTING = Listing(THINGS, "/things", walk=WALK, envelope=LinkHeader())


@pytest.fixture
def origin(server: Server) -> Origin:
    return Origin(server, [thing(id) for id in range(1, 21)])


def test_all_is_read_at_first_and_then_what_changed(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)
    for id in (7, 20):
        origin.change(id, name="renamed")
    origin.things.append(thing(99, at=origin.now))
    assert origin.sync(duckdb_warehouse, LISTING) == 2
    assert mirrors(duckdb_warehouse, origin)


def test_a_quiet_list_costs_one_call_that_counts_against_no_quota(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.per_page = 100
    for _ in range(2):
        origin.sync(duckdb_warehouse, LISTING)
    assert origin.sync(duckdb_warehouse, LISTING) == 1
    assert "If-None-Match" in origin.calls[-1].headers


def test_a_list_that_stays_empty_counts_against_no_quota_either(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.things = []
    origin.sync(duckdb_warehouse, LISTING)
    origin.sync(duckdb_warehouse, LISTING)
    assert "If-None-Match" in origin.calls[-1].headers
    origin.things = [thing(1, at=origin.now)]
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_what_changes_while_all_is_read_is_there_after_the_next_sync(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.meanwhile = lambda number: origin.change(number, name=f"edit {number}")
    origin.sync(duckdb_warehouse, LISTING)
    origin.meanwhile = lambda number: None
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_what_moves_to_the_front_while_changes_are_read_hides_no_other(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.calls.clear()
    for id in range(1, 9):
        origin.change(id, name="renamed")
    origin.meanwhile = lambda number: origin.change(20, name="edited") if number == 2 else None
    origin.sync(duckdb_warehouse, LISTING)
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_what_changes_in_the_very_second_of_a_sync_is_there_after_the_next(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.things.append(thing(99, at=NOW + 1000))  # as of when the sync begins
    origin.sync(duckdb_warehouse, LISTING)
    origin[99]["name"] = "renamed within the second"
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_a_page_out_of_order_is_a_gap_and_not_a_loss(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.change(7, name="renamed")
    disordered = NewestFirst("changed", whole=WALK.whole, changed={"sort": "changed"})
    origin.sync(duckdb_warehouse, Listing(THINGS, "/things", walk=disordered, envelope=LinkHeader()))
    assert gaps(duckdb_warehouse) == ["a page is not sorted newest first, as requested: rows could be lost"]
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_deletes_are_found_by_the_audit(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.delete(7)
    origin.sync(duckdb_warehouse, LISTING)
    assert gone(duckdb_warehouse) == set()
    origin.sync(duckdb_warehouse, LISTING, audit=True)
    assert gone(duckdb_warehouse) == {7}
