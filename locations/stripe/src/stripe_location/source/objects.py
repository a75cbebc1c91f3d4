"""Objects that events tell of: listed once, then fetched as the events name them.

No list of Stripe tells what was updated; its events do, for 30 days. So each table remembers up
to when it knows the events, reads them from there (one scan serves all tables of a run), and
fetches each object they name as it is now: https://docs.stripe.com/api/events
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from ingest_shared.columnar import Page
from ingest_shared.errors import ApiError
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.tombstones import living
from ingest_shared.reading.walks import ByCreated
from ingest_shared.reading.windows import Window
from stripe_location.source.account import EVENTS_ARE_KEPT, LAG, PER_PAGE, Change, Deletion, StripeSync
from stripe_location.source.api import API_VERSION
from stripe_location.source.nested import Nested, are_whole, follow

logger = logging.getLogger("ingest")

LONGEST_GAP = 25 * 86_400
"""Seconds after which a table is listed anew, since events are gone after 30 days."""


class _Stub(msgspec.Struct):
    deleted: bool = False


class _Everything:
    """Whatever may have changed."""

    def __contains__(self, id_: object) -> bool:
        return True


EVERYTHING = _Everything()


@dataclass(frozen=True)
class Named(Piece):
    """One object, by its id."""

    id: str = ""
    change: Change = field(default_factory=Change)


@dataclass(frozen=True, kw_only=True)
class Objects(ByCreated):
    """At first all objects, in spans of time side by side, with the lists nested in them; then those that events name.

    Stripe's lists tell of no change: its events do, for 30 days.
    """

    keeps_keys = True
    tells_deletes = True
    cost = (
        "None of its own when no event names an object; else one for each object named, or one for 100 new ones. "
        "The scan of the events, one for each 100 of them, serves all tables of a run."
    )
    deletes = "told by events; after a pause of 25 days, and in the audit, what no list shows is asked for by its id."
    type: str
    nested: Mapping[str, Nested] = field(default_factory=dict)
    expand: tuple[str, ...] = ()
    """Fields that Stripe sends only when asked."""
    listed: int = 0
    """For how many seconds a new object is listed at every sync, since no event tells of it so long."""

    # What is read.

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        sync, progress = _sync(reader), reader.progress[scope.id]
        known_until, earlier = cursor.get("until"), self._earlier(sync, cursor)
        progress.noted["start"] = earlier.start
        progress.noted["changes"] = {}
        if known_until is None:
            progress.changed = changed = self._changed(reader, reader.known.get(scope.id, {}))
            progress.noted["changes"] = changed if isinstance(changed, dict) else {}
            return self._windows(scope, *sync.history(sync.start))
        since = max(known_until, sync.now - EVENTS_ARE_KEPT) - LAG
        anew = sync.now - known_until > LONGEST_GAP or is_older(cursor)
        try:
            progress.noted["changes"] = changes = sync.changes(self.type, since, reader.load)
        except ApiError as error:
            if error.status != 403:
                raise
            reader.load.warn(f"listed anew, since the key may not read events ({error.reason})")
            anew, changes = True, {}
        if anew:
            ago = f"last loaded {(sync.now - known_until) // 86_400} days ago"
            version = f", in API version {cursor.get('version', 'unknown')}" if is_older(cursor) else ""
            reader.load.warn(f"{ago}{version}: listing all")
            progress.noted["anew"] = True
            return self._windows(scope, *sync.history(sync.start))
        windows = [earlier]
        if self.listed or sum(change.object_created >= since for change in changes.values()) > PER_PAGE:
            windows.append(Window(max(since - self.listed, earlier.end), sync.now))
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
        progress.cursor |= {"until": reader.sync.now, "start": progress.noted["start"], "version": API_VERSION}

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        return {**scope.values, self.column: Window(_sync(reader).start, reader.sync.now)}

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        return super().has_changed({"until": cursor.get("until", 0) - self.listed}, row)

    def _changed(self, reader: Reader, known: Cursor) -> "dict[str, Change] | _Everything":
        """What events name since the sync that left this cursor, for an audit; everything where none can tell."""
        sync, until = _sync(reader), known.get("until", 0)
        if not until:
            return {}
        if until < sync.now - EVENTS_ARE_KEPT:
            return EVERYTHING
        try:
            return sync.changes(self.type, until, reader.load)
        except ApiError as error:
            if error.status != 403:
                raise
            return EVERYTHING

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
            # Of nested lists that an event does not show whole, the rows that were loaded before stay.
            whole = are_whole(page.rows[0], self.nested)
            row: Page | pa.Table = page if whole else reader.decoder.arrow([page])[reader.listing.table.name]
            return Step([row], also_there=[] if whole else [piece.id])
        return Step(gone={piece.id: deletion.at})

    def _fetched(self, reader: Reader, piece: Named) -> Page | None:
        """The object with its whole nested list; None when it is gone."""
        try:
            params = {"expand[]": self.expand} if self.expand else {}
            response = reader.respond(piece.scope, Request(f"{reader.listing.path}/{piece.id}", params))
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
        follow(reader, scope, page, self.nested)


@dataclass(frozen=True)
class BalanceTransactions(ByCreated):
    """What was created since; the pending ones are read again until they are available: no event tells of it."""

    cost = "One call and one for each page since the oldest pending one; at first one for each page, side by side."

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        sync = _sync(reader)
        loaded: int = cursor.get("start", sync.start)
        start = min(loaded, sync.start)
        reader.progress[scope.id].noted.update(start=start, pending_from=sync.now - self.lag)
        known = "read_again_from" in cursor and not is_older(cursor)
        again = max(cursor["read_again_from"], loaded) if known else loaded
        windows = [Window(start, loaded), *sync.history(again)]
        return [Piece(scope, window) for window in windows if window.start < window.end]

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        return super().has_changed(cursor, row) or row.available_on >= cursor.get("until", 0)

    def note(self, progress: Progress, step: Step) -> None:
        pending = [row.created for page in step.pages for row in page.rows if row.status == "pending"]
        progress.noted["pending_from"] = min([progress.noted["pending_from"], *pending])

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        super().finish(reader, scope, progress)
        noted = progress.noted
        progress.cursor |= {
            "read_again_from": noted["pending_from"],
            "start": noted["start"],
            "version": API_VERSION,
        }

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        return {**scope.values, "created": Window(_sync(reader).start, reader.sync.now)}


def is_older(cursor: Cursor) -> bool:
    """Whether a table was loaded in an older version of the API, and must be loaded anew."""
    return bool(cursor) and cursor.get("version") != API_VERSION


def _sync(reader: Reader) -> StripeSync:
    assert isinstance(reader.sync, StripeSync)
    return reader.sync
