"""Objects with events: listed once, then fetched as the events name them.

None of Stripe's lists shows updates; its events do, for 30 days. So each table remembers how far it has read the
events, continues there (one scan serves all tables of a run), and fetches the current state of each object that they
name: https://docs.stripe.com/api/events
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa
from dlt.destinations.exceptions import DatabaseUndefinedRelation

from ingest_shared import pipelines
from ingest_shared.columnar import Page
from ingest_shared.errors import ApiError
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.tombstones import living
from ingest_shared.reading.walks import ByCreated
from ingest_shared.reading.windows import Window
from ingest_shared.references import naming, to_nowhere
from ingest_shared.tables import Table
from stripe_location.source.account import (
    EVENTS_ARE_KEPT,
    LAG,
    Change,
    Deletion,
    StripeSync,
    created_in,
    sync_of,
    without_clocks,
)
from stripe_location.source.api import API_VERSION
from stripe_location.source.nested import Nested, are_whole, follow
from stripe_location.source.tables import TABLES

logger = logging.getLogger("ingest")

LOOK_EVERY = 86_400
"""Seconds after which hidden objects that were not found are requested again."""
MOST_IN_VAIN = 1_000
"""Most ids of objects that were not found that a cursor keeps; if there may be more, none is requested until then."""
MOST_ASKED = 10_000
"""Most ids that no list shows that one load requests: seven minutes at the pace of an endpoint."""
ALWAYS = 100 * 365 * 86_400
"""Seconds: longer than any object has existed."""
LONGEST_GAP = 25 * 86_400
"""Seconds after which a table is listed again in full, since events are gone after 30 days."""


class _Stub(msgspec.Struct):
    deleted: bool = False


class _Everything:
    """Contains every key: anything may have changed."""

    def __contains__(self, id_: object) -> bool:
        return True


EVERYTHING = _Everything()


@dataclass(frozen=True)
class Named(Piece):
    """One object, by its id."""

    id: str = ""
    change: Change = field(default_factory=Change)


@dataclass(frozen=True)
class Hidden(Piece):
    """One object that lists and events may not show, by the id that a row of another table names."""

    id: str = ""


@dataclass(frozen=True)
class Filtered(Piece):
    """The objects that the list shows if it is asked with these parameters."""

    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Objects(ByCreated):
    """At first all objects, in spans of time side by side, with their nested lists; then what is new or named by
    events.

    Stripe's lists show no changes; its events do, for 30 days. New objects are listed at every sync, whatever the
    events say: Stripe writes some types of events only for a webhook that names them
    (https://docs.stripe.com/api/events/types), and a list costs less than one call for each.
    """

    keeps_keys = True
    tells_deletes = True
    cost = (
        "One for each 100 objects that are new or listed again, and one for each other object that events name. "
        "The scan of the events, one for each 100 of them, serves all tables of a run."
    )
    deletes = (
        "reported by events; after a pause of 25 days, and in the audit, what no list shows is requested by its id, "
        f"at most {MOST_ASKED:,} objects of an account at a time: each continues, in the order of their ids, where "
        f"the previous one ended, so all are seen within one audit for each {MOST_ASKED:,}."
    )
    column: str = "created"
    between: Callable[[int, int], Mapping[str, Any]] = created_in
    type: str = ""
    """The type of the objects, if it is not the table's name."""
    at: str = ""
    """The path below which an object is found by its id, if it is not that of the list."""
    nested: Mapping[str, Nested] = field(default_factory=dict)
    expand: tuple[str, ...] = ()
    """Fields that Stripe sends only when asked."""
    listed: int = 0
    """Seconds after its creation for which an object is listed at every sync, if no event reports all its changes."""
    hides: bool = False
    """Whether lists show only a part of the objects, such as prices that are not inline, or open reviews. Objects that
    rows of other tables name and the warehouse lacks are requested by id: at the sync after those rows came and, if
    they are not found then, once a day and in an audit."""
    hides_clocks: bool = False
    """Whether the list shows objects of a test clock only where it is asked for those of that clock."""
    hides_inactive: bool = False
    """Whether the list shows inactive objects only where it is asked for them."""

    # What is read.

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        sync, progress = sync_of(reader), reader.progress[scope.id]
        if "left" in cursor and is_older(cursor):
            progress.cursor = cursor = {}
        known_until, earlier = cursor.get("until"), self._earlier(sync, cursor)
        progress.noted["start"] = earlier.start
        progress.noted["changes"] = {}
        if known_until is None:
            progress.changed = changed = self._changed(reader, scope)
            progress.noted["changes"] = changed if isinstance(changed, dict) else {}
            left = self.left(scope, cursor)
            return left + self._windows(scope, earlier) if left else self.whole(reader, scope)
        since = max(known_until, sync.now - EVENTS_ARE_KEPT) - LAG
        anew = sync.now - known_until > LONGEST_GAP or is_older(cursor)
        try:
            progress.noted["changes"] = sync.changes(scope, self.type_in(reader.listing.table), since, reader.load)
        except ApiError as error:
            if error.status != 403:
                raise
            reader.load.warn(f"listed again in full, because the key may not read events ({error.reason})")
            anew = True
        if anew:
            ago = f"last loaded {(sync.now - known_until) // 86_400} days ago"
            version = f", in API version {cursor.get('version', 'unknown')}" if is_older(cursor) else ""
            reader.load.warn(f"{ago}{version}: listing all")
            progress.noted["anew"] = True
            return self.whole(reader, scope)
        return self.recent(reader, scope, since, earlier) or self._named(scope, progress)

    def whole(self, reader: Reader, scope: Scope) -> list[Piece]:
        """The pieces in which all objects are listed."""
        sync = sync_of(reader)
        return self._windows(scope, *sync.history(scope, sync.start)) + self._of_clocks(reader, scope)

    def recent(self, reader: Reader, scope: Scope, since: int, earlier: Window) -> list[Piece]:
        """The pieces in which objects created since then, and in ``earlier``, are listed."""
        recent = Window(max(since - self.listed, earlier.end), reader.sync.now)
        return self._windows(scope, earlier, recent) + self._of_clocks(reader, scope)

    def _of_clocks(self, reader: Reader, scope: Scope) -> list[Piece]:
        """All objects of each test clock that is to be loaded: they are created at the clock's time, whatever that
        is."""
        sync = sync_of(reader)
        clocks = sync.test_clocks(scope, reader.load) if self.hides_clocks else []
        always = Window(sync.start, sync.now + ALWAYS)
        return [Filtered(scope, always, params=(("test_clock", clock),)) for clock in clocks]

    def asked(self, piece: Piece, window: Window) -> Mapping[str, Any]:
        return {**super().asked(piece, window), **dict(piece.params if isinstance(piece, Filtered) else ())}

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        """Each object that events name and no window has shown, and objects that only the warehouse has.

        Most of the latter are deleted; lists do not show some others, such as objects of test clocks.
        """
        if progress.stood_still:
            return []
        if reader.sync.audit or progress.noted.get("anew"):
            unlisted = self._unlisted(reader, scope, progress)
            progress.noted["changes"] = dict.fromkeys(unlisted, Change()) | progress.noted["changes"]
        pieces = self._named(scope, progress)
        if self.hides:
            hidden = self._hidden(reader, scope, progress) - progress.there - progress.noted["changes"].keys()
            if isinstance(progress.changed, dict):  # in an audit: what no sync has requested yet is not lost
                asked = reader.known.get(scope.id, {}).get("in_vain", ())
                progress.changed = progress.changed.keys() | (hidden - set(asked))
            pieces += [Hidden(scope, id=id_) for id_ in sorted(hidden)]
        return pieces

    def _unlisted(self, reader: Reader, scope: Scope, progress: Progress) -> list[str]:
        """The ids that only the warehouse has, as many as one load requests: those after the point where the last one
        ended.

        Nothing shows that the others are gone.
        """
        held = living(reader.listing.table, self.audited(reader, scope))
        last = reader.known.get(scope.id, {}).get("asked_until", "")
        ids = sorted(held - progress.there - progress.noted["changes"].keys(), key=lambda id_: (id_ <= last, id_))
        progress.there.update(ids[MOST_ASKED:])
        progress.cursor.pop("asked_until", None)
        if len(ids) > MOST_ASKED:
            progress.cursor["asked_until"] = ids[MOST_ASKED - 1]
        return ids[:MOST_ASKED]

    @staticmethod
    def _hidden(reader: Reader, scope: Scope, progress: Progress) -> set[str]:
        """The ids that rows name, without those that were recently requested in vain."""
        cursor, named = progress.cursor, named_in_vain(reader.listing.table, scope)
        in_vain = set[str](cursor.get("in_vain", ()))
        if reader.sync.audit or reader.sync.now >= cursor.get("looked", 0) + LOOK_EVERY:
            in_vain.clear()
            cursor["looked"] = reader.sync.now if "until" in reader.known.get(scope.id, {}) else 0
        hidden = set(sorted(named - in_vain)[:MOST_ASKED]) if len(in_vain) < MOST_IN_VAIN else set()
        cursor["in_vain"] = sorted(named & (in_vain | hidden))[:MOST_IN_VAIN]
        return hidden

    def leave(self, reader: Reader, progress: Progress) -> Cursor:
        return super().leave(reader, progress) | {"start": progress.noted["start"], "version": API_VERSION}

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        super().finish(reader, scope, progress)
        progress.cursor |= {"start": progress.noted["start"], "version": API_VERSION}

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        return {**scope.values, self.column: Window(sync_of(reader).start, reader.sync.now)}

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        listed = 0 if self.lists_all(Progress({})) else self.listed
        return super().has_changed({"until": cursor.get("until", 0) - listed}, row)

    def lists_all(self, progress: Progress) -> bool:
        return self.listed >= ALWAYS

    def _changed(self, reader: Reader, scope: Scope) -> "dict[str, Change] | _Everything":
        """What events have named since the sync that left this cursor, for an audit; everything if that is unknown."""
        sync, until = sync_of(reader), reader.known.get(scope.id, {}).get("until", 0)
        if not until:
            return {}
        if until < sync.now - EVENTS_ARE_KEPT:
            return EVERYTHING
        try:
            return sync.changes(scope, self.type_in(reader.listing.table), until, reader.load)
        except ApiError as error:
            if error.status != 403:
                raise
            return EVERYTHING

    def _earlier(self, sync: StripeSync, cursor: Cursor) -> Window:
        """From the configured start to the loaded one: empty, unless the start was moved back."""
        loaded: int = cursor.get("start", sync.start)
        return Window(min(loaded, sync.start), loaded)

    def type_in(self, table: Table) -> str:
        """The type of the table's objects, as events name it."""
        return self.type or table.name.removesuffix("s")

    def _windows(self, scope: Scope, *windows: Window) -> list[Piece]:
        pieces = [Piece(scope, window) for window in windows if window.start < window.end]
        inactive = pieces if self.hides_inactive else []
        return pieces + [Filtered(scope, piece.window, params=(("active", "false"),)) for piece in inactive]

    @staticmethod
    def _named(scope: Scope, progress: Progress) -> list[Piece]:
        progress.stood_still = True
        changes: Mapping[str, Change] = progress.noted["changes"]
        return [Named(scope, id=id_, change=change) for id_, change in changes.items() if id_ not in progress.there]

    # How it is read.

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        if isinstance(piece, Hidden):
            found = self._fetched(reader, piece.scope, piece.id)
            return Step([found] if found and found.rows else [])
        if not isinstance(piece, Named):
            return super().fetch(reader, piece, cursor)
        page = self._fetched(reader, piece.scope, piece.id) if piece.change.may_live else None
        if page:
            return Step([page] if page.rows else [])
        deletion = piece.change.deletion or Deletion(reader.sync.now)
        if deletion.snapshot:
            page = reader.row(piece.scope, deletion.snapshot, deleted_at=deletion.at)
            without_clocks(reader, page)
            if not page.rows:
                return Step()
            # If an event shows only a part of a nested list, the rows that were loaded before stay.
            whole = are_whole(page.rows[0], self.nested)
            row: Page | pa.Table = page if whole else reader.decoder.arrow([page])[reader.listing.table.name]
            return Step([row], also_there=[] if whole else [piece.id])
        return Step(gone={piece.id: deletion.at})

    def _fetched(self, reader: Reader, scope: Scope, id_: str) -> Page | None:
        """The object with complete nested lists; None if it is gone, no row if it is left out or unreadable."""
        body = self._asked_for(reader, scope, id_)
        if body is None:
            return None
        page = reader.row(scope, body)
        without_clocks(reader, page)
        if not page.rows:
            return page
        self.finish_page(reader, scope, page)
        return page if page.rows else None

    def _asked_for(self, reader: Reader, scope: Scope, id_: str) -> bytes | None:
        """The object as it is now; None if it is gone."""
        # Accounts may choose the ids of coupons, products and prices: `50% OFF?`, `gold/monthly`.
        path = f"{self.at or reader.listing.path}/{quote(id_, safe='')}"
        try:
            body = reader.respond(scope, Request(path, {"expand[]": self.expand} if self.expand else {})).body
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        return None if msgspec.json.decode(body, type=_Stub).deleted else body

    def finish_page(self, reader: Reader, scope: Scope, page: Page) -> None:
        without_clocks(reader, page)
        # Old checkout sessions may have lost their line items, but still exist.
        follow(reader, scope, page, self.nested, lambda row: self._asked_for(reader, scope, row.id) is None)


@dataclass(frozen=True, kw_only=True)
class InvoiceItems(Objects):
    """Pending items are listed at every sync: no event reports an edit, or which invoice took them.

    The events of that invoice name the items of its first ten lines. So items that are pending here and not in the list
    are requested by id.
    """

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        pieces = super().start(reader, scope, cursor)
        start = reader.progress[scope.id].noted["start"]
        pending = Filtered(scope, Window(start, reader.sync.now), params=(("pending", "true"),))
        return [pending, *pieces] if "until" in cursor else pieces

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        if not progress.stood_still and "until" in reader.known.get(scope.id, {}):
            pending = living(reader.listing.table, {**self.audited(reader, scope), "invoice": None})
            progress.noted["changes"] = dict.fromkeys(pending, Change()) | progress.noted["changes"]
        return super().again(reader, scope, progress)


@dataclass(frozen=True, kw_only=True)
class Disputes(Objects):
    """Events report every change of a dispute, except a deadline that passes."""

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        until, evidence = cursor.get("until", 0), row.evidence_details
        is_over = bool(evidence and evidence.past_due and (evidence.due_by or 0) >= until)
        return is_over or ByCreated.has_changed(self, cursor, row)


def named_in_vain(table: Table, scope: Scope) -> set[str]:
    """The ids that rows of other tables name and that have no row in the warehouse."""
    found: set[str] = set()
    with pipelines.current().sql_client() as client:
        for other, column in naming(table.name, TABLES.values()):
            ids = f"SELECT DISTINCT t.{client.escape_column_name(column.name)} "
            account = f" AND t.{client.escape_column_name('account_id')} = %s"
            sql = ids + to_nowhere(client, other, column, table) + account
            try:
                found |= {id_ for (id_,) in client.execute_sql(sql, scope.values["account_id"]) or ()}
            except DatabaseUndefinedRelation:
                continue  # not loaded yet
    return found


def is_older(cursor: Cursor) -> bool:
    """Whether a table was loaded in an older version of the API and must be loaded again."""
    return bool(cursor) and cursor.get("version") != API_VERSION
