"""Envelopes: where a response holds its rows, and how it names the next page.

dlt's paginators do the same for pages that are read one after another and parsed in full:
https://dlthub.com/docs/general-usage/http/rest-client#paginators. Envelopes have no state, so that many
lists can be read side by side, and take what they need from the page, which is decoded only once.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import urljoin

import msgspec

from ingest_shared.columnar import Page, getter
from ingest_shared.errors import PayloadError
from ingest_shared.reading.api import Response
from ingest_shared.tables import names_of, path_of

_PAGE_NUMBER = re.compile(r"([?&]page=)(\d+)")


@dataclass(frozen=True)
class Request:
    """A request for a page: a POST if it has a ``body``, otherwise a GET."""

    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    last: int | None = field(default=None, compare=False)
    """The number of the last page, if an earlier page listed all pages up to it, including this one."""

    def __hash__(self) -> int:
        """Hashes everything that distinguishes a page from the others of its list, of which there may be thousands."""
        return hash((self.path, msgspec.json.encode((self.params, self.body), order="sorted")))

    def having(self, **params: Any) -> "Request":
        """The same request with more parameters: in its body if it has one, otherwise in the query.

        In a body, the name may be a path, ``pagination.starting_after``.
        """
        if self.body is None:
            return replace(self, params={**self.params, **params})
        body = dict(self.body)
        for path, value in params.items():
            *parents, name = names_of(path)
            place = body
            for parent in parents:
                place[parent] = place = dict(place.get(parent) or {})
            place[name] = value
        return replace(self, body=body)

    def asked(self, param: str) -> Any:
        """The value of a parameter, named as in :meth:`having`; None if the request does not have it."""
        if self.body is None:
            return self.params.get(param)
        value: Any = self.body
        for name in names_of(param):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def sizes(self, rows: int) -> list[str]:
        """The parameters with this number as their value, if it is more than one: they set the length of a page."""
        given = self.params if self.body is None else dict(_leaves(self.body))
        return [name for name, value in given.items() if rows > 1 and str(value) == str(rows)]


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A response that holds the complete list."""

    rows: str | None = None
    """The path of the list of rows in the response; None if the response is the list."""
    errors: str | None = "errors"
    """The path of errors in a response that may have rows as well, as in GraphQL and batches. Unless the value is
    empty, the response is not read, because the missing rows would be lost. None if such a response is complete."""
    keyed: str | None = None
    """The field that receives each row's key, if the response has an object of rows by key instead of a list."""
    told: ClassVar[Sequence[str]] = ()
    """Paths of the response that :meth:`following` reads."""
    shifts = False
    """Whether a row that disappears moves others to pages that were already read, as with numbered pages."""

    @property
    def beside_rows(self) -> Sequence[str]:
        """Paths of everything that is read from a response besides its rows."""
        return [*self.told, self.errors] if self.errors else self.told

    def listed(self, body: bytes) -> bytes:
        """The JSON of a response, with its rows in a list."""
        if not self.keyed:
            return body
        whole = {"": msgspec.json.decode(body)}
        parents = ["", *names_of(self.rows)] if self.rows else [""]
        name = parents.pop()
        place: Any = whole
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if isinstance(place, dict) and isinstance(rows := place.get(name), dict):
            place[name] = [{**row, self.keyed: key} if isinstance(row, dict) else row for key, row in rows.items()]
        return msgspec.json.encode(whole[""])

    def first(self, request: Request) -> Request:
        """The request for the first page."""
        return request

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        """The requests that are known to follow: all of them if pages are numbered, otherwise the next one."""
        return []

    def next(self, request: Request, page: Page, response: Response) -> list[Request]:
        """Only the request for the next page, for a list that is read down to a certain row."""
        return self.following(request, page, response)


@dataclass(frozen=True, kw_only=True)
class LinkHeader(Envelope):
    """A list with a ``Link`` header to the next page, like GitHub's: https://www.rfc-editor.org/rfc/rfc8288.

    If the first page names the last one by number, the pages between are known at once.
    """

    rows: str | None = None
    shifts: bool = True

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        own = _PAGE_NUMBER.search(request.path)
        number = int(own[2]) if own else 1
        if request.last and number != request.last:
            return []
        address = response.links.get("last", "")
        if not (named := _PAGE_NUMBER.search(address)):
            return self.next(request, page, response)
        last = int(named[2])
        # Also from the page that was the last, if the list has grown: the first page may answer 304 from now on.
        numbers = range(number + 1, last + 1)
        return [Request(_PAGE_NUMBER.sub(rf"\g<1>{number}", address), last=last) for number in numbers]

    def next(self, request: Request, page: Page, response: Response) -> list[Request]:
        return [Request(response.links["next"])] if "next" in response.links else []


@dataclass(frozen=True, kw_only=True)
class HasMore(Envelope):
    """A list that says whether there is more, and continues after the last row's id, like Stripe's."""

    rows: str | None = "data"
    more: str = "has_more"
    after: str = "starting_after"
    key: str = "id"

    @property
    def told(self) -> Sequence[str]:  # type: ignore[override]
        return (self.more,)

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        if not page.told.get(self.more):
            return []
        if not page.rows:
            raise PayloadError(f"a page without rows says {self.more}, but has no row to continue after")
        return [request.having(**{self.after: getter(self.key)(page.rows[-1])})]


