"""A list that is sorted by creation, newest first, and filters by a span of time."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ingest_shared.columnar import Page
from ingest_shared.reading.listings import Cursor, NumberedPage, Piece, Progress, Scope, Step, Walk, instants, seconds
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks.full_list import check_leads_on
from ingest_shared.reading.windows import FOREVER, Window, cut, one_second

AHEAD = 86_400
"""Seconds by which the API's clock may be ahead of this machine's, as long as no response has told its time."""


@dataclass(frozen=True)
class ByCreated(Walk):
    """What was created since the previous sync; at first everything, in windows side by side.

    ``between`` makes the parameters for a span of time. Pages continue by time and not after a row, because a row that
    is deleted in the meantime would break the chain; only within a single second is the API's own link the only way. A
    first load keeps the windows that it has read, even if it is stopped.
    """

    cost = "One call and one for each page of what was created since; at first one for each page, side by side."
    column: str
    between: Callable[[int, int], Mapping[str, Any]]
    lag: int = 300
    """Seconds that are read again: a list may show a row a little late."""
    changed: str = ""
    """The path of the time of change, if rows may change for ``lag`` seconds: an audit goes by it."""
    longest: int | None = None
    """The most seconds that the API takes as a span, if there is such a limit."""
    earliest: str = "1970-01-01"
    """The day, in UTC, from which on the list is read: what was created before is neither loaded nor audited."""

    def __post_init__(self) -> None:
        try:
            seconds(self.earliest)
        except ValueError:
            raise ValueError(f"ByCreated: earliest={self.earliest!r} must be a date like 2024-01-31") from None

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.column, self.changed) if self.changed else (self.column,)

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        return bool(instants([row], self.changed or self.column)[0] >= cursor.get("until", 0))

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        return self.left(scope, cursor) or [Piece(scope, one) for one in self._spans(self.window(reader, cursor))]

    def _spans(self, window: Window) -> list[Window]:
        """The window in spans that the API takes, the newest first."""
        if self.longest is None:
            return [window]
        length = self.longest - 1  # a page of a single second is asked for from a second before
        end = min(window.end, int(time.time()) + AHEAD)
        return [Window(start, min(start + length, end)) for start in range(window.start, end, length)][::-1]

    def window(self, reader: Reader, cursor: Cursor) -> Window:
        """The span of time to read."""
        start = cursor["until"] - self.lag if "until" in cursor else 0
        return Window(max(seconds(self.earliest), start), reader.sync.now or FOREVER)

    def audited(self, reader: Reader, scope: Scope) -> Mapping[str, Any]:
        if not (begins := seconds(self.earliest)):
            return scope.values
        created = next(column.name for column in reader.listing.table.columns if column.path == self.column)
        return {**scope.values, created: Window(begins, FOREVER)}

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        window = piece.window
        assert window
        request = piece.request or reader.request(piece.scope, **self.asked(piece, window))
        page, response = reader.send(piece.scope, request)
        following = reader.following(request, page, response)
        at = instants(page.rows, self.column)
        rows, left = cut(page.rows, at, window, ascending=False, more=bool(following))
        pieces = [replace(piece, window=rest, request=None) for rest in left]
        if following and (not at or one_second(at)):
            # From one second before, since Stripe has shown nothing after a row if the span is only its second.
            longer = self.asked(piece, replace(window, start=window.start - 1))
            links = [later.having(**longer) for later in following]
            keys = [reader.decoder.key(row) for row in page.rows]
            check_leads_on(links, keys, piece.linked)
            linked = {**piece.linked, request: NumberedPage(keys, None, was_last=False)}
            pieces = [replace(piece, request=link, linked=linked) for link in links]
        page.rows = rows
        self.finish_page(reader, piece.scope, page)
        return Step([page], pieces)

    def asked(self, piece: Piece, window: Window) -> Mapping[str, Any]:
        """The parameters that request a span of time of a piece's list."""
        return self.between(window.start, window.end)

    def may_wait(self, piece: Piece, cursor: Cursor) -> bool:
        return "until" not in cursor and type(piece) is Piece and piece.request is None

    def leave(self, reader: Reader, progress: Progress) -> Cursor:
        windows = [piece.window for piece in progress.left if piece.window]
        left = [[window.start, window.end, window.pages] for window in windows]
        return {"left": left, "began": progress.cursor.get("began", reader.sync.now)}

    def left(self, scope: Scope, cursor: Cursor) -> list[Piece]:
        """The windows that the previous load did not begin to read."""
        return [Piece(scope, Window(start, end, pages)) for start, end, pages in cursor.get("left", ())]

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        """Leaves to the next sync what appeared or changed since the first part began."""
        progress.cursor.pop("left", None)
        progress.cursor["until"] = progress.cursor.pop("began", reader.sync.now)

    def finish_page(self, reader: Reader, scope: Scope, page: Page) -> None:
        """Adds to the rows what the list does not include; does nothing for most lists."""
