"""Stripe's REST routes, under ``/stripe``.

What a client must get right here, it must get right there: cursors by id, nested lists that show
ten rows, canceled subscriptions that hide, deleted customers that leave a stub, events that
vanish after 30 days.

See https://docs.stripe.com/api.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import wire
from ..ordered import Span, View
from ..paths import template
from ..wire import Json
from ..world import World
from . import objects
from .books import EVENTS_KEPT, RESOURCES, Books, Table
from .limits import RATE_LIMITED, Limits

PREFIX = "/stripe"

_PAGE = {"limit", "starting_after", "ending_before"}
_CREATED = {"created", "created[gt]", "created[gte]", "created[lt]", "created[lte]"}

# Fields by which a list may be filtered; every other parameter is refused, as Stripe does.
_FILTERS = {
    "customers": {"email"},
    "products": {"active"},
    "prices": {"active", "currency", "product", "type"},
    "subscriptions": {"customer", "status", "collection_method"},
    "invoices": {"customer", "status", "subscription", "collection_method"},
    "charges": {"customer", "payment_intent"},
    "refunds": {"charge", "payment_intent"},
    "balance_transactions": {"type", "currency", "source"},
    "events": {"type", "types[]"},
}
_TYPES_AT_MOST = 20

# What a deleted object answers to: a stub, or (an invoice that was a draft) nothing at all.
_STUBS = {"customers": "customer", "products": "product"}


class _Refusal(Exception):
    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {f"Stripe-{name.title().replace('_', '-')}": value for name, value in headers.items()}
        error: Json = {"message": message, "type": "invalid_request_error"}
        if code is not None:
            error["code"] = code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            error["param"] = param
        self.body = wire.encode({"error": error})


class StripeApi:
    """The routes over a world, for a secret key of each mode, with Stripe's limits or without any.

    A key leads to the objects of its own mode, https://docs.stripe.com/keys#test-live-modes.
    """

    def __init__(self, world: World, *, key: str, live_key: str, limits: Limits | None = None) -> None:
        self._world = world
        self._modes = {key: False, live_key: True}
        self._limits = limits
        self._requests = 0

    def routes(self) -> list[BaseRoute]:
        handlers: dict[str, Callable[[Request], bytes]] = {
            "/v1/account": lambda _: wire.encode(objects.ACCOUNT),
            "/v1/subscription_items": self._items,
            "/v1/subscription_items/{id}": self._item,
            "/v1/invoices/{id}/lines": self._lines,
            "/v1/{resource}": self._list,
            "/v1/{resource}/{id}": self._retrieve,
            "/{path:path}": _nothing,
        }
        return [Route(path, self._endpoint(handler)) for path, handler in handlers.items()]

    def _endpoint(self, handler: Callable[[Request], bytes]) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            self._requests += 1
            more: dict[str, str] = {}
            try:
                self._authenticate(request)
                self._limit(request)
                status, body = 200, handler(request)
            except _Refusal as refusal:
                status, body, more = refusal.status, refusal.body, refusal.headers
            version = request.headers.get("stripe-version", objects.API_VERSION)
            headers = more | {
                "Request-Id": f"req_{self._requests:014x}",
                "Stripe-Version": version,
            }
            return Response(body, status_code=status, media_type="application/json", headers=headers)

        return endpoint

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                given = b64decode(given).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        if not given:
            raise _Refusal(401, "You did not provide an API key.")
        if given not in self._modes:
            hidden = f"{given[:8]}{'*' * 8}{given[-4:]}"
            raise _Refusal(401, f"Invalid API Key provided: {hidden}")
        request.state.live = self._modes[given]
        request.state.books = self._world.stripe_live if request.state.live else self._world.stripe

    def _limit(self, request: Request) -> None:
        endpoint = f"{request.method} {template(request.url.path)}"
        reason = self._limits and self._limits.exceeded(endpoint, live=request.state.live)
        if reason:
            raise _Refusal(429, RATE_LIMITED, code="rate_limit", rate_limited_reason=reason)

    # Lists.

    def _list(self, request: Request) -> bytes:
        resource = request.path_params["resource"]
        if resource not in RESOURCES:
            return _nothing(request)
        _check_parameters(request, _PAGE | _CREATED | _FILTERS[resource])
        table = _books(request).tables[resource]
        span = self._filtered(request, resource, table).span(descending=True)
        span = _created(request, span)
        if resource == "events":
            span = span.at_least((self._world.now() - EVENTS_KEPT,))
        return self._page(request, table, span, resource)

    def _filtered(self, request: Request, resource: str, table: Table) -> View[Any]:
        query = request.query_params
        wanted = {name: query[name] for name in _FILTERS[resource] & set(query)}
        types = query.getlist("types[]")
        if len(types) > _TYPES_AT_MOST:
            raise _Refusal(400, f"You may give {_TYPES_AT_MOST} types at most", param="types")
        # Canceled subscriptions are hidden unless they are asked for.
        hidden = "not canceled" if resource == "subscriptions" else "all"
        status = wanted.pop("status", hidden)
        wanted.pop("types[]", None)

        def fits(object: Json) -> bool:
            if status == "not canceled" and object["status"] == "canceled":
                return False
            if status not in ("all", "not canceled") and object["status"] != status:
                return False
            if types and object["type"] not in types:
                return False
            return all(_field(object, name) == value for name, value in wanted.items())

        return table.view((status, *types, *sorted(wanted.items())), fits)

    def _page(self, request: Request, table: Table, span: Span[Any], resource: str) -> bytes:
        limit = _limit(request)
        query = request.query_params
        if "ending_before" in query:
            stop = span.position_of(_cursor(query, "ending_before", table, resource))
            offset = max(0, stop - limit)
            rows, has_more = span.read(offset, stop - offset), offset > 0
        else:
            offset = 0
            if "starting_after" in query:
                offset = span.position_past(_cursor(query, "starting_after", table, resource))
            rows, has_more = span.read(offset, limit), offset + limit < len(span)
        return _list_json([row.rendered().body for row in rows], has_more, f"/v1/{resource}")

    def _lines(self, request: Request) -> bytes:
        _check_parameters(request, _PAGE)
        id = request.path_params["id"]
        row = _books(request).tables["invoices"].rows.get(id)
        if row is None:
            raise _missing("invoices", id, "invoice")
        whole = row.object["lines"]
        return _part(request, whole["data"], "line item", whole["url"])

    def _items(self, request: Request) -> bytes:
        _check_parameters(request, _PAGE | {"subscription"})
        id = request.query_params.get("subscription")
        if id is None:
            raise _Refusal(
                400,
                "Missing required param: subscription.",
                code="parameter_missing",
                param="subscription",
            )
        row = _books(request).tables["subscriptions"].rows.get(id)
        if row is None:
            raise _missing("subscriptions", id, "subscription")
        data = row.object["items"]["data"]
        return _part(request, data, "subscription item", "/v1/subscription_items")

    # Single objects.

    def _item(self, request: Request) -> bytes:
        id = request.path_params["id"]
        for subscription in _books(request).objects("subscriptions"):
            for item in subscription["items"]["data"]:
                if item["id"] == id:
                    return wire.encode(item)
        raise _missing("subscription_items", id, "item")

    def _retrieve(self, request: Request) -> bytes:
        resource, id = request.path_params["resource"], request.path_params["id"]
        if resource not in RESOURCES:
            return _nothing(request)
        table = _books(request).tables[resource]
        row = table.rows.get(id)
        if row is None and id in table.deleted and resource in _STUBS:
            return wire.encode({"id": id, "object": _STUBS[resource], "deleted": True})
        too_old = self._world.now() - EVENTS_KEPT
        if row is None or (resource == "events" and row.object["created"] < too_old):
            raise _missing(resource, id, "id")
        return row.rendered().body


def _books(request: Request) -> Books:
    """The objects of the mode that the request's key is of."""
    books: Books = request.state.books
    return books


