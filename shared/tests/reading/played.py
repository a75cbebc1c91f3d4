"""An API with a single list, whose things a test changes, also while they are read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import sha256
from typing import Any

from ingest_shared.loading import mirror
from ingest_shared.reading.api import Api
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.tables import Child, Table, bigint, date, epoch, epoch_millis, text
from tests.conftest import Reply, Request, Server, Warehouse

NOW = 1_714_559_400
THINGS = Table(
    name="things",
    description="Things.",
    docs="https://example.com/things",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        text("name", "Name."),
        epoch("created", "When it was made."),
        epoch("changed", "When it last changed."),
        epoch_millis("seen", "When it was last seen."),
        date("due", "The day by which it is due."),
        text("link", "Where to see it.", volatile=True),
        epoch("deleted_at", "When it was found to be deleted.", origin="reader"),
    ),
    children=(
        Child(
            name="thing_tags",
            description="Tags on things.",
            path="tags",
            key=("thing_id", "tag"),
            columns=(
                bigint("thing_id", "Thing.", path="id", origin="parent"),
                text("tag", "Tag.", path="."),
            ),
        ),
    ),
)
Thing = dict[str, Any]


def thing(id: int, at: int | None = None, name: str = "", *tags: str) -> Thing:
    """One that was made so many seconds before the first sync: ``id`` minutes, if nothing else is said."""
    made = NOW - 60 * id if at is None else at
    due = f"2024-05-{id % 28 + 1:02}"
    times = {"created": made, "changed": made, "seen": 1000 * made + 7, "due": due}
    return {"id": id, "name": name or f"thing {id}", "tags": list(tags), **times}


@dataclass
class Origin:
    """The list, in pages with a ``Link`` header, or with ``has_more`` where ``in_data``.

    A request may ask for ``sort`` and ``direction``, for what changed ``since`` a time, and for what
    was created ``from`` a time and before ``to`` another.
    """

    server: Server
    things: list[Thing]
    per_page: int = 3
    in_data: bool = False
    errors: Any = None
    """What it says of errors beside its rows, where ``in_data``."""
    in_flight: int = 1
    """With one call at a time, a test knows what is read before what."""
    now: int = NOW
    calls: list[Request] = field(default_factory=list)
    meanwhile: Callable[[int], None] = lambda number: None
    """What happens before the call with this number is answered; the first one is 1."""

    def __post_init__(self) -> None:
        self.server.answers(self._answer)

    def change(self, id: int, **values: Any) -> None:
        """Gives a thing other values, now."""
        self.now += 1
        self[id].update({"changed": self.now, **values})

    def delete(self, *ids: int) -> None:
        self.things = [thing for thing in self.things if thing["id"] not in ids]

    def __getitem__(self, id: int) -> Thing:
        return next(thing for thing in self.things if thing["id"] == id)

    def api(self) -> Api:
        return self.server.api(self.in_flight)

    def sync(self, warehouse: Warehouse, listing: Listing, *, audit: bool = False, stopped: bool = False) -> int:
        """Reads the list into the warehouse, a while after what happened last; gives the calls that it took.

        One that is ``stopped`` has loaded its first part.
        """
        self.now += 1000
        before = len(self.calls)
        load = warehouse.load_first_part if stopped else warehouse.load
        load(mirror(Reader(listing, Sync(self.api, audit))))
        return len(self.calls) - before

    def _answer(self, request: Request) -> Reply:
        self.calls.append(request)
        self.meanwhile(len(self.calls))
        rows, more = self._page(request.query)
        beside = {"has_more": more, "errors": self.errors}
        body = json.dumps({"data": rows, **beside} if self.in_data else rows).encode()
        headers = {"Date": formatdate(self.now, usegmt=True), "ETag": sha256(body).hexdigest(), **self._links(request)}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Reply(304, b"", headers)
        return Reply(200, body, headers)

    def _wanted(self, query: Mapping[str, str]) -> list[Thing]:
        found = [
            thing
            for thing in self.things
            if thing["changed"] >= int(query.get("since", 0))
            and int(query.get("from", 0)) <= thing["created"] < int(query.get("to", 2**40))
        ]
        sort = query.get("sort", "id")
        return sorted(found, key=lambda thing: (thing[sort], thing["id"]), reverse=query.get("direction") == "desc")

    def _page(self, query: Mapping[str, str]) -> tuple[list[Thing], bool]:
        rows = self._wanted(query)
        start = (int(query.get("page", 1)) - 1) * self.per_page
        if after := query.get("after"):
            start = next(index for index, row in enumerate(rows) if row["id"] == int(after)) + 1
        return rows[start : start + self.per_page], len(rows) > start + self.per_page

    def _links(self, request: Request) -> dict[str, str]:
        rows, page = len(self._wanted(request.query)), int(request.query.get("page", 1))
        last = max(1, -(-rows // self.per_page))
        if self.in_data or page >= last:
            return {}
        query = "&".join(f"{name}={value}" for name, value in request.query.items() if name != "page")
        address = f"{self.server.url}/things?{query}&page="
        return {"Link": f'<{address}{page + 1}>; rel="next", <{address}{last}>; rel="last"'}


def living(warehouse: Warehouse) -> list[tuple[int, str]]:
    """Id and name of what lives in the warehouse."""
    rows = warehouse.rows("things", "id", "name", "deleted_at")
    return [(id, name) for id, name, deleted_at in rows if deleted_at is None]


def gone(warehouse: Warehouse) -> set[int]:
    """What is marked as deleted."""
    return {id for id, deleted_at in warehouse.rows("things", "id", "deleted_at") if deleted_at is not None}


def gaps(warehouse: Warehouse) -> list[str]:
    """Why a scope was left out."""
    return [reason for (reason,) in warehouse.rows("load_gaps", "reason")]


def mirrors(warehouse: Warehouse, origin: Origin) -> bool:
    """Whether every thing lives in the warehouse as the origin has it, with its tags, and no other does."""
    tags = {(thing["id"], tag) for thing in origin.things for tag in thing["tags"]}
    alive = living(warehouse)
    held = warehouse.rows("thing_tags", "thing_id", "tag")
    ids = {id for id, _ in alive}
    return (
        alive == sorted((t["id"], t["name"]) for t in origin.things) and {row for row in held if row[0] in ids} == tags
    )
