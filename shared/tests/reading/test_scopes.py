"""What a scope gives to the requests for it: its values, and a header that tells it apart."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from ingest_shared.loading import Load, mirror
from ingest_shared.reading.audit import COUNTS
from ingest_shared.reading.envelopes import HasMore
from ingest_shared.reading.listings import Listing, Scope, Walk
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.per_value import PerValue
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import ByCreated, ChangedSince, FullList, NewestFirst
from ingest_shared.tables import Table, bigint, epoch, text
from tests.conftest import Reply, Request, Server, Warehouse

THINGS = Table(
    name="things",
    description="Things of each tenant.",
    docs="https://example.com/things",
    key=("tenant", "id"),
    columns=(
        text("tenant", "Whose it is.", origin="reader"),
        bigint("id", "Immutable id."),
        epoch("deleted_at", "When it was found to be deleted.", origin="reader"),
    ),
)


DELETED_AT = epoch("deleted_at", "When it was found to be deleted.", origin="reader")
BOARDS = Table(
    name="boards",
    description="Boards.",
    docs="https://example.com/boards",
    key=("id",),
    columns=(bigint("id", "Immutable id."), DELETED_AT),
)
CARDS = Table(
    name="cards",
    description="Cards of each board.",
    docs="https://example.com/cards",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        bigint("board_id", "Board.", origin="reader"),
        epoch("changed", "When it changed."),
        DELETED_AT,
    ),
)
WALKS: dict[str, Walk] = {
    "sorted": ChangedSince("changed", since=lambda at: {"since": at}),
    "unsorted": FullList(since=lambda at: {"since": at}, column="changed"),
}


class Tenant(Scope):
    @property
    def headers(self) -> Mapping[str, str]:
        return {"X-Tenant": self.name}


class Tenants(Sync):
    def scopes(self, listing: Listing, load: Load) -> Iterable[Scope]:
        return [Tenant(name, name, {"tenant": name}) for name in ("one", "two")]


@pytest.mark.parametrize(
    ("body", "filled"),
    [
        ({"id": "{id}", "of": "{tenant}"}, {"id": (1, 2), "of": "one"}),
        ({"filter": {"ids": "{id}", "tenant": "{tenant}"}}, {"filter": {"ids": (1, 2), "tenant": "one"}}),
        (
            {"inputs": [{"id": "{id}", "of": "{tenant}"}], "properties": ["name"]},
            {"inputs": [{"id": 1, "of": "one"}, {"id": 2, "of": "one"}], "properties": ["name"]},
        ),
        ({"jql": "id in ({id}) AND of = '{tenant}'"}, {"jql": "id in (1,2) AND of = 'one'"}),
        ({"query": "{ nodes {name} }", "id": "{other}"}, {"query": "{ nodes {name} }", "id": "{other}"}),
    ],
)
def test_a_body_has_the_values_of_its_scope_however_deep(body: Any, filled: Any) -> None:
    assert Scope("one", "one", {"tenant": "one", "id": (1, 2)}).fill(body) == filled


@pytest.mark.parametrize("since", [0, 5])
def test_what_a_walk_asks_for_has_the_values_of_the_scope_too(since: int, server: Server) -> None:
    """https://developers.klaviyo.com/en/reference/get_campaigns wants a channel in each filter"""
    walk = ChangedSince("changed", since=lambda at: {"filter": f"and(is({{channel}}),after({at}))"})
    listing = Listing(
        CARDS, "/cards", walk=walk, per=PerValue("channel", ("email",)), params={"filter": "is({channel})"}
    )
    reader = Reader(listing, Sync(server.api))
    (scope,) = PerValue("channel", ("email",)).scopes(reader.sync, Load("cards", {}))
    asked = reader.request(scope, **(walk.since(since) if since else {}))
    assert asked.params == {"filter": "and(is(email),after(5))" if since else "is(email)"}


