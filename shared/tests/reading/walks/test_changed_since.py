"""A list that takes a time: what changed since the last sync, whatever moves while it is read."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ingest_shared.reading.envelopes import LinkHeader
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.walks import ChangedSince
from tests.conftest import Server, Warehouse
from tests.reading.played import NOW, THINGS, Origin, gaps, gone, living, mirrors, thing

LISTING = Listing(
    THINGS,
    "/things",
    walk=ChangedSince("changed", since=lambda at: {"since": at}),
    envelope=LinkHeader(),
    params={"sort": "changed", "direction": "asc"},
)
UNSORTED = "a page is not sorted oldest first, as requested: rows could be lost"


@pytest.fixture
def origin(server: Server) -> Origin:
    return Origin(server, [thing(id) for id in range(1, 21)])


def test_all_is_read_at_first_and_then_what_changed(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)
    origin.change(7, name="renamed")
    origin.things.append(thing(99, at=origin.now))
    assert origin.sync(duckdb_warehouse, LISTING) <= 2
    assert mirrors(duckdb_warehouse, origin)


def test_a_quiet_list_costs_one_call_that_counts_against_no_quota(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    for _ in range(2):
        origin.sync(duckdb_warehouse, LISTING)
    assert origin.sync(duckdb_warehouse, LISTING) == 1
    assert "If-None-Match" in origin.calls[-1].headers


def test_more_rows_of_one_second_than_a_page_holds_are_all_read(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.things += [thing(id, at=NOW - 5) for id in range(100, 110)]
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_rows_that_move_to_the_end_while_they_are_read_hide_no_other(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.meanwhile = lambda number: origin.change(number, name=f"edit {number}") if number <= 5 else None
    origin.sync(duckdb_warehouse, LISTING)
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_rows_that_vanish_while_they_are_read_hide_no_other(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.meanwhile = lambda number: origin.delete(20) if number == 2 else None
    origin.sync(duckdb_warehouse, LISTING)
    assert {id for id, _ in living(duckdb_warehouse)} >= set(range(1, 20))


def test_a_row_that_moves_away_from_a_second_of_many_hides_no_other(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.things = [thing(id, at=NOW - 5) for id in range(1, 11)]
    origin.meanwhile = lambda number: origin.change(1) if number == 3 else None
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
    listing = Listing(THINGS, "/things", walk=LISTING.walk, envelope=LinkHeader(), params={"sort": "id"})
    origin.sync(duckdb_warehouse, listing)
    assert gaps(duckdb_warehouse) == [UNSORTED]
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_deletes_are_found_by_the_audit(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.delete(7)
    origin.sync(duckdb_warehouse, LISTING)
    assert gone(duckdb_warehouse) == set()
    origin.sync(duckdb_warehouse, LISTING, audit=True)
    assert gone(duckdb_warehouse) == {7}


def test_what_changes_while_the_audit_reads_is_not_gone(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.calls.clear()
    origin.meanwhile = lambda number: origin.change(1, name=f"edit {number}")
    origin.sync(duckdb_warehouse, LISTING, audit=True)
    assert gone(duckdb_warehouse) == set()
    origin.meanwhile = lambda number: None
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_more_rows_of_one_second_than_a_page_that_change_while_the_audit_reads_are_not_gone(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    def change_all_together(number: int) -> None:
        if number == 1:
            for thing in origin.things:
                thing["changed"] = NOW + 5000

    origin.sync(duckdb_warehouse, LISTING)
    origin.calls.clear()
    origin.meanwhile = change_all_together
    origin.sync(duckdb_warehouse, LISTING, audit=True)
    assert gone(duckdb_warehouse) == set()


def test_a_row_that_the_list_hides_for_a_minute_after_a_change_is_not_gone(
    duckdb_warehouse: Warehouse, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://developer.zendesk.com/documentation/ticketing/managing-tickets/using-the-incremental-export-api"""
    wanted = Origin._wanted

    def seen(origin: Origin, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [thing for thing in wanted(origin, query) if thing["changed"] <= origin.now - 60]

    monkeypatch.setattr(Origin, "_wanted", seen)
    monkeypatch.setattr("time.sleep", lambda seconds: setattr(origin, "now", origin.now + seconds))
    hiding = replace(LISTING, walk=ChangedSince("changed", since=lambda at: {"since": at}, hidden_for=60))
    origin.sync(duckdb_warehouse, hiding)
    origin.delete(9)
    for id in (7, 8, *range(10, 16)):
        origin.change(id, name="renamed", changed=origin.now + 980)
    origin.sync(duckdb_warehouse, hiding, audit=True)
    assert gone(duckdb_warehouse) == {9}
    assert duckdb_warehouse.rows("audits", "changed", "stale") == [(8, 0)]
    assert living(duckdb_warehouse) == sorted((thing["id"], thing["name"]) for thing in origin.things)


# An API that does not do what it is asked


def since_of(since: Callable[[int], Mapping[str, int]]) -> Listing:
    return replace(LISTING, walk=ChangedSince("changed", since=since))


@pytest.mark.parametrize("at", [None, NOW - 5], ids=["one a minute", "all in one second"])
def test_a_list_that_leaves_out_the_second_it_is_asked_for_is_a_gap(
    at: int | None, duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.things = [thing(id, at) for id in range(1, 11)]
    exclusive = since_of(lambda at: {"since": at + 1})
    for audit in (False, True):
        origin.sync(duckdb_warehouse, exclusive, audit=audit)
        (gap,) = gaps(duckdb_warehouse)
        assert "pass the second before, `at - 1`, to `since`" in gap
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_a_row_that_moves_away_from_where_the_next_page_begins_is_no_gap(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.meanwhile = lambda number: origin.change(18) if number == 2 else None
    origin.sync(duckdb_warehouse, LISTING)
    assert gaps(duckdb_warehouse) == []
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


@pytest.mark.parametrize("first", [0, 1], ids=["from the day on", "from the second before"])
def test_a_list_that_knows_only_days_is_read_to_its_end(
    first: int, duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.things, origin.per_page = [thing(id, NOW - 2_000 * id) for id in range(1, 121)], 10
    by_day = since_of(lambda at: {"since": at // 86_400 * 86_400 - first})
    assert origin.sync(duckdb_warehouse, by_day) < 80
    assert mirrors(duckdb_warehouse, origin)
    origin.change(7, name="renamed")
    origin.sync(duckdb_warehouse, by_day)
    assert mirrors(duckdb_warehouse, origin)
    assert origin.sync(duckdb_warehouse, by_day, audit=True) < 80
    assert gaps(duckdb_warehouse) == []


def test_of_a_list_that_knows_only_days_no_row_counts_as_changed_that_was_loaded(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.things = [thing(id, NOW - 100 * id) for id in range(1, 21)]
    by_day = since_of(lambda at: {"since": at // 86_400 * 86_400})
    origin.sync(duckdb_warehouse, by_day)
    duckdb_warehouse.execute("DELETE FROM {things} WHERE id = 1")
    origin.sync(duckdb_warehouse, by_day, audit=True)
    assert duckdb_warehouse.rows("audits", "missing", "changed") == [(1, 0)]


def test_an_order_that_only_the_first_page_has_is_a_gap(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.things = [thing(id, NOW - 9_000 + id) for id in range(1, 21)]
    origin[3]["changed"] = NOW - 5
    by_id = replace(LISTING, params={"sort": "id"})
    for audit in (False, True):
        origin.sync(duckdb_warehouse, by_id, audit=audit)
        assert gaps(duckdb_warehouse) == [UNSORTED]


def test_newest_first_is_a_gap_also_where_a_page_holds_one_second(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.things += [thing(id, NOW - 5) for id in range(100, 104)]
    origin.sync(duckdb_warehouse, replace(LISTING, params={"sort": "changed", "direction": "desc"}))
    assert gaps(duckdb_warehouse) == [UNSORTED]


# A filter that cannot name the second


@pytest.mark.parametrize("unit", [1, 86_400], ids=["seconds", "days"])
def test_a_filter_that_reaches_back_further_than_it_is_asked_hides_nothing(
    unit: int, duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    """Jira's JQL takes times in the user's time zone, so the day before is asked for."""
    origin.things = [thing(id, at=NOW - 5_000 * id) for id in range(1, 41)]
    day_before = since_of(lambda at: {"since": (at - 86_400) // unit * unit})
    origin.sync(duckdb_warehouse, day_before)
    assert mirrors(duckdb_warehouse, origin)
    for id in range(1, 12):
        origin.change(id, name="renamed")
    origin.sync(duckdb_warehouse, day_before)
    assert mirrors(duckdb_warehouse, origin)
    origin.calls.clear()
    origin.meanwhile = lambda number: origin.change(40 - number) if number < 4 else None
    origin.sync(duckdb_warehouse, day_before, audit=True)
    assert gone(duckdb_warehouse) == set()
    origin.sync(duckdb_warehouse, day_before)
    assert mirrors(duckdb_warehouse, origin)


def test_rows_that_leave_the_pages_before_the_time_asked_for_hide_no_other(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.things = [thing(id, at=NOW - 100 * id) for id in range(1, 41)]
    hour_before = since_of(lambda at: {"since": at - 3_600})
    origin.sync(duckdb_warehouse, hour_before)
    for id in range(1, 8):
        origin.change(id, name="renamed")
    origin.calls.clear()
    origin.meanwhile = lambda number: origin.change(30 - number) if 1 < number < 9 else None
    origin.sync(duckdb_warehouse, hour_before)
    assert {id for id, name in living(duckdb_warehouse) if name == "renamed"} == set(range(1, 8))