def _nothing(request: Request) -> bytes:
    path = request.url.path.removeprefix(PREFIX)
    raise _Refusal(404, f"Unrecognized request URL ({request.method}: {path}).")


def _missing(resource: str, id: str, param: str, status: int = 404) -> _Refusal:
    name = resource.removesuffix("s").replace("_", " ")
    return _Refusal(status, f"No such {name}: '{id}'", code="resource_missing", param=param)


def _check_parameters(request: Request, known: set[str]) -> None:
    for name in request.query_params:
        # Expansions are taken and ignored.
        if name not in known and not name.startswith("expand"):
            raise _Refusal(
                400,
                f"Received unknown parameter: {name}",
                code="parameter_unknown",
                param=name,
            )


def _whole_number(text: str, param: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Refusal(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=param) from None


def _limit(request: Request) -> int:
    limit = _whole_number(request.query_params.get("limit", "10"), "limit")
    if not 1 <= limit <= 100:
        raise _Refusal(400, "This value must be between 1 and 100.", param="limit")
    return limit


def _created(request: Request, span: Span[Any]) -> Span[Any]:
    """Only what was created in the seconds asked for."""
    for name in _CREATED & set(request.query_params):
        second = _whole_number(request.query_params[name], name)
        if name in ("created", "created[gte]"):
            span = span.at_least((second,))
        if name in ("created", "created[lte]"):
            span = span.less_than((second + 1,))
        if name == "created[gt]":
            span = span.at_least((second + 1,))
        if name == "created[lt]":
            span = span.less_than((second,))
    return span


def _cursor(query: Any, name: str, table: Table, resource: str) -> tuple[Any, ...]:
    """The place of the row that a cursor names; a row that is gone is no place."""
    row = table.rows.get(query[name])
    if row is None:
        raise _missing(resource, query[name], name, status=400)
    return row.key


def _field(object: Json, name: str) -> str | None:
    if name == "subscription":
        details = (object["parent"] or {}).get("subscription_details") or {}
        value = details.get("subscription")
    else:
        value = object[name]
    return str(value).lower() if isinstance(value, bool) else value


def _part(request: Request, data: list[Json], name: str, url: str) -> bytes:
    """A page of a nested list, in the order in which the object shows it."""
    limit, query = _limit(request), request.query_params
    places = {row["id"]: place for place, row in enumerate(data)}
    for cursor in ("starting_after", "ending_before"):
        if cursor in query and query[cursor] not in places:
            raise _missing(name, query[cursor], cursor, status=400)
    if "ending_before" in query:
        stop = places[query["ending_before"]]
        start = max(0, stop - limit)
        has_more = start > 0
    else:
        start = places[query["starting_after"]] + 1 if "starting_after" in query else 0
        stop = start + limit
        has_more = stop < len(data)
    return _list_json([wire.encode(row) for row in data[start:stop]], has_more, url)


def _list_json(bodies: list[bytes], has_more: bool, url: str) -> bytes:
    return (
        b'{"object":"list","data":'
        + wire.array(bodies)
        + b',"has_more":%s,"url":%s}' % (b"true" if has_more else b"false", wire.encode(url))
    )