def test_rows_that_are_read_by_their_own_key_many_at_once_are_found_to_be_gone(
    server: Server, duckdb_warehouse: Warehouse
) -> None:
    """Jira's worklogs: one list has the ids, which are numbers in quotes, and another one what they stand for."""
    boards = replace(BOARDS, columns=(bigint("id", "Immutable id.", sent_as_text=True), DELETED_AT))
    details = replace(
        CARDS, key=("board_id",), columns=(bigint("board_id", "Board."), text("name", "Name."), DELETED_AT)
    )
    held = {id_: f"board {id_}" for id_ in range(1, 6)}

    def answer(request: Request) -> Reply:
        found: list[Any] = [{"id": str(id_)} for id_ in held]
        if request.path == "/details":
            ids = json.loads(request.body)["ids"]
            found = [{"board_id": id_, "name": held[id_]} for id_ in ids if id_ != 5]
        return Reply(body=json.dumps(found).encode())

    def sync(*, audit: bool = False) -> list[tuple[int, str, bool]]:
        reading = Sync(server.api, audit)
        per_board = PerRow(boards, {"board_id": "id"}, at_once=3)
        listings = (
            Listing(boards, "/boards", walk=FullList()),
            Listing(details, "/details", walk=FullList(), per=per_board, body={"ids": "{board_id}"}),
        )
        duckdb_warehouse.load(*[mirror(Reader(listing, reading)) for listing in listings])
        found = duckdb_warehouse.rows("cards", "board_id", "name", "deleted_at")
        return [(id_, name, at is not None) for id_, name, at in found]

    server.answers(answer)
    assert sync() == [(id_, f"board {id_}", False) for id_ in range(1, 5)]
    del held[2], held[4]
    held[1] = "renamed"
    assert sync() == [(1, "renamed", False), (2, "board 2", True), (3, "board 3", False), (4, "board 4", True)]
    duckdb_warehouse.execute("DELETE FROM {cards} WHERE board_id = 3")
    sync(audit=True)
    assert duckdb_warehouse.rows("audits", "resource", "missing", "surplus") == [("boards", 0, 0), ("cards", 1, 0)]


@pytest.mark.parametrize("key", ["id", "board_id"])
def test_rows_that_were_read_for_many_at_once_have_lists_of_their_own(
    key: str, server: Server, duckdb_warehouse: Warehouse
) -> None:
    """Of the cards of several boards, and of details that have the key of their board."""
    cards = replace(
        CARDS, key=(key,), columns=(bigint("id", "Immutable id."), bigint("board_id", "Board."), DELETED_AT)
    )
    given = bigint("card_id", "Card.", origin="reader"), bigint("board", "Board.", origin="reader")
    notes = replace(CARDS, name="notes", columns=(bigint("id", "Immutable id."), *given, DELETED_AT))
    per_card = PerRow(cards, {"card_id": "board_id", "board": "board_id"} | ({"card_id": "id"} if key == "id" else {}))
    listings = (
        Listing(BOARDS, "/boards", walk=FullList()),
        Listing(
            cards,
            "/cards",
            walk=FullList(),
            per=PerRow(BOARDS, {"board_id": "id"}, at_once=3),
            params={"of": "{board_id}"},
        ),
        Listing(notes, "/boards/{board}/cards/{card_id}/notes", walk=FullList(), per=per_card),
    )

    def answer(request: Request) -> Reply:
        if request.path == "/boards":
            return Reply(body=b'[{"id": 1}, {"id": 2}]')
        if request.path.startswith("/cards"):
            return Reply(body=b'[{"id": 10, "board_id": 1}, {"id": 20, "board_id": 2}]')
        numbers = [int(number) for number in re.findall(r"\d+", request.path)]
        return Reply(body=b'[{"id": %d}]' % (100 * numbers[0] + numbers[-1]))

    server.answers(answer)
    reading = Sync(server.api)
    duckdb_warehouse.load(*[mirror(Reader(listing, reading)) for listing in listings])
    card_ids = (10, 20) if key == "id" else (1, 2)
    expected = [(100 * board + card_id, card_id, board) for board, card_id in zip((1, 2), card_ids, strict=True)]
    assert duckdb_warehouse.rows("notes", "id", "card_id", "board") == expected


