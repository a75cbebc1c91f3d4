"""A list that is read whole: what it has no more is gone, and nothing else is."""

import json
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import pytest

from ingest_shared.loading import mirror
from ingest_shared.reading.audit import COUNTS
from ingest_shared.reading.envelopes import CursorIn, Envelope, LinkHeader, NextLink, Offset, PageNumber
from ingest_shared.reading.listings import Listing, Walk
from ingest_shared.reading.reader import ROUNDS, Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import ByCreated, FullList, NewestFirst
from tests.conftest import Reply, Request, Server, Warehouse
from tests.reading.played import NOW, THINGS, Origin, gaps, gone, living, mirrors, thing

LISTING = Listing(THINGS, "/things", walk=FullList(), envelope=LinkHeader())


@pytest.fixture
def origin(server: Server) -> Origin:
    return Origin(server, [thing(id) for id in range(1, 21)])


def test_what_is_new_changed_or_deleted_is_so_in_the_warehouse(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)
    origin.change(2, name="renamed")
    origin.delete(3)
    origin.things.append(thing(99))
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)
    assert gone(duckdb_warehouse) == {3}


def test_what_comes_back_lives_again(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.delete(3)
    origin.sync(duckdb_warehouse, LISTING)
    origin.things.append(thing(3))
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)
    assert gone(duckdb_warehouse) == set()


