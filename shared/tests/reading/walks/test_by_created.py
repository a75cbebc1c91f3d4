"""A list of what was created within a span of time, newest first."""

from dataclasses import replace
from datetime import UTC, datetime
from unittest.mock import Mock

import pytest

from ingest_shared.reading import reader
from ingest_shared.reading.envelopes import HasMore
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.walks import ByCreated, by_created
from tests.conftest import Server, Warehouse
from tests.reading.played import NOW, THINGS, Origin, gaps, gone, living, mirrors, thing

WALK = ByCreated("created", between=lambda start, end: {"from": start, "to": end})
LISTING = Listing(
    THINGS,
    "/things",
    walk=WALK,
    envelope=HasMore(after="after"),
    params={"sort": "created", "direction": "desc"},
)


@pytest.fixture
def origin(server: Server) -> Origin:
    return Origin(server, [thing(id) for id in range(1, 21)], in_data=True)


def test_all_is_read_at_first_and_then_what_is_new(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)
    origin.things += [thing(100 + id, at=origin.now + id) for id in range(5)]
    assert origin.sync(duckdb_warehouse, LISTING) <= 3
    assert mirrors(duckdb_warehouse, origin)


def test_a_row_that_the_list_shows_late_is_read_with_the_next_sync(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.things.append(thing(99, at=origin.now - 200))
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_more_rows_of_one_second_than_a_page_holds_are_all_read(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.things += [thing(id, at=NOW - 90) for id in range(100, 110)]
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_the_last_row_of_a_page_that_vanishes_before_the_next_page_hides_no_other(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.meanwhile = lambda number: origin.delete(3) if number == 2 else None
    origin.sync(duckdb_warehouse, LISTING)
    assert {id for id, _ in living(duckdb_warehouse)} >= {*range(1, 21)} - {3}


def test_a_page_out_of_order_is_a_gap_and_not_a_loss(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    listing = Listing(THINGS, "/things", walk=WALK, envelope=LISTING.envelope, params={"sort": "created"})
    origin.sync(duckdb_warehouse, listing)
    assert gaps(duckdb_warehouse) == ["a page is not sorted newest first, as requested: rows could be lost"]
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_edits_and_deletes_are_found_by_the_audit(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.change(8, name="renamed")
    origin.delete(7)
    origin.sync(duckdb_warehouse, LISTING, audit=True)
    assert mirrors(duckdb_warehouse, origin)
    assert gone(duckdb_warehouse) == {7}


def test_a_first_load_that_ends_early_goes_on_where_it_was(
    duckdb_warehouse: Warehouse, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = origin.now + 1000
    with monkeypatch.context() as patch:
        patch.setattr(reader, "BEGINS_FOR", 0.0)
        for pages in (1, 2):
            assert origin.sync(duckdb_warehouse, LISTING, stopped=True) == 1, "of a part, the first page is always read"
            assert len(living(duckdb_warehouse)) == 2 * pages, "the last row of a page is left to the next"
    origin.things.append(thing(99, at=began + 1))
    calls = origin.sync(duckdb_warehouse, LISTING)
    assert {id for id, _ in living(duckdb_warehouse)} == {*range(1, 21)}, "what came since belongs to the next sync"
    assert calls == len(range(4, 20, 2))
    assert origin.sync(duckdb_warehouse, LISTING) == 1
    assert mirrors(duckdb_warehouse, origin)


def test_a_part_that_cannot_be_read_loses_nothing_of_what_was_left(
    duckdb_warehouse: Warehouse, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BEGINS_FOR", 0.0)
    origin.sync(duckdb_warehouse, LISTING, stopped=True)
    origin[5]["seen"] = "just now"
    origin.sync(duckdb_warehouse, LISTING, stopped=True)
    assert [*gaps(duckdb_warehouse)]
    origin[5]["seen"] = 1000 * NOW
    monkeypatch.setattr(reader, "BEGINS_FOR", 180.0)
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_no_longer_span_is_asked_for_than_the_api_takes(
    duckdb_warehouse: Warehouse, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_created, "time", Mock(time=lambda: origin.now))
    longest = 10_000_000
    listing = replace(LISTING, walk=replace(WALK, longest=longest))
    edges = {NOW // length * length - 1 for length in (longest - 1, longest)}
    origin.things += [thing(100 * number + id, at=at) for number, at in enumerate(edges, 1) for id in range(10)]
    origin.sync(duckdb_warehouse, listing)
    assert mirrors(duckdb_warehouse, origin)
    assert origin.sync(duckdb_warehouse, listing) == 1
    origin.now += 2 * longest
    origin.things.append(thing(999, at=origin.now - longest))
    assert origin.sync(duckdb_warehouse, listing) == 3, "after a long pause, too"
    assert mirrors(duckdb_warehouse, origin)
    assert max(int(call.query["to"]) - int(call.query["from"]) for call in origin.calls) <= longest


def test_a_list_that_begins_on_a_day_is_asked_for_nothing_older(
    duckdb_warehouse: Warehouse, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_created, "time", Mock(time=lambda: origin.now))
    year, spans = 365 * 86_400, replace(WALK, longest=180 * 86_400)
    origin.things.append(thing(99, at=NOW - 2 * year))
    calls = origin.sync(duckdb_warehouse, replace(LISTING, walk=spans))
    assert {id for id, _ in living(duckdb_warehouse)} == {*range(1, 21), 99}
    begins = datetime.fromtimestamp(NOW - year, UTC).date()
    listing = replace(LISTING, walk=replace(spans, earliest=begins.isoformat()))
    origin.calls.clear()
    origin.delete(20)
    assert origin.sync(duckdb_warehouse, listing, audit=True) < calls - 80
    assert min(int(call.query["from"]) for call in origin.calls) >= NOW - year - 86_400
    assert gone(duckdb_warehouse) == {20}, "what is older stays as it is"


def test_the_day_on_which_a_list_begins_is_a_date() -> None:
    with pytest.raises(ValueError, match="earliest='2024-02-30' must be a date like 2024-01-31"):
        replace(WALK, earliest="2024-02-30")


@pytest.mark.parametrize(("changed", "counted"), [("", (1, 0)), ("changed", (0, 1))])
def test_a_row_that_may_change_for_a_while_is_read_again_and_not_lost_if_it_changes_later(
    duckdb_warehouse: Warehouse, origin: Origin, changed: str, counted: tuple[int, int]
) -> None:
    listing = replace(LISTING, walk=replace(WALK, lag=5_000, changed=changed))
    origin.sync(duckdb_warehouse, listing)
    origin.change(1, name="renamed")
    origin.sync(duckdb_warehouse, listing)
    assert mirrors(duckdb_warehouse, origin)
    origin.now += 10_000
    origin.sync(duckdb_warehouse, listing)
    origin.change(1, name="renamed again")
    origin.sync(duckdb_warehouse, listing, audit=True)
    assert mirrors(duckdb_warehouse, origin)
    assert duckdb_warehouse.rows("audits", "stale", "changed") == [counted]