def test_rows_that_are_read_for_many_at_once_say_for_which() -> None:
    per_board = PerRow(BOARDS, {"board": "id"}, at_once=3)
    with pytest.raises(ValueError, match="for many rows of boards at once; declare a column 'board', which says for"):
        Listing(CARDS, "/cards", walk=FullList(), per=per_board, params={"boards": "{board}"})


def test_a_key_that_is_a_number_in_quotes_names_the_row_whose_list_is_read(
    server: Server, duckdb_warehouse: Warehouse
) -> None:
    boards = replace(BOARDS, columns=(bigint("id", "Immutable id.", sent_as_text=True), DELETED_AT))
    listings = (
        Listing(boards, "/boards", walk=FullList()),
        Listing(CARDS, "/boards/{board_id}/cards", walk=FullList(), per=PerRow(boards, {"board_id": "id"})),
    )
    server.answers(lambda request: Reply(body=b'[{"id": 7}]' if "cards" in request.path else b'[{"id": "3"}]'))
    for _ in range(2):
        reading = Sync(server.api)
        duckdb_warehouse.load(*[mirror(Reader(listing, reading)) for listing in listings])
        assert duckdb_warehouse.rows("cards", "id", "board_id", "deleted_at") == [(7, 3, None)]


def test_rows_that_no_single_column_tells_apart_have_no_lists() -> None:
    boards = replace(BOARDS, key=("team", "id"), columns=(text("team", "Its team.", origin="reader"), *BOARDS.columns))
    with pytest.raises(ValueError, match="its key must be one column, not team, id"):
        PerRow(boards, {"board_id": "id"})


def test_each_page_of_a_scope_is_asked_for_with_its_headers(server: Server, duckdb_warehouse: Warehouse) -> None:
    def answer(request: Request) -> Reply:
        tenant, is_first = request.headers["X-Tenant"], "starting_after" not in request.query
        id_ = {"one": 1, "two": 3}[tenant] + (0 if is_first else 1)
        return Reply(body=b'{"data": [{"id": %d}], "has_more": %s}' % (id_, b"true" if is_first else b"false"))

    server.answers(answer)

    listing = Listing(THINGS, "/things", walk=FullList(), envelope=HasMore())
    duckdb_warehouse.load(mirror(Reader(listing, Tenants(server.api))))
    assert duckdb_warehouse.rows("things", "tenant", "id") == [("one", 1), ("one", 2), ("two", 3), ("two", 4)]


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_by_time_has_a_cursor_for_each_row_whose_list_is_always_read(
    walk: str, server: Server, duckdb_warehouse: Warehouse
) -> None:
    """Notion's pages of a data source, Slack's messages of a channel: their parents do not say when they changed."""
    now = 1_767_225_600
    cards = {id_: {"id": id_, "changed": now - 1000 + id_} for id_ in range(1, 7)}

    def answer(request: Request) -> Reply:
        found: list[dict[str, int]] = [{"id": 1}, {"id": 2}]
        if board := re.match(r"/boards/(\d)/cards", request.path):
            since = int(request.query.get("since", 0))
            found = [c for c in cards.values() if c["id"] % 2 == int(board[1]) % 2 and c["changed"] >= since]
            found.sort(key=lambda card: card["changed"])
        return Reply(body=json.dumps(found).encode(), headers={"Date": formatdate(now, usegmt=True)})

    def sync(*, audit: bool = False) -> list[int]:
        """Gives the times since which the lists of cards were read."""
        nonlocal now
        now += 1000
        before = len(server.requests)
        reading = Sync(server.api, audit)
        per_board = Listing(CARDS, "/boards/{board_id}/cards", walk=WALKS[walk], per=PerRow(BOARDS, {"board_id": "id"}))
        listings = (Listing(BOARDS, "/boards", walk=FullList()), per_board)
        duckdb_warehouse.load(*[mirror(Reader(listing, reading)) for listing in listings])
        return [int(r.query.get("since", 0)) for r in server.requests[before:] if "cards" in r.path]

    server.answers(answer)
    assert set(sync()) == {0}
    cards[3]["changed"] = now
    assert min(sync()) > 0, "only what changed is asked for"
    assert duckdb_warehouse.rows("cards", "id", "board_id") == [(id_, 2 - id_ % 2) for id_ in range(1, 7)]
    duckdb_warehouse.execute("DELETE FROM {cards} WHERE id = 5")
    sync(audit=True)
    assert duckdb_warehouse.rows("audits", "resource", "missing", "changed") == [("boards", 0, 0), ("cards", 1, 0)]


