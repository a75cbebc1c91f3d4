"""A list that takes a time and is sorted by change, oldest first."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ingest_shared.reading.listings import Cursor, Piece, Progress, Scope, Step, Walk, instants
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.windows import FOREVER, Window, cut, one_second


@dataclass(frozen=True)
class ChangedSince(Walk):
    """What changed since the newest row of the sync before; at first everything, in windows side by side.

    ``column`` is the path of the instant of change, ``since`` makes the parameters for one. Each
    request starts at a time, never at a page number, so rows that move to the end or vanish while the
    list is read shift nothing. Such a list tells of no deletes: the audit finds them.
    """

    cost = (
        "One call, which costs no quota while nothing changed if the API answers 304, and one for each page of "
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
        if window.start >= reader.sync.now:  # what changed meanwhile: it is there, and belongs to the next sync
            return self._also_there(reader, piece.scope, page.rows, more)
        at = instants(page.rows, self.column)
        rows, rest = cut(page.rows, at, window, ascending=True, more=more)
        if more and rows and one_second(at):
            rows = self._rows_of_second(reader, piece.scope, at[0])
            rest = [Window(at[0] + 1, window.end)]
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
        """An audit must know of what changed while it read: it moved to the end of the list, and is not gone."""
        if not reader.sync.reads_all or progress.stood_still:
            return []
        progress.stood_still = True
        return [Piece(scope, Window(reader.sync.now, FOREVER))]

    def _also_there(self, reader: Reader, scope: Scope, rows: list[Any], more: bool) -> Step:
        step = Step()
        if more and rows:
            at = instants(rows, self.column)
            last = at[-1]
            if one_second(at):
                rows = self._rows_of_second(reader, scope, last)
                last += 1
            step.pieces = [Piece(scope, Window(last, FOREVER))]
        step.also_there = {reader.decoder.key(row) for row in rows}
        return step

    def _rows_of_second(self, reader: Reader, scope: Scope, second: int) -> list[Any]:
        """The rows that changed in one second, when they are more than a page.

        Only the API's own links lead through them, and a row that moves away shifts the others: so
        they are read again until nothing new appears.
        """
        found: dict[Any, Any] = {}
        known = -1
        while len(found) > known:
            known = len(found)
            requests = [reader.request(scope, **self.since(second))]
            while requests:
                request = requests.pop(0)
                page, response = reader.send(scope, request)
                at = instants(page.rows, self.column)
                of_second = {
                    reader.decoder.key(row): row for row, when in zip(page.rows, at, strict=True) if when == second
                }
                found = of_second | found
                if at and at[-1] == second:
                    requests += [later for later in reader.following(request, page, response) if later not in requests]
        return list(found.values())
