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
from ingest_shared.tombstones import deleted, living
from stripe_location.source.api import API_VERSION, Stripe, connect, start_of_history
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
class Deletion:
    """When an object was deleted; ``snapshot`` is its JSON of then, if an event shows that.

    Events are rendered in the version that was the account's default when they were made, and
    that cannot be changed: only a snapshot of the pinned version fits the tables.
    """

    id: str
    at: int
    snapshot: bytes | None = None


@dataclass
class Change:
    """What the events tell of an object: when it was last named, and made, and deleted."""

    at: int = 0
    object_created: int = 0
    deletion: Deletion | None = None

    @property
    def may_live(self) -> bool:
        """Whether it must be asked for: an id can be given anew, even in the second of a deletion."""
        return self.deletion is None or self.object_created >= self.deletion.at


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
        now = server_time(answer.headers)
        self.start = start_of_history(account.created, now)
        self.horizon = self._events_from = now

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
        change = self._changes.setdefault((what.object, what.id), Change())
        change.at = max(change.at, event.created)
        change.object_created = max(change.object_created, what.created)
        last_deleted = change.deletion.at if change.deletion else 0
        # customer.subscription.deleted is a cancellation
        if event.type == f"{what.object}.deleted" and event.created >= last_deleted:
            shown = bytes(snapshot) if event.api_version == API_VERSION else None
            change.deletion = Deletion(what.id, event.created, shown)

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

    def earlier(self, cursor: dict[str, Any]) -> Window:
        """From the configured start to the one that was loaded: empty, unless it was moved back."""
        loaded: int = cursor.get("start", self.sync.start)
        return Window(min(loaded, self.sync.start), loaded)

    def pages(self, window: Window, load: Load) -> Iterator[Page]:
        """The rows created in ``window``."""
        if window.start >= window.end:
            return iter(())
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
        assert isinstance(decoder.table, Table)
        self.table = decoder.table
        self._elements = Decoder(self.table.children[0], rows_at="data") if nested else None

    @property
    def given(self) -> dict[str, Any]:
        """The columns that no object tells of itself."""
        return {"account_id": self.sync.account_id}

    def read(self, cursor: dict[str, Any], load: Load) -> Iterator[Page | pa.Table]:
        known_until, earlier = cursor.get("events_until"), self.earlier(cursor)
        if known_until is None:
            yield from self.pages(Window(earlier.start, self.sync.horizon), load)
        elif (gap := self.sync.horizon - known_until) > LONGEST_GAP:
            logger.warning("%s: last loaded %d days ago, events are missing: listing all", load.resource, gap // 86_400)
            yield from self._anew(earlier.start, known_until - LAG, load)
        else:
            yield from self._changed(earlier, known_until - LAG, load)
        cursor.update(events_until=self.sync.horizon, start=earlier.start)

    def _changed(self, earlier: Window, since: int, load: Load) -> Iterator[Page | pa.Table]:
        """What the events name since then; many new objects are listed, the others come one by one."""
        changes = self.sync.changes(self.object_type, since, load.usage)
        windows = [earlier]
        if sum(change.object_created >= since for change in changes.values()) > PER_PAGE:
            windows.append(Window(max(since, earlier.end), self.sync.horizon))
        yield from self._current(changes, windows, load)

    def _anew(self, start: int, since: int, load: Load) -> Iterator[Page | pa.Table]:
        """All that was created from ``start`` on; what only the warehouse has, one by one.

        Those are mostly deleted, and some that lists do not show, as objects of test clocks. Of
        the events since then, those that Stripe still has tell of deletions what no list does.
        """
        listed = Window(start, self.sync.horizon)
        held = living(self.table, {**self.given, "created": listed})
        since = max(since, self.sync.horizon - EVENTS_ARE_KEPT)
        changes = dict.fromkeys(held, Change()) | self.sync.changes(self.object_type, since, load.usage)
        yield from self._current(changes, [listed], load)

    def _current(self, changes: dict[str, Change], windows: list[Window], load: Load) -> Iterator[Page | pa.Table]:
        """What was created in the windows, then each other object of ``changes`` as it is now.

        An object that is gone comes as the event of its deletion shows it, else as the warehouse
        holds it, with ``deleted_at``.
        """
        for window in windows:
            for page in self.pages(window, load):
                for row in page.rows:
                    changes.pop(row.id, None)
                yield page
        named = [Named(id_, change) for id_, change in changes.items()]
        gone: dict[str, int] = {}
        for found in crawl(lambda task: (self._find(task, load.usage), ()), named, self.sync.api.in_flight):
            if isinstance(found, Page):
                yield found
            elif found.snapshot:
                yield self._as_it_was(found.snapshot, found.at)
            else:
                gone[found.id] = found.at
        if gone:
            yield self._marked(gone, load)

    def _find(self, named: Named, usage: Usage) -> Page | Deletion:
        """The object as it is now, or how it went."""
        page = self._fetch(named.id, usage) if named.change.may_live else None
        return page or named.change.deletion or Deletion(named.id, self.sync.horizon)

    def _fetch(self, id_: str, usage: Usage) -> Page | None:
        """The object with its whole nested list; None when it is gone."""

        def parse(body: bytes) -> Page | None:
            return None if _STUB(body).deleted else self.decoder.row(body, self.given)

        try:
            page = self.sync.api.get(f"{self.path}/{id_}", parse=parse, usage=usage).value
            if page:
                self.complete(page, usage)
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        return page

    def _as_it_was(self, snapshot: bytes, at: int) -> Page | pa.Table:
        """The object as it was deleted; of a longer nested list, the rows loaded before stay."""
        page = self.decoder.row(snapshot, {**self.given, "deleted_at": at})
        return self.decoder.arrow([page])[self.table.name] if self._has_more(page.rows[0]) else page

    def _marked(self, gone: dict[str, int], load: Load) -> pa.Table:
        """The rows that the warehouse holds of what is gone; the rows of their nested lists stay."""
        rows = deleted(self.table, self.given, gone)
        if unknown := len(gone) - rows.num_rows:
            logger.warning("%s: %d objects were deleted before they could be loaded", load.resource, unknown)
        return rows

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
        pending_from, earlier = self.sync.horizon, self.earlier(cursor)
        again_from = max(cursor.get("read_again_from", earlier.end), earlier.end)
        for window in (earlier, Window(again_from, self.sync.horizon)):
            for page in self.pages(window, load):
                pending = [created(row) for row in page.rows if row.status == "pending"]
                pending_from = min([pending_from, *pending])
                yield page
        cursor.update(read_again_from=min(pending_from, self.sync.horizon - LAG), start=earlier.start)


class Events(Reader):
    """The log of everything that happened, kept here for ever; Stripe keeps 30 days of it."""

    def __init__(self, sync: Sync, decoder: Decoder) -> None:
        super().__init__(sync, decoder, "/v1/events")

    def read(self, cursor: dict[str, Any], load: Load) -> Iterator[Page]:
        oldest = self.sync.horizon - EVENTS_ARE_KEPT
        since = max(oldest, cursor.get("events_until", oldest) - LAG)
        yield from self.pages(Window(since, self.sync.horizon), load)
        cursor["events_until"] = self.sync.horizon


def created(row: Any) -> int:
    """When the object was made, in whole seconds since 1970."""
    return int(row.created)
