"""A list that filters by time and is sorted by change, oldest first."""

import time
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

    ``column`` is the path of the time of change. ``since`` makes the parameters for a time; the API must include what
    changed at that exact second, and may include more. Each request starts at a time, never at a page number, so rows
    that move to the end or disappear while the list is read shift nothing. If ``since`` takes only days, or reaches
    back further than a page, the API's own links lead on. Such a list does not show deletes: the audit finds them.
    """

    cost = (
        "One call, which costs no quota if nothing changed and the API answers 304, and one for each page of "
        "changes; at first one for each page, side by side."
    )
    column: str
    since: Callable[[int], Mapping[str, Any]]
    lag: int = 60
    """Seconds read again before the newest row: a list may show a change a little late."""
    hidden_for: int = 0
    """Seconds for which the list hides a row that has just changed; an audit waits that long and looks again."""

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
        if (is_second_look := reader.progress[piece.scope.id].stood_still) and not window.begins_with_row:
            time.sleep(self.hidden_for)
        since = self._params(window.start)
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
        if is_second_look or window.start >= reader.sync.now:
            return self._also_there(reader, piece.scope, window.start, page, more)
        rows, rest = cut(page.rows, at, window, ascending=True, more=more)
        later = bisect_left(at, window.end)
        seen = at[:later]
        if more and not window.start:
            self._check_order(reader, piece.scope, request, page, response)
        if more and self._only_links_lead_on(window.start, at):
            linked, beyond = self._by_links(reader, piece.scope, max(window.start, *at[:1]) if at else window.start)
            end = min(window.end, beyond or window.end)
            rows = [row for row in linked if instants([row], self.column)[0] < end]
            rest = [Window(beyond, window.end, begins_with_row=True)] if beyond and beyond < window.end else []
            seen = seen + instants(rows, self.column)
        step = Step([replace(page, rows=rows)], [replace(piece, window=left) for left in rest])
        step.newest = max(seen, default=None)
        # Rows that another window of this sync will read do not count as read: that one must load them.
        step.also_there = [reader.decoder.key(row) for row in page.rows[bisect_left(at, reader.sync.now) :]]
        # A page may be skipped while it is unchanged only if none of its rows was left to another reading.
        if not more and (since or not page.rows) and later == len(at):
            step.cursor = {"etag": response.headers.get("ETag"), "etag_since": window.start}
        return step

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        """An audit must know what changed while it was reading: such rows moved to the end of the list and are not
        gone."""
        if not reader.sync.reads_all or progress.stood_still:
            return []
        progress.stood_still = True
        return [Piece(scope, Window(max(0, reader.sync.now - self.hidden_for), FOREVER))]

    def _also_there(self, reader: Reader, scope: Scope, start: int, page: Page, more: bool) -> Step:
        """What changed while the list was read exists and belongs to the next sync; what was hidden does not."""
        step, rows = Step(), page.rows
        if more:
            at = instants(rows, self.column)
            follows: int | None = at[-1] if at else None
            if self._only_links_lead_on(start, at):
                rows, follows = self._by_links(reader, scope, max(start, at[0]) if at else start)
            step.pieces = [Piece(scope, Window(follows, FOREVER, begins_with_row=True))] if follows else []
        dated = list(zip(rows, instants(rows, self.column), strict=True))
        step.also_there = {reader.decoder.key(row) for row, when in dated if when >= reader.sync.now}
        step.pages = [replace(page, rows=[row for row, when in dated if when < reader.sync.now])]
        return step

    def _params(self, at: int) -> Mapping[str, Any]:
        """The parameters for what changed since then; none for the whole list."""
        return self.since(at) if at else {}

    def _asks_the_same(self, one: int, other: int) -> bool:
        """Whether requests since either instant are identical, so that none can start between them."""
        return self.since(one) == self.since(other)

    def _only_links_lead_on(self, start: int, at: list[int]) -> bool:
        """Whether a request since the last row of a page, which was requested since ``start``, would show it again."""
        return not at or at[-1] <= start or self._asks_the_same(max(start, at[0]), at[-1])

    def _by_links(self, reader: Reader, scope: Scope, at: int) -> tuple[list[Any], int | None]:
        """The rows from an instant on that no request by time can reach, and the time at which the next one can start.

        They are the rows of one second (or one day, if ``since`` takes only days) that fill more than a page, or the
        rows after additional ones that ``since`` shows. Only the API's own links lead to them, and a row that moves
        away shifts the others, so they are read again until nothing new appears.
        """
        found: dict[Any, Any] = {}
        beyond: int | None = None
        known = -1
        while len(found) > known:
            known, beyond = len(found), None
            requests = [reader.request(scope, **self._params(at))]
            for request in requests:  # which grows
                page, response = reader.send(scope, request)
                times = instants(page.rows, self.column)
                check_sorted(times, ascending=True)
                pairs = zip(page.rows, times, strict=True)
                found = {reader.decoder.key(row): row for row, when in pairs if when >= at} | found
                if times and times[-1] > at and not self._asks_the_same(times[-1], at):
                    beyond = next(when for when in times if self._asks_the_same(when, times[-1]))
                else:
                    requests += [later for later in reader.next(request, page, response) if later not in requests]
        if at and not any(self._asks_the_same(when, at) for when in instants(found.values(), self.column)):
            self._check_inclusive(reader, scope, at)
        return list(found.values()), beyond

    def _check_inclusive(self, reader: Reader, scope: Scope, second: int) -> None:
        """Raises if the API leaves out the second of ``since`` itself; otherwise its row has moved."""
        page, _ = reader.send(scope, reader.request(scope, **self.since(second - 1)))
        if second in instants(page.rows, self.column):
            raise PayloadError(
                "the list leaves out what changed in the exact second that `since` names, so rows would be lost: "
                "pass the second before, `at - 1`, to `since`"
            )

    def _check_order(self, reader: Reader, scope: Scope, request: Request, page: Page, response: Response) -> None:
        """Raises if the second page, by the API's own link, is older than the first: the list is not sorted by change.

        A single page may be sorted by chance, and the next request leaves out everything older than it.
        """
        (second,) = reader.next(request, page, response)[:1]
        rows = reader.send(scope, second)[0].rows
        check_sorted([*instants(page.rows[-1:], self.column), *instants(rows, self.column)], ascending=True)