def test_a_list_of_one_page_that_did_not_change_is_asked_for_by_its_etag(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.per_page = 100
    origin.sync(duckdb_warehouse, LISTING)
    assert origin.sync(duckdb_warehouse, LISTING) == 1
    assert "If-None-Match" in origin.calls[-1].headers
    assert mirrors(duckdb_warehouse, origin)


def test_a_list_of_one_page_that_grew_to_two_is_read(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    """The first page is the same, and so is its ETag."""
    origin.per_page = 20
    origin.sync(duckdb_warehouse, LISTING)
    origin.things.append(thing(21))
    origin.sync(duckdb_warehouse, LISTING)
    assert mirrors(duckdb_warehouse, origin)


def test_a_row_that_vanishes_between_two_pages_hides_no_other(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    def delete_after_page_1(number: int) -> None:
        if number == 2:
            origin.delete(1)

    origin.sync(duckdb_warehouse, LISTING)
    origin.calls.clear()
    origin.meanwhile = delete_after_page_1
    origin.sync(duckdb_warehouse, LISTING)
    assert {id for id, _ in living(duckdb_warehouse)} == set(range(1, 21)), "it was there when it was read"
    origin.meanwhile = lambda number: None
    origin.sync(duckdb_warehouse, LISTING)
    assert gone(duckdb_warehouse) == {1}
    assert mirrors(duckdb_warehouse, origin)


def test_a_row_that_vanishes_while_the_list_shrinks_to_one_page_is_gone_after_the_next_sync(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    """The page that is left does not change any more, and yet it must be read."""

    def delete_after_page_1(number: int) -> None:
        if number == 2:
            origin.delete(1)

    origin.per_page = 19
    origin.meanwhile = delete_after_page_1
    origin.sync(duckdb_warehouse, LISTING)
    origin.sync(duckdb_warehouse, LISTING)
    assert gone(duckdb_warehouse) == {1}
    assert mirrors(duckdb_warehouse, origin)


def test_a_row_that_is_pushed_to_a_page_that_was_not_there_is_not_gone(
    duckdb_warehouse: Warehouse, server: Server
) -> None:
    """The first page, which tells how many there are, is the same: the API does not send it again."""
    origin = Origin(server, [thing(10 * id) for id in range(1, 22)])

    def add_after_page_1(number: int) -> None:
        if number == 2:
            origin.things.append(thing(105))

    origin.sync(duckdb_warehouse, LISTING)
    origin.calls.clear()
    origin.meanwhile = add_after_page_1
    origin.sync(duckdb_warehouse, LISTING)
    assert gone(duckdb_warehouse) == set()
    assert mirrors(duckdb_warehouse, origin)


@pytest.mark.parametrize(
    "walk",
    [FullList(), NewestFirst("changed"), ByCreated("created", between=lambda since, until: {"since": since})],
    ids=["full", "newest", "created"],
)
@pytest.mark.parametrize(
    ("envelope", "said"),
    [
        (CursorIn(rows="rows", at="next", param="after"), "an earlier page as the next one"),
        (PageNumber(rows="rows"), "two pages in a row have the same rows"),
        (Offset(rows="rows", limit=2), "two pages in a row have the same rows"),
    ],
)
def test_a_list_that_leads_back_is_a_gap_and_neither_complete_nor_endless(
    duckdb_warehouse: Warehouse, server: Server, envelope: Envelope, said: str, walk: Walk
) -> None:
    """Some APIs show the last page again beyond it, and others know no such parameter."""
    pages = {"a": ([1, 2], "b"), "b": ([3, 4], "a")}

    def answer(request: Request) -> Reply:
        rows, following = pages[request.query.get("after", "a")]
        body = json.dumps({"rows": [thing(id, NOW - 90) for id in rows], "next": following})
        return Reply(200, body.encode(), {"Date": formatdate(NOW, usegmt=True)})

    origin = Origin(server, [])
    server.answers(answer)
    origin.sync(duckdb_warehouse, Listing(THINGS, "/things", walk=walk, envelope=envelope))
    (gap,) = gaps(duckdb_warehouse)
    assert said in gap


def test_a_page_that_is_shorter_than_the_first_hides_no_row(duckdb_warehouse: Warehouse, server: Server) -> None:
    """Some APIs send fewer rows than asked for, where they are large or where some of them may not be seen."""
    things = [thing(id) for id in range(1, 30)]

    def answer(request: Request) -> Reply:
        start, limit = int(request.query["offset"]), int(request.query["limit"])
        rows = things[start : start + (limit if start < 10 else min(limit, 3))]
        body = json.dumps({"rows": rows, "total": len(things)})
        return Reply(200, body.encode(), {"Date": formatdate(NOW, usegmt=True)})

    origin = Origin(server, things)
    server.answers(answer)
    envelope = Offset(rows="rows", limit=10, total="total")
    origin.sync(duckdb_warehouse, Listing(THINGS, "/things", walk=FullList(), envelope=envelope))
    assert gaps(duckdb_warehouse) == []
    assert mirrors(duckdb_warehouse, origin)


def test_edits_while_a_list_is_read_are_no_reason_to_read_it_again_and_again(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    origin.meanwhile = lambda number: origin.change(1, name=f"edit {number}")
    pages = 7
    assert origin.sync(duckdb_warehouse, LISTING) <= 3 * pages
    assert gaps(duckdb_warehouse) == []


def test_a_list_that_never_stands_still_is_loaded_but_a_gap_and_nothing_counts_as_deleted(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    def replace_one(number: int) -> None:
        origin.delete(origin.things[0]["id"])
        origin.things.append(thing(1000 + number))

    origin.sync(duckdb_warehouse, LISTING)
    origin.meanwhile = replace_one
    origin.sync(duckdb_warehouse, LISTING)
    assert gaps(duckdb_warehouse) == [f"its list changed each of the {ROUNDS} times it was read"]
    assert gone(duckdb_warehouse) == set()
    assert {1, 20} < {id for id, _ in living(duckdb_warehouse)}
    origin.meanwhile = lambda number: None
    origin.sync(duckdb_warehouse, LISTING)
    assert gaps(duckdb_warehouse) == []
    assert mirrors(duckdb_warehouse, origin)


# Many deletes at once


def test_one_wrong_empty_answer_deletes_nothing(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    things = origin.things

    def empty_once(number: int) -> None:
        origin.things = [] if number == 1 else things

    origin.sync(duckdb_warehouse, LISTING)
    origin.calls.clear()
    origin.meanwhile = empty_once
    origin.sync(duckdb_warehouse, LISTING)
    assert gone(duckdb_warehouse) == set()
    assert gaps(duckdb_warehouse) == [
        "20 of 20 rows were missing in one reading, but 0 in the next: none is marked as deleted"
    ]
    origin.sync(duckdb_warehouse, LISTING)
    assert gaps(duckdb_warehouse) == []
    assert mirrors(duckdb_warehouse, origin)


def test_what_is_missing_from_two_readings_is_believed(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.sync(duckdb_warehouse, LISTING)
    origin.things = []
    origin.sync(duckdb_warehouse, LISTING)
    assert gone(duckdb_warehouse) == set(range(1, 21))
    assert gaps(duckdb_warehouse) == []


def test_a_few_deletes_are_believed_at_once(duckdb_warehouse: Warehouse, origin: Origin) -> None:
    origin.per_page = 100
    origin.sync(duckdb_warehouse, LISTING)
    origin.delete(1, 2)
    assert origin.sync(duckdb_warehouse, LISTING) == 1
    assert gone(duckdb_warehouse) == {1, 2}


@pytest.mark.parametrize("audit", [False, True])
def test_what_leaves_a_list_that_shows_no_more_rows_is_not_gone(
    audit: bool, duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    listing = Listing(THINGS, "/things", walk=FullList(at_most=20), envelope=LinkHeader())
    origin.sync(duckdb_warehouse, listing)
    origin.delete(1, 2)
    origin.things += [thing(21), thing(22)]
    origin.sync(duckdb_warehouse, listing, audit=audit)
    assert {id for id, _ in living(duckdb_warehouse)} == set(range(1, 23))
    origin.delete(3)  # now it shows them all
    origin.sync(duckdb_warehouse, listing, audit=audit)
    assert gone(duckdb_warehouse) == {1, 2, 3}


# Where the list tells what changed since a time


def test_a_list_that_takes_a_time_is_read_whole_once_and_then_what_changed(
    duckdb_warehouse: Warehouse, origin: Origin
) -> None:
    listing = Listing(
        THINGS, "/things", walk=FullList(since=lambda at: {"since": at}, column="changed"), envelope=LinkHeader()
    )
    assert origin.sync(duckdb_warehouse, listing) >= 7
    origin.change(7, name="renamed")
    assert origin.sync(duckdb_warehouse, listing) == 1
    assert mirrors(duckdb_warehouse, origin)
    origin.delete(1)
    origin.sync(duckdb_warehouse, listing)
    assert gone(duckdb_warehouse) == set(), "such a list does not tell of deletes"
    origin.change(8, name="renamed since")
    origin.sync(duckdb_warehouse, listing, audit=True)
    assert gone(duckdb_warehouse) == {1}
    assert duckdb_warehouse.rows("audits", *COUNTS) == [(19, 0, 0, 0, 1, 1)]


@pytest.mark.parametrize(
    ("envelope", "rows", "smallest", "is_gap"),
    [
        (CursorIn(rows="data", at="paging.nxt", param="after"), 5, 1, True),
        (CursorIn(rows="data", at="paging.next", param="after"), 5, 1, False),
        (CursorIn(rows="data", at="paging.next", more="paging.mor", param="after"), 5, 1, True),
        (NextLink(rows="data", at="paging.nxt"), 5, 1, True),
        (CursorIn(rows="data", at="paging.nxt", param="after"), 3, 1, True),
        (CursorIn(rows="data", at="paging.next", param="after"), 3, 1, False),
        (CursorIn(rows="data", at="paging.nxt", param="after"), 2, 1, False),
        (CursorIn(rows="data", at="paging.next", param="after"), 3, 2, False),
    ],
)
@pytest.mark.parametrize("length", [{"params": {"limit": 3}}, {"body": {"paging": {"limit": 3}}}], ids=["GET", "POST"])
def test_a_wrong_place_of_the_next_page_is_a_gap_and_not_the_end(
    envelope: Envelope,
    rows: int,
    smallest: int,
    is_gap: bool,
    length: Mapping[str, Any],
    duckdb_warehouse: Warehouse,
    server: Server,
) -> None:
    def answer(request: Request) -> Reply:
        body = json.loads(request.body or "{}")
        asked = {**body, **body.get("paging", {}), **request.query}
        size, start = int(asked["limit"]), int(asked.get("after", 0))
        if size < smallest:
            return Reply(400, b"{}")
        end = start + size
        paging = {"paging": {"next": str(end), "more": True}} if end < rows else {}
        return Reply(200, json.dumps({"data": [{"id": id} for id in range(1, rows + 1)][start:end], **paging}).encode())

    listing = Listing(THINGS, "/things", walk=FullList(), envelope=envelope, **length)
    api = Origin(server, []).api
    server.answers(answer)
    duckdb_warehouse.load(mirror(Reader(listing, Sync(api))))
    assert ["has no next page at 'paging.n" in gap for gap in gaps(duckdb_warehouse)] == [True] * is_gap
    assert is_gap or len(living(duckdb_warehouse)) == rows
