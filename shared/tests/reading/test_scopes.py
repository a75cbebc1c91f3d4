"""What a scope gives to the requests for it: its values, and a header that tells it apart."""

import json
import re
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from typing import Any

import pytest
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingest_shared.loading import Load, mirror
from ingest_shared.reading.api import Api
from ingest_shared.reading.envelopes import HasMore
from ingest_shared.reading.listings import Listing, Scope, Walk
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.reader import Reader, Sync
from ingest_shared.reading.walks import ChangedSince, FullList
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


def api(server: Server) -> Api:
    return Api(
        server.url,
        auth=BearerTokenAuth("key"),
        calls_per_second=1000,
        in_flight=4,
        url_setting="url",
        credential_setting="key",
    )


@pytest.mark.parametrize(
    ("body", "filled"),
    [
        ({"id": "{id}", "of": "{tenant}"}, {"id": (1, 2), "of": "one"}),
        ({"filter": {"ids": "{id}", "tenant": "{tenant}"}}, {"filter": {"ids": (1, 2), "tenant": "one"}}),
        (
            {"inputs": [{"id": "{id}", "of": "{tenant}"}], "properties": ["name"]},
            {"inputs": [{"id": 1, "of": "one"}, {"id": 2, "of": "one"}], "properties": ["name"]},
        ),
        ({"id": "{other}", "text": "not {id}"}, {"id": "{other}", "text": "not {id}"}),
    ],
)
def test_a_body_has_the_values_of_its_scope_however_deep(body: Any, filled: Any) -> None:
    assert Scope("one", "one", {"tenant": "one", "id": (1, 2)}).fill(body) == filled


def test_each_page_of_a_scope_is_asked_for_with_its_headers(server: Server, duckdb_warehouse: Warehouse) -> None:
    def answer(request: Request) -> Reply:
        tenant, is_first = request.headers["X-Tenant"], "starting_after" not in request.query
        id_ = {"one": 1, "two": 3}[tenant] + (0 if is_first else 1)
        return Reply(body=b'{"data": [{"id": %d}], "has_more": %s}' % (id_, b"true" if is_first else b"false"))

    server.answers(answer)

    listing = Listing(THINGS, "/things", walk=FullList(), envelope=HasMore())
    duckdb_warehouse.load(mirror(Reader(listing, Tenants(lambda: api(server)))))
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
        reading = Sync(lambda: api(server), audit)
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
