"""A list that is read in full, so that rows missing from it are known to be gone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest_shared.columnar import Page
from ingest_shared.errors import PayloadError
from ingest_shared.reading.api import Response
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Cursor, NumberedPage, Piece, Progress, Scope, Step, Walk, instants
from ingest_shared.reading.reader import Reader


@dataclass(frozen=True)
class FullList(Walk):
    """Every page at every sync; if the API has ETags, a list of one page only when it changed.

    If a row that disappears moves others to pages that were already read (``Envelope.shifts``), a
    list of several pages is read again until no row moves from one page to another. Edits alone
    do not count.

    With ``since``, the parameters for a time, only the first sync reads everything. Later ones read what
    changed since the previous sync began, by the time at the path ``column``, and the audit finds deletes.

    ``at_most`` is the most rows that the API shows of a list: rows missing from a list that long may still exist, so
    none is marked as deleted.
    """

    cost = "One call for each page; an unchanged list of one page costs no quota if the API answers 304."
    since: Callable[[int], Mapping[str, Any]] | None = None
    column: str = ""
    lag: int = 60
    """Seconds read again before the cursor: a list may show a change a little late."""
    at_most: int | None = None

    keeps_keys = True

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.column,) if self.since else ()

    @property
    def tells_deletes(self) -> bool:  # type: ignore[override]
        return self.since is None

    def has_changed(self, cursor: Cursor, row: Any) -> bool:
        return self.since is not None and instants([row], self.column)[0] >= cursor.get("began", 0)

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        changed = self.since(cursor["began"] - self.lag) if self.since and "began" in cursor else {}
        return [Piece(scope, request=reader.request(scope, **changed))]

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        request = piece.request
        assert request
        progress = reader.progress[piece.scope.id]
        already = progress.numbered
        known = already.get(request)
        etag = known.etag if known else cursor.get("etag") if request == reader.request(piece.scope) else None
        answer = self.answer(reader, piece.scope, request, etag, was_last=known.was_last if known else True)
        if answer is None:
            return Step()
        page, response = answer
        following = reader.following(request, page, response)
        is_first = request in (start.request for start in self.start(reader, piece.scope, cursor))
        cursor_then: Cursor = {"began": reader.sync.now}
        if is_first:
            cursor_then["etag"] = None if following or self.since else response.headers.get("ETag")
        keys = [reader.decoder.key(row) for row in page.rows]
        if following and not progress.stood_still:
            check_leads_on(following, keys, already)
        return Step(
            pages=[page],
            pieces=[Piece(piece.scope, request=next_) for next_ in following if next_ not in already],
            cursor=cursor_then,
            numbered=(request, NumberedPage(keys, response.headers.get("ETag"), "next" not in response.links)),
        )

    def answer(
        self, reader: Reader, scope: Scope, request: Request, etag: str | None, *, was_last: bool
    ) -> tuple[Page, Response] | None:
        """A page and its response; None if the page still has this ETag."""
        return reader.send_if_changed(scope, request, etag, was_last=was_last)

    def again(self, reader: Reader, scope: Scope, progress: Progress) -> list[Piece]:
        has_moved = progress.moved or not progress.stood_still
        if not reader.listing.envelope.shifts or len(progress.numbered) < 2 or not has_moved:
            return []
        progress.stood_still = True  # unless a page of this round moved
        progress.moved = False
        return [Piece(scope, request=request) for request in progress.numbered]

    def finish(self, reader: Reader, scope: Scope, progress: Progress) -> None:
        """The next sync must find what disappeared after it was read, so no ETag may make it skip the list."""
        if progress.there - {key for page in progress.numbered.values() for key in page.keys}:
            progress.cursor["etag"] = None

    def has_read_all(self, progress: Progress) -> bool:
        return self.since is None and bool(progress.numbered)

    def is_cut(self, progress: Progress) -> bool:
        shown = sum(len(page.keys) for page in progress.numbered.values())
        return self.at_most is not None and shown >= self.at_most


def check_leads_on(following: Sequence[Request], keys: Sequence[Any], already: dict[Request, NumberedPage]) -> None:
    """Raises if the following pages were already read, so that the list would never end or end too early."""
    if any(request in already for request in following):
        raise PayloadError("a page names an earlier page as the next one, so the rest of the list cannot be read")
    if keys and already and already[next(reversed(already))].keys == keys:
        raise PayloadError(
            "two pages in a row have the same rows: check the parameters of its envelope, and whether the API says "
            "which page is the last one"
        )
