"""The requests for the pages of one list, and the decoding of the responses."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from ingest_shared.columnar import Decoder, Page, shown
from ingest_shared.errors import ApiError, NotJson, PayloadError
from ingest_shared.loading import Load
from ingest_shared.reading.api import NO_CONTENT, Response, server_time
from ingest_shared.reading.envelopes import Request
from ingest_shared.reading.listings import Listing, Scope
from ingest_shared.reading.sync import Sync
from ingest_shared.tables import names_of


class Fetcher:
    """Sends the requests of a walk, from any thread, and decodes the pages."""

    load: Load

    def __init__(self, listing: Listing, sync: Sync) -> None:
        self.listing = listing
        self.sync = sync
        self.decoder = Decoder(listing.table, listing.envelope.rows, listing.envelope.beside_rows)
        self.calls: Counter[str] = Counter()
        """Requests by scope, in an audit."""
        self.unreadable: list[tuple[Scope, PayloadError]] = []
        """Rows that were left out, until their scopes are marked as left out."""
        self._leads_on = False
        """Whether the envelope has ever found a next page."""
        self._lock = threading.Lock()

    def request(self, scope: Scope, **params: Any) -> Request:
        """The request for the beginning of a scope's list."""
        listing = self.listing
        asked = Request(listing.path.format(**scope.values), listing.params, listing.body).having(**params)
        return listing.envelope.first(
            replace(
                asked,
                params={name: scope.fill(value, in_query=True) for name, value in asked.params.items()},
                body=asked.body and {name: scope.fill(value) for name, value in asked.body.items()},
            )
        )

    def send(self, scope: Scope, request: Request) -> tuple[Page, Response]:
        """The rows of a page, and its response."""
        return self._checked(scope, request, self.respond(scope, request))

    def send_if_changed(
        self, scope: Scope, request: Request, etag: str | None, *, was_last: bool = True
    ) -> tuple[Page, Response] | None:
        """Like :meth:`send`; None for a page that still has this ETag."""
        if request.body is not None or not etag:
            return self.send(scope, request)
        self._count(scope)
        usage = self.load.usage
        response = self.sync.api.get_if_changed(request.path, request.params, etag=etag, was_last=was_last, usage=usage)
        return self._checked(scope, request, self._timed(response)) if response else None

    def _checked(self, scope: Scope, request: Request, response: Response) -> tuple[Page, Response]:
        """A page and its response; raises if the envelope overlooks a next page.

        A wrong path looks like the end of the list. If the first page is exactly as long as requested, a request for a
        single row shows which it is, since the list is known to have more.
        """
        page = self.page(scope, response)
        at = getattr(self.listing.envelope, "at", None)
        if at is None or self._leads_on:
            return page, response
        self._leads_on = bool(self.next(request, page, response))
        if not self._leads_on and (one := request.having(**dict.fromkeys(request.sizes(len(page.rows)), 1))) != request:
            try:
                response_to_one = self.respond(scope, one)
                first = self.decoder.readable(self.listing.envelope.listed(response_to_one.body), scope.values)
            except (ApiError, PayloadError):  # the API has no pages of one row, so this shows nothing
                return page, response
            self._leads_on = bool(self.next(one, first, response_to_one))
            if len(first.rows) == 1 and not self._leads_on:
                raise PayloadError(
                    f"the list has more rows than the one that was requested, but the response has no next page at "
                    f"{at!r}: check the paths of its envelope"
                )
        return page, response

    def row(self, scope: Scope, body: bytes, **given: Any) -> Page:
        """A page of one row, from a response that is the row itself; an empty page if the row cannot be read."""
        try:
            return self.decoder.row(body, {**scope.values, **given})
        except NotJson:
            raise
        except PayloadError as error:
            with self._lock:
                self.unreadable.append((scope, error))
            return Page([], scope.values)

    def page(self, scope: Scope, response: Response) -> Page:
        """The rows of a response; unreadable ones become a gap."""
        if response.status == NO_CONTENT:
            return Page([], scope.values)
        errors_at = self.listing.envelope.errors or ""
        try:
            page = self.decoder.readable(self.listing.envelope.listed(response.body), scope.values)
        except NotJson:
            raise
        except PayloadError:  # GraphQL sends null instead of the rows
            self._check_errors(_value_at(msgspec.json.decode(response.body), errors_at))
            raise
        self._check_errors(page.told.get(errors_at))
        with self._lock:
            self.unreadable += [(scope, error) for error in page.unreadable]
        return page

    def _check_errors(self, errors: Any) -> None:
        if errors:
            raise PayloadError(f"table {self.listing.table.name}: the response has errors: {shown(errors)}")

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        """The requests for the pages that follow."""
        return self.listing.envelope.following(request, page, response)

    def next(self, request: Request, page: Page, response: Response) -> list[Request]:
        """Only the request for the next page."""
        return self.listing.envelope.next(request, page, response)

    def respond(self, scope: Scope, request: Request) -> Response:
        """The response to a request, for a list that needs a walk of its own."""
        self._count(scope)
        api = self.sync.api
        if request.body is not None:
            response = api.post(request.path, request.body, usage=self.load.usage)
        else:
            usage, headers = self.load.usage, scope.headers or None
            response = api.get(request.path, request.params or None, usage=usage, headers=headers)
        return self._timed(response)

    def _timed(self, response: Response) -> Response:
        """Takes the API's clock from the response, if the source has made no request before."""
        self.sync.now = self.sync.now or server_time(response.headers)
        return response

    def _count(self, scope: Scope) -> None:
        if self.sync.audit:
            with self._lock:
                self.calls[scope.id] += 1


def _value_at(response: Any, path: str) -> Any:
    """The value at a path of a response of any shape; None if there is none."""
    for name in names_of(path):
        response = response.get(name) if isinstance(response, Mapping) else None
    return response
