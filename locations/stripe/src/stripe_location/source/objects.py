"""Objects that events tell of: listed once, then fetched as the events name them.

No list of Stripe tells what was updated; its events do, for 30 days. So each table remembers up
to when it knows the events, reads them from there (one scan serves all tables of a run), and
fetches each object they name as it is now: https://docs.stripe.com/api/events
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec

from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import ApiError
from ingest_shared.reading.envelopes import HasMore, Request
from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.tombstones import living
from ingest_shared.reading.walks import ByCreated
from ingest_shared.reading.windows import Window
from ingest_shared.tables import Child
from stripe_location.source.account import EVENTS_ARE_KEPT, LAG, PER_PAGE, Change, Deletion, StripeSync

logger = logging.getLogger("ingest")

LONGEST_GAP = 25 * 86_400
"""Seconds after which a table is listed anew, since events are gone after 30 days."""


class _Stub(msgspec.Struct):
    deleted: bool = False


@dataclass(frozen=True)
class Named(Piece):
    """One object, by its id."""

    id: str = ""
    change: Change = field(default_factory=Change)


@dataclass(frozen=True)
class Nested:
    """A list inside an object of which Stripe sends the first ten only: where the others are."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Objects(ByCreated):
    """Objects of one type, with the list that is nested in them."""

    keeps_keys = True
    type: str
    nested: Nested | None = None

    # What is read.

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        sync, progress = _sync(reader), reader.progress[scope.id]
        known_until, earlier = cursor.get("until"), self._earlier(sync, cursor)
        progress.noted["start"] = earlier.start
        progress.noted["changes"] = {}
        if known_until is None:
            return self._windows(scope, *sync.history(sync.start))
        since = max(known_until, sync.now - EVENTS_ARE_KEPT) - LAG
        anew = sync.now - known_until > LONGEST_GAP
        try:
            progress.noted["changes"] = changes = sync.changes(self.type, since, reader.load)
        except ApiError as error:
            if error.status != 403:
                raise
            reader.load.warn(f"listed anew, since the key may not read events ({error.reason})")
            anew, changes = True, {}
        if anew:
            reader.load.warn(f"last loaded {(sync.now - known_until) // 86_400} days ago: listing all")
            progress.noted["anew"] = True
            return self._windows(scope, *sync.history(sync.start))
        windows = [earlier]
        if sum(change.object_created >= since for change in changes.values()) > PER_PAGE:
            windows.append(Window(max(since, earlier.end), sync.now))
        return self._windows(scope, *windows) or self._named(scope, progress)

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        """Each object that events name and no window has shown, and what only the warehouse has.

        The latter are mostly deleted, and some that lists do not show, as objects of test clocks.
        """
        if progress.stood_still:
            return []
        if reader.sync.audit or progress.noted.get("anew"):
            held = living(reader.listing.table, self.audited(reader, scope))
            progress.noted["changes"] = dict.fromkeys(held, Change()) | progress.noted["changes"]
        return self._named(scope, progress)

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        progress.cursor |= {"until": reader.sync.now, "start": progress.noted["start"]}

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        return {**scope.values, "created": Window(_sync(reader).start, reader.sync.now)}

    def _earlier(self, sync: StripeSync, cursor: Cursor) -> Window:
        """From the configured start to the one that was loaded: empty, unless it was moved back."""
        loaded: int = cursor.get("start", sync.start)
        return Window(min(loaded, sync.start), loaded)

    @staticmethod
    def _windows(scope: Scope, *windows: Window) -> list[Piece]:
        return [Piece(scope, window) for window in windows if window.start < window.end]

    @staticmethod
    def _named(scope: Scope, progress: Progress) -> list[Piece]:
        progress.stood_still = True
        changes: Mapping[str, Change] = progress.noted["changes"]
        return [Named(scope, id=id_, change=change) for id_, change in changes.items() if id_ not in progress.there]

    # How it is read.

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        if not isinstance(piece, Named):
            return super().fetch(reader, piece, cursor)
        page = self._fetched(reader, piece) if piece.change.may_live else None
        if page:
            return Step([page])
        deletion = piece.change.deletion or Deletion(reader.sync.now)
        if deletion.snapshot:
            page = reader.decoder.row(deletion.snapshot, {**piece.scope.values, "deleted_at": deletion.at})
            # Of a longer nested list, the rows that were loaded before stay.
            has_more = self._has_more(page.rows[0])
            return Step([reader.decoder.arrow([page])[reader.listing.table.name] if has_more else page])
        return Step(gone={piece.id: deletion.at})

    def _fetched(self, reader: Reader, piece: Named) -> Page | None:
        """The object with its whole nested list; None when it is gone."""
        try:
            response = reader.respond(piece.scope, Request(f"{reader.listing.path}/{piece.id}"))
            if msgspec.json.decode(response.body, type=_Stub).deleted:
                return None
            page = reader.decoder.row(response.body, piece.scope.values)
            self.finish_page(reader, piece.scope, page)
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        return page

    def finish_page(self, reader: Reader, scope: Scope, page: Page) -> None:
        """Follows the nested lists that hold more than Stripe sent with their object."""
        if not self.nested:
            return
        (child,) = reader.listing.table.children
        for row in filter(self._has_more, page.rows):
            elements = _elements(child)
            held = getattr(row, child.path.partition(".")[0])
            params = {name: value.format(id=row.id) for name, value in self.nested.params.items()}
            request = Request(self.nested.path.format(id=row.id), {"limit": PER_PAGE, **params})
            requests = [request.having(starting_after=held.data[-1].id)]
            while requests:
                request = requests.pop()
                response = reader.respond(scope, request)
                further = elements.page(response.body)
                held.data.extend(further.rows)
                page.new_fields |= further.new_fields
                requests = HasMore().following(request, further, response)

    def _has_more(self, row: Any) -> bool:
        """Whether the row's nested list goes on beyond what Stripe sent with it."""
        for name in ("items", "lines"):
            held = getattr(row, name, None)
            if self.nested and held is not None:
                return bool(held.has_more)
        return False


@dataclass(frozen=True)
class BalanceTransactions(ByCreated):
    """No event tells of them; the pending ones are read again until they are available."""

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        sync = _sync(reader)
        loaded: int = cursor.get("start", sync.start)
        start = min(loaded, sync.start)
        reader.progress[scope.id].noted.update(start=start, pending_from=sync.now - self.lag)
        again = max(cursor["read_again_from"], loaded) if "read_again_from" in cursor else loaded
        windows = [Window(start, loaded), *sync.history(again)]
        return [Piece(scope, window) for window in windows if window.start < window.end]

    def note(self, progress: Progress, step: Step) -> None:
        pending = [row.created for page in step.pages for row in page.rows if row.status == "pending"]
        progress.noted["pending_from"] = min([progress.noted["pending_from"], *pending])

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        super().finish(reader, scope, progress)
        progress.cursor |= {"read_again_from": progress.noted["pending_from"], "start": progress.noted["start"]}

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        return {**scope.values, "created": Window(_sync(reader).start, reader.sync.now)}


@cache
def _elements(child: Child) -> Decoder:
    return Decoder(child, rows_at="data", told=("has_more",))


def _sync(reader: Reader) -> StripeSync:
    assert isinstance(reader.sync, StripeSync)
    return reader.sync
