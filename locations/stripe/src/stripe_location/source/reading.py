"""How Stripe is read: lists once, in windows of time side by side; then what the events name.

No list of Stripe tells what was updated; its events do, for 30 days. So each table remembers up
to when it knows the events, reads them from there (one scan serves all tables of a run), and
fetches each object they name as it is now: https://docs.stripe.com/api/events
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import ApiError
from ingest_shared.http import Usage, json_as, server_time
from ingest_shared.loading import Load
from ingest_shared.paging import Task, Window, crawl, cut, one_second
from ingest_shared.tables import Table
from stripe_location.source.api import Stripe, connect, start_of_history
from stripe_location.source.tables import EVENTS

logger = logging.getLogger("ingest")

PER_PAGE = 100
LAG = 300
"""Seconds of events read again: Stripe lists them late at times, and in no order in a second."""
EVENTS_ARE_KEPT = 30 * 86_400
LONGEST_GAP = 25 * 86_400
"""Seconds after which a table is listed anew, since events are gone after 30 days."""


class _Object(msgspec.Struct):
    """Which object: all that is read of an event's snapshot, or of the account."""

    id: str = ""
    object: str = ""
    created: int = 0


_ACCOUNT = json_as(_Object)


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Stub(msgspec.Struct):
    deleted: bool = False


_STUB = json_as(_Stub)


@dataclass(frozen=True)
class Change:
    """The last that the events tell of an object; ``snapshot`` is its JSON when it was deleted."""

    at: int
    object_created: int
    snapshot: bytes | None


@dataclass(frozen=True)
class Piece(Task):
    """A window of a list; ``after`` continues within a single second, by the API's own cursor."""

    window: Window
    after: str | None = None

    def split(self, parts: int) -> list["Piece"]:
        return [self] if self.after else [Piece(window) for window in self.window.split(parts)]


@dataclass(frozen=True)
class Named(Task):
    """One object, by its id."""

    id: str
    change: Change


@dataclass
class Sync:
    """What the resources of one run share: the API, its clock, the account and the events."""

    api: Stripe = field(init=False)
    account_id: str = ""
    start: int = 0
    horizon: int = 0
    """The API's time when the sync began; what happens from then on belongs to the next one."""
    _changes: dict[tuple[str, str], Change] = field(default_factory=dict)
    _events_from: int = 0
    _events: Decoder = field(default_factory=lambda: Decoder(EVENTS, rows_at="data"))

    def begin(self, usage: Usage) -> None:
        """Asks for the account, once; raises SettingError for a missing or refused key."""
        if self.horizon:
            return
        self.api = connect()
        answer = self.api.get("/v1/account", parse=_ACCOUNT, usage=usage)
        account = answer.value
        assert account is not None
        self.account_id = account.id
        self.start = start_of_history(account.created)
        self.horizon = self._events_from = server_time(answer.headers)

    def changes(self, object_type: str, since: int, usage: Usage) -> dict[str, Change]:
        """The objects of a type that events name since then, by id."""
        if since < self._events_from:
            unread = Window(since, self._events_from)
            for page in self.pages("/v1/events", self._events, unread, usage):
                for row in page.rows:
                    self._note(row)
            self._events_from = since
        return {id_: c for (type_, id_), c in self._changes.items() if type_ == object_type and c.at >= since}

    def _note(self, event: Any) -> None:
        snapshot = msgspec.json.decode(event.data, type=_Data).object
        what = msgspec.json.decode(snapshot, type=_Object)
        known = self._changes.get((what.object, what.id))
        deleted = event.type == f"{what.object}.deleted"  # customer.subscription.deleted is a cancellation
        if known is None or deleted or (event.created > known.at and known.snapshot is None):
            kept = bytes(snapshot) if deleted else None
            self._changes[what.object, what.id] = Change(event.created, what.created, kept)

    def pages(
        self,
        path: str,
        decoder: Decoder,
        window: Window,
        usage: Usage,
        complete: Callable[[Page], None] = lambda page: None,
        **params: str,
    ) -> Iterator[Page]:
        """The pages of a list whose rows were created in ``window``, many at a time, completed.

        The list comes newest first. Pages continue by time and not after an id, since a row that
        is deleted meanwhile would break the chain; only inside a single second there is no other way.
        """
        given = {"account_id": self.account_id}

        def fetch(piece: Piece) -> tuple[Page, list[Piece]]:
            window = piece.window
            query: dict[str, Any] = {
                "limit": PER_PAGE,
                "created[gte]": window.start,
                "created[lt]": window.end,
                **params,
            }
            if piece.after:
                query["starting_after"] = piece.after
            answer = self.api.get(path, query, parse=lambda body: decoder.page(body, given), usage=usage)
            assert answer.value is not None
            page = answer.value
            rows, windows = cut(page.rows, created, window, ascending=False, more=page.has_more)
            rest = [Piece(left) for left in windows]
            if page.has_more and one_second(page.rows, created):
                second = created(page.rows[0])
                rest = [Piece(Window(second, second + 1), after=page.rows[-1].id)]
                if not piece.after:
                    rest.append(Piece(Window(window.start, second)))
            page.rows = rows
            complete(page)
            return page, rest

        return crawl(fetch, [Piece(window)], self.api.in_flight)


