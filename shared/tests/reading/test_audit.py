"""The audit finds every difference between the origin and the warehouse, mends it, and counts it."""

from typing import Any

import pytest

from ingest_shared.reading.audit import COUNTS
from ingest_shared.reading.envelopes import LinkHeader
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.walks import ByCreated, ChangedSince, FullList, NewestFirst
from tests.conftest import Server, Warehouse
from tests.reading.played import THINGS, Origin, gaps, gone, mirrors, thing

LISTING = Listing(THINGS, "/things", walk=FullList(), envelope=LinkHeader())
DIFFERENCES = (
    ("DELETE FROM {things} WHERE id = 7", "missing"),
    ("UPDATE {things} SET name = 'wrong' WHERE id = 7", "stale"),
    ("UPDATE {things} SET name = NULL WHERE id = 7", "stale"),
    ("UPDATE {things} SET created = '2000-01-01 00:00:00' WHERE id = 7", "stale"),
    ("UPDATE {things} SET _undeclared = '{\"x\": 1}' WHERE id = 7", "stale"),
    ("UPDATE {things} SET deleted_at = '2024-01-01 00:00:00' WHERE id = 7", "stale"),
    ("UPDATE {things} SET id = 77 WHERE id = 7", "missing surplus"),
    ("DELETE FROM {thing_tags} WHERE thing_id = 7 AND tag = 'red'", "stale"),
    ("DELETE FROM {thing_tags} WHERE thing_id = 7", "stale"),
    ("UPDATE {thing_tags} SET tag = 'wrong' WHERE thing_id = 7 AND tag = 'red'", "stale"),
    ("INSERT INTO {thing_tags} (thing_id, tag) VALUES (7, 'wrong')", "stale"),
    ("INSERT INTO {thing_tags} (thing_id, tag) VALUES (7, 'red')", "stale"),
)
"""SQL that makes a difference in the warehouse, and what an audit calls it."""


@pytest.fixture
def origin(server: Server, warehouse: Warehouse) -> Origin:
    """A list that the warehouse holds."""
    origin = Origin(server, [thing(id, None, "", "red", "big") for id in range(1, 21)])
    origin.sync(warehouse, LISTING)
    return origin


def audited(warehouse: Warehouse, origin: Origin) -> dict[str, Any]:
    """What an audit finds, by its kind."""
    calls = origin.sync(warehouse, LISTING, audit=True)
    columns = ("scope", "compared", "missing", "surplus", "stale", "changed", "deleted", "calls")
    (row,) = warehouse.rows("audits", *columns)
    found = dict(zip(columns, row, strict=True))
    assert found.pop("scope") == "the whole list"
    assert found.pop("calls") > 0
    assert found.pop("compared") == len(origin.things)
    assert calls >= 7
    return {kind: number for kind, number in found.items() if number}


def test_on_a_quiet_origin_it_finds_and_changes_nothing(warehouse: Warehouse, origin: Origin) -> None:
    before = warehouse.rows("things", "*"), warehouse.rows("thing_tags", "*")
    assert audited(warehouse, origin) == {}
    assert (warehouse.rows("things", "*"), warehouse.rows("thing_tags", "*")) == before


def test_each_difference_is_found_and_mended(warehouse: Warehouse, origin: Origin) -> None:
    """What one audit leaves, the next one would find beside what was done meanwhile."""
    for sql, kind in DIFFERENCES:
        warehouse.execute(sql)
        assert audited(warehouse, origin) == dict.fromkeys(kind.split(), 1), sql
        assert mirrors(warehouse, origin), sql
        assert len(warehouse.rows("thing_tags", "tag")) == 2 * len(warehouse.rows("things", "id")) - 2 * len(
            gone(warehouse) & {77}
        ), sql
    assert audited(warehouse, origin) == {}


def test_what_the_api_makes_anew_for_each_answer_is_loaded_but_not_compared(
    server: Server, warehouse: Warehouse
) -> None:
    walk = ChangedSince("changed", since=lambda at: {"since": at})
    listing = Listing(THINGS, "/things", walk, LinkHeader(), params={"sort": "changed", "direction": "asc"})
    origin = Origin(server, [thing(id) | {"link": "first"} for id in range(1, 21)])
    origin.sync(warehouse, listing)
    for each in origin.things:
        each["link"] = "second"
    warehouse.execute("UPDATE {things} SET name = 'wrong' WHERE id = 7")
    origin.sync(warehouse, listing, audit=True)
    assert warehouse.rows("audits", "stale") == [(1,)]
    assert {id: link for id, link in warehouse.rows("things", "id", "link") if link != "first"} == {7: "second"}