@dataclass(frozen=True, kw_only=True)
class CursorIn(Envelope):
    """A list whose response holds a cursor at the path ``at``, which ``param`` sends back.

    The list ends when the cursor is null, empty or missing; with ``more``, when the value at that path is not true;
    with ``last``, when the value at that path is true. An empty page may have a next one. Set ``shifts`` if the cursor
    is an offset in disguise.
    """

    at: str
    rows: str | None
    param: str
    more: str | None = None
    last: str | None = None
    shifts: bool = False

    @property
    def told(self) -> Sequence[str]:  # type: ignore[override]
        return [path for path in (self.at, self.more, self.last) if path]

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        cursor = page.told.get(self.at)
        if not _has_more(page, self.more, self.last, otherwise=cursor):
            return []
        if not cursor:
            raise PayloadError(f"a page says that it is not the last, but has no cursor at {self.at}")
        if cursor == request.asked(self.param):
            if not page.rows:
                return []
            raise PayloadError(f"the page after the cursor {cursor!r} names the same cursor again")
        return [request.having(**{self.param: cursor})]


@dataclass(frozen=True, kw_only=True)
class NextLink(Envelope):
    """A list whose response holds the address of the next page at the path ``at``.

    It ends as with :class:`CursorIn`. Set ``shifts`` to false if that address continues after a row, not at a number.
    """

    at: str
    rows: str | None
    more: str | None = None
    last: str | None = None
    shifts: bool = True

    @property
    def told(self) -> Sequence[str]:  # type: ignore[override]
        return [path for path in (self.at, self.more, self.last) if path]

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        address = page.told.get(self.at)
        if not _has_more(page, self.more, self.last, otherwise=address):
            return []
        if not address:
            raise PayloadError(f"a page says that it is not the last, but has no address at {self.at}")
        if (address := urljoin(response.url, address)) == request.path:
            raise PayloadError(f"the page {address} names itself as the next one")
        return [Request(address)]


@dataclass(frozen=True, kw_only=True)
class PageNumber(Envelope):
    """Numbered pages: as many as the path ``pages`` says, or while the path ``more`` is true, or until one is empty.

    Instead of ``more``, ``last`` may name the path of a field that is true on the last page.
    """

    rows: str | None
    pages: str | None = None
    more: str | None = None
    last: str | None = None
    param: str = "page"
    starts_at: int = 1
    shifts: bool = True

    @property
    def told(self) -> Sequence[str]:  # type: ignore[override]
        return [path for path in (self.pages, self.more, self.last) if path]

    def first(self, request: Request) -> Request:
        return request.having(**{self.param: self.starts_at})

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        if not self.pages:
            return self.next(request, page, response)
        if request.asked(self.param) > self.starts_at:  # the first page named them all
            return []
        numbers = range(self.starts_at + 1, self.starts_at + _count(page, self.pages))
        return [request.having(**{self.param: number}) for number in numbers]

    def next(self, request: Request, page: Page, response: Response) -> list[Request]:
        following = request.asked(self.param) + 1
        if self.pages:
            more = following < self.starts_at + _count(page, self.pages)
        else:
            more = _has_more(page, self.more, self.last, otherwise=page.rows)
        return [request.having(**{self.param: following})] if more else []


@dataclass(frozen=True, kw_only=True)
class Offset(Envelope):
    """Pages by rows to skip: as many as the path ``total`` says, or while ``more`` is true, or until one is empty.

    Instead of ``more``, ``last`` may name the path of a field that is true on the last page. A page may have fewer rows
    than requested. An empty page before the end is an error.
    """

    rows: str | None
    limit: int
    total: str | None = None
    more: str | None = None
    last: str | None = None
    param: str = "offset"
    limit_param: str = "limit"
    shifts: bool = True

    @property
    def told(self) -> Sequence[str]:  # type: ignore[override]
        return [path for path in (self.total, self.more, self.last) if path]

    def first(self, request: Request) -> Request:
        return request.having(**{self.param: 0, self.limit_param: self.limit})

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        if not self.total:
            return self.next(request, page, response)
        start, length = request.asked(self.param), len(page.rows)
        total = _count(page, self.total)
        if start == 0:  # it names them all, by its own length: the API may send fewer rows than requested
            self._check_rows(page, more=total > 0)
            offsets = range(length, total, length) if length else ()
            return [request.having(**{self.param: offset, self.limit_param: length}) for offset in offsets]
        end = start + length
        missing = min(start + request.asked(self.limit_param), total) - end
        self._check_rows(page, more=missing > 0)
        return [request.having(**{self.param: end, self.limit_param: missing})] if missing > 0 else []

    def next(self, request: Request, page: Page, response: Response) -> list[Request]:
        following = request.asked(self.param) + len(page.rows)
        if self.total:
            more = following < _count(page, self.total)
        else:
            more = _has_more(page, self.more, self.last, otherwise=page.rows)
        self._check_rows(page, more=more)
        return [request.having(**{self.param: following})] if more else []

    def _check_rows(self, page: Page, *, more: bool) -> None:
        if more and not page.rows:
            said = self.total or self.more or self.last
            raise PayloadError(f"a page has no rows, although {said} says that there are more")


def _leaves(body: Mapping[str, Any], *parents: str) -> Iterator[tuple[str, Any]]:
    """What is in a body and in the objects in it, each with its path."""
    for name, value in body.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, *parents, name)
        else:
            yield path_of(*parents, name), value


def _has_more(page: Page, more: str | None, last: str | None, *, otherwise: Any) -> bool:
    """Whether a page says that another one follows; ``otherwise`` if it does not say."""
    if last:
        return not page.told.get(last)
    return bool(page.told.get(more) if more else otherwise)


def _count(page: Page, path: str) -> int:
    """The number at a path of the response; raises if a page with rows has none, because the list would seem to end
    there."""
    count = page.told.get(path)
    if count is None and page.rows:
        raise PayloadError(f"the response has nothing at {path!r}, so it does not say how long the list is")
    return int(count or 0)