class Reader:
    """Reads one table of one account; each subclass knows how that table moves."""

    def __init__(self, sync: Sync, decoder: Decoder, path: str, **params: str) -> None:
        self.sync = sync
        self.decoder = decoder
        self.path = path
        self.params = params

    def __call__(self, load: Load) -> Iterator[Page | pa.Table]:
        """Yields what is new to the table, then moves the account's cursor."""
        self.sync.begin(load.usage)
        cursor = load.state.setdefault(self.sync.account_id, {})
        yield from self.read(cursor, load)

    def read(self, cursor: dict[str, Any], load: Load) -> Iterator[Page | pa.Table]:
        raise NotImplementedError

    def pages(self, start: int, load: Load) -> Iterator[Page]:
        """The rows created from ``start`` until the sync began."""
        window = Window(start, self.sync.horizon)
        complete = partial(self.complete, usage=load.usage)
        return self.sync.pages(self.path, self.decoder, window, load.usage, complete, **self.params)

    def complete(self, page: Page, usage: Usage) -> None:
        """Adds to the rows what the list does not send with them; nothing, for most tables."""


class Objects(Reader):
    """Objects that events tell of: listed once, then fetched as the events name them.

    ``nested`` names a list inside the object of which the API sends the first ten only.
    """

    def __init__(
        self, sync: Sync, decoder: Decoder, object_type: str, nested: str | None = None, **params: str
    ) -> None:
        super().__init__(sync, decoder, f"/v1/{object_type}s", **params)
        self.object_type = object_type
        self.nested = nested
        table = decoder.table
        assert isinstance(table, Table)
        self._elements = Decoder(table.children[0], rows_at="data") if nested else None

    def read(self, cursor: dict[str, Any], load: Load) -> Iterator[Page | pa.Table]:
        known_until = cursor.get("events_until")
        gap = self.sync.horizon - (known_until or 0)
        if known_until and gap > LONGEST_GAP:
            logger.warning("%s: last loaded %d days ago, events are missing: listing all", load.resource, gap // 86_400)
        if known_until is None or gap > LONGEST_GAP:
            yield from self.pages(self.sync.start, load)
        else:
            yield from self._changed(known_until - LAG, load)
        cursor["events_until"] = self.sync.horizon

    def _changed(self, since: int, load: Load) -> Iterator[Page | pa.Table]:
        """What the events name since then; many new objects are listed, the others come one by one."""
        changes = self.sync.changes(self.object_type, since, load.usage)
        if sum(change.object_created >= since for change in changes.values()) > PER_PAGE:
            for page in self.pages(since, load):
                for row in page.rows:
                    changes.pop(row.id, None)
                yield page
        named = [Named(id_, change) for id_, change in changes.items()]
        yield from crawl(lambda task: (self._fetch(task, load.usage), ()), named, self.sync.api.in_flight)

    def _fetch(self, named: Named, usage: Usage) -> Page | pa.Table:
        """The object as it is now; a deleted one as it was, with ``deleted_at``."""
        given: dict[str, Any] = {"account_id": self.sync.account_id}
        if named.change.snapshot:
            page = self.decoder.row(named.change.snapshot, given | {"deleted_at": named.change.at})
            # Of a longer nested list the event shows the beginning: the rows loaded before stay.
            return self.decoder.arrow([page])[self.decoder.table.name] if self._has_more(page.rows[0]) else page
        # Gone since its last event: the event of the deletion brings the whole row next time.
        gone = given | {"deleted_at": self.sync.horizon}

        def parse(body: bytes) -> Page:
            return self.decoder.row(body, gone if _STUB(body).deleted else given)

        try:
            answer = self.sync.api.get(f"{self.path}/{named.id}", parse=parse, usage=usage)
        except ApiError as error:
            if error.status != 404:
                raise
            return self.decoder.row(msgspec.json.encode({"id": named.id}), gone)
        assert answer.value is not None
        self.complete(answer.value, usage)
        return answer.value

    def complete(self, page: Page, usage: Usage) -> None:
        """Follows the nested lists that hold more than the API sent with their object."""
        if not self._elements or not self.nested:
            return
        for row in page.rows:
            held = getattr(row, self.nested)
            more = self._has_more(row)
            while more:
                answer = self._more_elements(row.id, held.data[-1].id, usage)
                held.data.extend(answer.rows)
                page.new_fields |= answer.new_fields
                more = answer.has_more

    def _has_more(self, row: Any) -> bool:
        """Whether the row's nested list goes on beyond what the API sent with it."""
        held = getattr(row, self.nested) if self.nested else None
        return held is not None and bytes(held.has_more) == b"true"

    def _more_elements(self, owner: str, after: str, usage: Usage) -> Page:
        elements = self._elements
        assert elements is not None
        path, query = f"{self.path}/{owner}/{self.nested}", {}
        if self.object_type == "subscription":
            path, query = "/v1/subscription_items", {"subscription": owner}
        answer = self.sync.api.get(
            path, {**query, "limit": PER_PAGE, "starting_after": after}, parse=elements.page, usage=usage
        )
        assert answer.value is not None
        return answer.value


class BalanceTransactions(Reader):
    """No event tells of them; the pending ones are read again until they are available."""

    def __init__(self, sync: Sync, decoder: Decoder) -> None:
        super().__init__(sync, decoder, "/v1/balance_transactions")

    def read(self, cursor: dict[str, Any], load: Load) -> Iterator[Page]:
        pending_from = self.sync.horizon
        for page in self.pages(cursor.get("read_again_from", self.sync.start), load):
            pending = [created(row) for row in page.rows if row.status == "pending"]
            pending_from = min([pending_from, *pending])
            yield page
        cursor["read_again_from"] = min(pending_from, self.sync.horizon - LAG)


class Events(Reader):
    """The log of everything that happened, kept here for ever; Stripe keeps 30 days of it."""

    def __init__(self, sync: Sync, decoder: Decoder) -> None:
        super().__init__(sync, decoder, "/v1/events")

    def read(self, cursor: dict[str, Any], load: Load) -> Iterator[Page]:
        oldest = self.sync.horizon - EVENTS_ARE_KEPT
        yield from self.pages(max(oldest, cursor.get("events_until", oldest) - LAG), load)
        cursor["events_until"] = self.sync.horizon


def created(row: Any) -> int:
    """When the object was made, in whole seconds since 1970."""
    return int(row.created)