def test_what_the_api_makes_anew_for_each_answer_is_no_change_by_which_a_loss_could_be_explained(
    server: Server, duckdb_warehouse: Warehouse
) -> None:
    origin = Origin(server, [thing(id) for id in range(1, 21)])

    def sign(number: int) -> None:
        for one in origin.things:
            one["link"] = f"https://example.com/{one['id']}?signature={number}"

    origin.meanwhile = sign
    origin.sync(duckdb_warehouse, LISTING)
    duckdb_warehouse.execute("DELETE FROM {things} WHERE id = 7")
    assert audited(duckdb_warehouse, origin) == {"missing": 1}


def test_a_row_that_stands_twice_is_found_and_mended(server: Server, duckdb_warehouse: Warehouse) -> None:
    """In PostgreSQL it cannot."""
    origin = Origin(server, [thing(id) for id in range(1, 21)])
    origin.sync(duckdb_warehouse, LISTING)
    duckdb_warehouse.execute("INSERT INTO {things} SELECT * FROM {things} WHERE id = 7")
    assert audited(duckdb_warehouse, origin) == {"stale": 1}
    assert mirrors(duckdb_warehouse, origin)


def test_a_list_without_times_that_changed_since_is_mended_and_nothing_of_it_called_lost(
    warehouse: Warehouse, origin: Origin
) -> None:
    origin.delete(7)
    origin.change(8, name="edited")
    origin.things.append(thing(99))
    warehouse.execute("UPDATE {things} SET name = 'wrong' WHERE id = 9")
    assert audited(warehouse, origin) == {"changed": 4}
    assert gone(warehouse) == {7}
    assert mirrors(warehouse, origin)
    assert audited(warehouse, origin) == {}


def test_an_audit_that_is_the_first_load_finds_nothing(server: Server, warehouse: Warehouse) -> None:
    origin = Origin(server, [thing(id) for id in range(1, 21)])
    origin.sync(warehouse, LISTING, audit=True)
    assert mirrors(warehouse, origin)
    assert warehouse.rows("audits", "scope") == []


def test_what_came_or_changed_after_the_load_before_was_not_lost(server: Server, warehouse: Warehouse) -> None:
    walk = ChangedSince("changed", since=lambda at: {"since": at})
    listing = Listing(THINGS, "/things", walk, LinkHeader(), params={"sort": "changed", "direction": "asc"})
    origin = Origin(server, [thing(id) for id in range(1, 21)])
    origin.sync(warehouse, listing)
    warehouse.execute("DELETE FROM {things} WHERE id = 7")
    origin.change(8, name="edited")
    origin.things.append(thing(99, at=origin.now))
    origin.delete(9)
    origin.sync(warehouse, listing, audit=True)
    assert warehouse.rows("audits", *COUNTS) == [(20, 1, 0, 0, 2, 1)]
    assert mirrors(warehouse, origin)


NEWEST = {"sort": "created", "direction": "desc"}
WALKS = {
    "changed": (ChangedSince("changed", since=lambda at: {"since": at}), {"sort": "changed"}),
    "newest": (NewestFirst("changed", whole={"sort": "created"}), {}),
    "created": (ByCreated("created", between=lambda start, end: {"from": start, "to": end}), NEWEST),
}


@pytest.mark.parametrize("walk", WALKS)
def test_a_row_that_one_reading_of_an_audit_lacks_is_not_gone(walk: str, server: Server, warehouse: Warehouse) -> None:
    """A list by time is read once, so that nothing but a second reading can tell."""
    how, params = WALKS[walk]
    listing = Listing(THINGS, "/things", how, LinkHeader(), params=params)
    origin = Origin(server, [thing(id) for id in range(1, 21)], per_page=100)
    origin.sync(warehouse, listing)
    things = origin.things
    origin.calls.clear()

    def hide_at_first(number: int) -> None:
        origin.things = [thing for thing in things if thing["id"] != 7] if number == 1 else things

    origin.meanwhile = hide_at_first
    origin.sync(warehouse, listing, audit=True)
    assert gone(warehouse) == set()
    assert gaps(warehouse) == ["1 of 20 rows were missing in one reading, but 0 in the next: none is marked as deleted"]
    origin.meanwhile = lambda number: None
    origin.sync(warehouse, listing)
    origin.delete(7)
    origin.sync(warehouse, listing, audit=True)
    assert gone(warehouse) == {7}
    assert gaps(warehouse) == []


def test_what_goes_between_two_readings_of_an_audit_keeps_no_other_alive(server: Server, warehouse: Warehouse) -> None:
    how, params = WALKS["changed"]
    listing = Listing(THINGS, "/things", how, LinkHeader(), params=params)
    origin = Origin(server, [thing(id) for id in range(1, 21)], per_page=100)
    origin.sync(warehouse, listing)
    origin.delete(7)
    origin.calls.clear()
    origin.meanwhile = lambda number: origin.delete(8) if number > 1 else None
    origin.sync(warehouse, listing, audit=True)
    assert gone(warehouse) == {7}
    assert gaps(warehouse) == []
