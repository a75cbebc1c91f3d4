"""A list that filters by time and is sorted by change, oldest first."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ingest_shared.columnar import Page
from ingest_shared.errors import PayloadError
from ingest_shared.reading.api import Response
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step, Walk, instants
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.windows import FOREVER, Window, check_sorted, cut


@dataclass(frozen=True)
class ChangedSince(Walk):
    """What changed since the newest row of the previous sync; at first everything, in windows side by side.

    ``column`` is the path of the time of change. ``since`` makes the parameters for a time; the API must include
    what changed at that very second. Each request starts at a time, never at a page number, so rows that
    move to the end or disappear while the list is read shift nothing. If ``since`` takes only days, the API's own
    links lead through each day. Such a list does not show deletes: the audit finds them.
    """

    cost = (
        "One call, which costs no quota if nothing changed and the API answers 304, and one for each page of "
        "changes; at first one for each page, side by side."
    )
    column: str
    since: Callable[[int], Mapping[str, Any]]
    lag: int = 60
    """Seconds read again before the newest row: a list may show a change a little late."""

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.column,)

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        return bool(instants([row], self.column)[0] > cursor.get("newest", 0))

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        return [Piece(scope, Window(max(0, cursor.get("newest", 0) - self.lag), reader.sync.now or FOREVER))]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        window = piece.window
        assert window
        since = self.since(window.start) if window.start else {}
        is_known = cursor.get("etag") is not None and cursor.get("etag_since") == window.start
        request = reader.request(piece.scope, **since)
        answer = reader.send_if_changed(piece.scope, request, cursor["etag"] if is_known else None)
        if answer is None:
            return Step()
        page, response = answer
        window = replace(window, end=min(window.end, reader.sync.now))
        more = bool(reader.next(request, page, response))
        at = instants(page.rows, self.column)
        if window.begins_with_row and not (at and at[0] <= window.start):
            self._check_inclusive(reader, piece.scope, window.start)
        if window.start >= reader.sync.now:  # what changed meanwhile: it is there, and belongs to the next sync
            return self._also_there(reader, piece.scope, page.rows, more)
        rows, rest = cut(page.rows, at, window, ascending=True, more=more)
        if more and not window.start:
            self._check_order(reader, piece.scope, request, page, response)
        if more and at and self._asks_the_same(at[0], at[-1]):
            of_time, beyond = self._rows_asked_for_alike(reader, piece.scope, at[0])
            rows = [row for row in of_time if window.start <= instants([row], self.column)[0] < window.end]
            rest = [Window(beyond, window.end, begins_with_row=True)] if beyond and beyond < window.end else []
        step = Step([replace(page, rows=rows)], [replace(piece, window=left) for left in rest])
        later = bisect_left(at, window.end)
        step.newest = max(at[:later], default=None)
        # What another window of this sync will read is not noted as there: it must be loaded from that one.
        step.also_there = [reader.decoder.key(row) for row in page.rows[bisect_left(at, reader.sync.now) :]]
        # Only a page of which no row was left to another reading may be skipped while it is the same.
        if not more and (since or not page.rows) and later == len(at):
            step.cursor = {"etag": response.headers.get("ETag"), "etag_since": window.start}
        return step

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        """An audit must know what changed while it read: such rows moved to the end of the list, and are not gone."""
        if not reader.sync.reads_all or progress.stood_still:
            return []
        progress.stood_still = True
        return [Piece(scope, Window(reader.sync.now, FOREVER))]

    def _also_there(self, reader: Reader, scope: Scope, rows: list[Any], more: bool) -> Step:
        step = Step()
        if more and rows:
            at = instants(rows, self.column)
            follows: int | None = at[-1]
            if self._asks_the_same(at[0], at[-1]):
                rows, follows = self._rows_asked_for_alike(reader, scope, at[-1])
            step.pieces = [Piece(scope, Window(follows, FOREVER, begins_with_row=True))] if follows else []
        step.also_there = {reader.decoder.key(row) for row in rows}
        return step

    def _asks_the_same(self, one: int, other: int) -> bool:
        """Whether requests since either instant are the same, so that none can start between them."""
        return self.since(one) == self.since(other)

    def _rows_asked_for_alike(self, reader: Reader, scope: Scope, at: int) -> tuple[list[Any], int | None]:
        """The rows that share the same ``since`` and fill more than a page, and the time of the row after them.

        They are those of one second, or of one day if ``since`` takes only days. Only the API's own links lead
        through them, and a row that moves away shifts the others, so they are read again until nothing new
        appears.
        """
        found: dict[Any, Any] = {}
        beyond: int | None = None
        known = -1
        while len(found) > known:
            known, beyond = len(found), None
            requests = [reader.request(scope, **self.since(at))]
            for request in requests:  # which grows
                page, response = reader.send(scope, request)
                times = instants(page.rows, self.column)
                check_sorted(times, ascending=True)
                alike = [self._asks_the_same(when, at) for when in times]
                found = {
                    reader.decoder.key(row): row for row, is_one in zip(page.rows, alike, strict=True) if is_one
                } | found
                if all(alike):
                    requests += [later for later in reader.following(request, page, response) if later not in requests]
                else:
                    beyond = min([times[alike.index(False)], *([beyond] if beyond else [])])
        if not found:
            self._check_inclusive(reader, scope, at)
        return list(found.values()), beyond

    def _check_inclusive(self, reader: Reader, scope: Scope, second: int) -> None:
        """Raises if the API leaves out the very second in ``since``; otherwise its row has moved."""
        page, _ = reader.send(scope, reader.request(scope, **self.since(second - 1)))
        if second in instants(page.rows, self.column):
            raise PayloadError(
                "the list leaves out what changed in the very second that `since` names, so rows would be lost: "
                "pass the second before, `at - 1`, to `since`"
            )

    def _check_order(self, reader: Reader, scope: Scope, request: Request, page: Page, response: Response) -> None:
        """Raises if the second page, by the API's own link, is older than the first: the list is sorted otherwise.

        A single page may be sorted by chance, and the next request leaves out everything older than it.
        """
        (second,) = reader.next(request, page, response)[:1]
        rows = reader.send(scope, second)[0].rows
        check_sorted([*instants(page.rows[-1:], self.column), *instants(rows, self.column)], ascending=True)
