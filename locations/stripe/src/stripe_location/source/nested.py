"""Lists inside an object, of which Stripe sends only the first ten rows: where to find the others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import ApiError
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Cursor, Piece, Scope, Step
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import FullList
from ingest_shared.tables import Child
from stripe_location.source.account import sync_of, without_clocks
from stripe_location.source.pages import PER_PAGE, Pages


@dataclass(frozen=True)
class Nested:
    """The complete version of a list that is nested in the object ``{id}``."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)


def follow(
    reader: Reader,
    scope: Scope,
    page: Page,
    nested: Mapping[str, Nested],
    is_gone: Callable[[Any], bool] = lambda row: False,
) -> None:
    """Completes the nested lists of a page's rows.

    A row whose list answers 404 is left out if ``is_gone`` says so: it was deleted meanwhile.
    """
    for child in reader.listing.table.children:
        name = child.path.partition(".")[0]
        longer = [row for row in page.rows if name in nested and _has_more(row, name)]
        if not longer:
            continue
        elements = _elements(child)
        for row in longer:
            held = getattr(row, name)
            params = {key: value.format(id=row.id) for key, value in nested[name].params.items()}
            request = Request(nested[name].path.format(id=row.id), {"limit": PER_PAGE, **params})
            requests = [request.having(starting_after=held.data[-1].id)]
            while requests:
                request = requests.pop()
                try:
                    response = reader.respond(scope, request)
                except ApiError as error:
                    if error.status != 404 or not is_gone(row):
                        raise
                    page.rows = [other for other in page.rows if other is not row]
                    break
                further = elements.page(response.body)
                held.data.extend(further.rows)
                page.new_fields |= further.new_fields
                requests = Pages().following(request, further, response)


@cache
def _elements(child: Child) -> Decoder:
    return Decoder(child, rows_at="data", told=("has_more",))


def are_whole(row: Any, nested: Mapping[str, Nested]) -> bool:
    """Whether the row came with complete nested lists."""
    return all(getattr(row, name) is not None and not _has_more(row, name) for name in nested)


def _has_more(row: Any, name: str) -> bool:
    held = getattr(row, name)
    return held is not None and bool(held.has_more)


@dataclass(frozen=True)
class WholeList(FullList):
    """Every page at every sync, with the lists that are nested in its rows."""

    cost = "One for each page, and one for each 100 rows of a nested list beyond its first ten."

    nested: Mapping[str, Nested] = field(default_factory=dict)
    expand: tuple[str, ...] = ()
    """Fields that Stripe sends only when asked."""
    hides_clocks: bool = False
    """Whether the list shows objects of a test clock only when filtered by that clock."""

    def start(self, reader: Reader, scope: Scope, cursor: Cursor) -> list[Piece]:
        clocks = sync_of(reader).test_clocks(scope, reader.load) if self.hides_clocks else []
        others = [Piece(scope, request=reader.request(scope, test_clock=clock)) for clock in clocks]
        return super().start(reader, scope, cursor) + others

    def fetch(self, reader: Reader, piece: Piece, cursor: Cursor) -> Step:
        step = super().fetch(reader, piece, cursor)
        for page in step.pages:
            assert isinstance(page, Page)
            without_clocks(reader, page)
            follow(reader, piece.scope, page, self.nested)
        return step