PARENTS: dict[str, tuple[Walk, Mapping[str, Any]]] = {
    "changed since": (ChangedSince("changed", since=lambda at: {"since": at}), {}),
    "newest first": (NewestFirst("changed", whole={}, changed={"newest": 1}), {}),
    "by creation": (
        ByCreated("created", between=lambda start, end: {"from": start}, lag=9_000, changed="changed"),
        {"newest": 1},
    ),
    "in full": (FullList(), {}),
}


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("walk", PARENTS)
def test_an_audit_calls_lost_only_what_did_not_change_while_it_read(
    walk: str, at_once: int, server: Server, duckdb_warehouse: Warehouse
) -> None:
    now = 1_767_225_600
    times = (epoch("created", "When it was made."), epoch("changed", "When it last changed."))
    boards = replace(BOARDS, columns=(bigint("id", "Immutable id."), *times, DELETED_AT))
    board_id = bigint("board_id", "Board.", origin="reader" if at_once == 1 else "payload")
    cards = replace(CARDS, columns=(bigint("id", "Immutable id."), board_id, text("name", "Name."), DELETED_AT))
    changed = {board: now - 500 + board for board in range(1, 7)}
    held = {10 * board + place: {"board_id": board, "name": "first"} for board in changed for place in (1, 2)}
    cards_are_read: list[str] = []

    def answer(request: Request) -> Reply:
        headers = {"Date": formatdate(now, usegmt=True)}
        if request.path.startswith("/boards"):
            since, newest = int(request.query.get("since", 0)), "newest" in request.query
            dated = sorted(((at, board) for board, at in changed.items() if at >= since), reverse=newest)
            found: list[Any] = [{"id": board, "created": now - 400, "changed": at} for at, board in dated]
            return Reply(body=json.dumps(found).encode(), headers=headers)
        if audited and not cards_are_read:  # board 2 changes: a card comes, one is edited
            changed[2] = now + 1
            held[29] = {"board_id": 2, "name": "late"}
            held[21]["name"] = "edited"
        cards_are_read.append(request.path)
        ids = request.query["of"].split(",")
        found = [{"id": id_, **card} for id_, card in held.items() if str(card["board_id"]) in ids]
        return Reply(body=json.dumps(found).encode(), headers=headers)

    def sync(audit: bool) -> None:
        reading = Sync(server.api, audit)
        how, params = PARENTS[walk]
        per_board = PerRow(boards, {"board_id": "id"}, changed="changed", at_once=at_once)
        listings = (
            Listing(boards, "/boards", walk=how, params=params),
            Listing(cards, "/cards", walk=FullList(), per=per_board, params={"of": "{board_id}"}),
        )
        duckdb_warehouse.load(*[mirror(Reader(listing, reading)) for listing in listings])

    server.answers(answer)
    audited = False
    sync(audit=False)
    now, audited = now + 1_000, True
    cards_are_read.clear()
    duckdb_warehouse.execute("DELETE FROM {cards} WHERE id IN (11, 52)")
    sync(audit=True)
    counts = [row[1:] for row in duckdb_warehouse.rows("audits", "resource", *COUNTS) if row[0] == "cards"]
    assert counts == [(13, 2, 0, 0, 2, 0)]
