"""A list that takes no time, but can be sorted by change, newest first."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from ingest_shared.columnar import Page
from ingest_shared.reading.listings import Cursor, Piece, Reader, Scope, Step, Walk, seconds
from ingest_shared.reading.windows import check_sorted


@dataclass(frozen=True)
class NewestFirst(Walk):
    """All pages at first, in an order in which they stand still; then newest change first to the cursor.

    ``whole`` are the parameters of the first reading, oldest creation first; ``changed`` those of the
    later ones. For rows that nobody can delete, or whose deletes the audit may find.
    """

    cost = (
        "One call, which costs no quota while nothing changed if the API answers 304, and one for each page down to "
        "the newest row that is known; at first one for each page."
    )
    column: str
    whole: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    lag: int = 60
    """Seconds read again before the newest row: a list may show a change a little late."""

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.column,)

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        params = self.changed if "newest" in cursor else self.whole
        return [Piece(scope, request=reader.request(scope, **params))]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        request = piece.request
        assert request
        to_cursor = "newest" in cursor
        is_first = [piece] == self.start(reader, piece.scope, cursor)
        answer = reader.send_if_changed(piece.scope, request, cursor.get("etag") if is_first else None)
        if answer is None:
            return Step()
        page, response = answer
        since = cursor["newest"] - self.lag if to_cursor else 0
        if to_cursor:
            check_sorted(page.rows, self.instant, ascending=False)
        reached = to_cursor and any(self.instant(row) < since for row in page.rows)
        step = self._step(reader, page, since)
        if not reached:
            # One after the other down to the cursor: the pages beyond it are not asked for.
            following = reader.next if to_cursor else reader.following
            step.pieces = [replace(piece, request=later) for later in following(request, page, response)]
        if is_first:
            # Of a whole reading, only a list that is empty may be skipped while it is the same.
            may_skip = (to_cursor or not page.rows) and not step.also_there
            step.cursor = {"etag": response.headers.get("ETag") if may_skip else None}
        return step

    def instant(self, row: Any) -> int:
        return seconds(attrgetter(self.column)(row))

    def _step(self, reader: Reader, page: Page, since: int) -> Step:
        """The rows that changed since then; what changed after the sync began is left to the next one."""
        now = reader.sync.now
        step = Step(also_there=[reader.decoder.key(row) for row in page.rows if self.instant(row) >= now])
        page.rows = [row for row in page.rows if since <= self.instant(row) < now]
        step.pages = [page]
        step.newest = max(map(self.instant, page.rows), default=None)
        return step
