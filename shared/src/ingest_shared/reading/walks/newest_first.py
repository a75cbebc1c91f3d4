"""A list without a time filter that can be sorted by change, newest first."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ingest_shared.columnar import Page
from ingest_shared.reading.listings import Cursor, NumberedPage, Piece, Scope, Step, Walk, instants
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks.full_list import check_leads_on
from ingest_shared.reading.windows import check_sorted


@dataclass(frozen=True)
class NewestFirst(Walk):
    """At first all pages, in an order in which rows stay put; then from the newest change down to the cursor.

    ``whole`` are the parameters of the first reading, oldest creation first; ``changed`` those of
    later ones. For rows that cannot be deleted, or whose deletes may wait for the audit.
    """

    cost = (
        "One call, which costs no quota if nothing changed and the API answers 304, and one for each page down to "
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

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        return bool(instants([row], self.column)[0] > cursor.get("newest", 0))

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
        at = instants(page.rows, self.column)
        if to_cursor:
            check_sorted(at, ascending=False)
        reached = to_cursor and bool(at) and at[-1] < since
        keys = [reader.decoder.key(row) for row in page.rows]
        step = self._step(reader, page, at, since)
        step.numbered = request, NumberedPage(keys, None, was_last=False)
        if not reached:
            # One after the other down to the cursor: the pages beyond it are not requested.
            following = reader.next if to_cursor else reader.following
            later = following(request, page, response)
            check_leads_on(later, keys, reader.progress[piece.scope.id].numbered)
            step.pieces = [replace(piece, request=next_) for next_ in later]
        if is_first:
            # After a whole reading, only an empty list may be skipped while it is unchanged.
            may_skip = (to_cursor or not page.rows) and not step.also_there
            step.cursor = {"etag": response.headers.get("ETag") if may_skip else None}
        return step

    @staticmethod
    def _step(reader: Reader, page: Page, at: list[int], since: int) -> Step:
        """The rows that changed since then; what changed after the sync began is left to the next sync."""
        now = reader.sync.now
        dated = list(zip(page.rows, at, strict=True))
        step = Step(also_there=[reader.decoder.key(row) for row, when in dated if when >= now])
        step.newest = max((when for when in at if since <= when < now), default=None)
        page.rows = [row for row, when in dated if since <= when < now]
        step.pages = [page]
        return step
