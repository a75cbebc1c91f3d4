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
from .books import EVENTS_KEPT, Books, Row, Table
from .limits import RATE_LIMITED, Limits
from .resources import AT, Resource

PREFIX = "/stripe"

_PAGE = {"limit", "starting_after", "ending_before"}
_CREATED = {"created", "created[gt]", "created[gte]", "created[lt]", "created[lte]"}

_TYPES_AT_MOST = 20

# Lists of what is nested in an object, that are not below its path: the object's collection, the
# parameter that names it, and where it holds them.
_BESIDE = {
    "subscription_items": ("subscriptions", "subscription", "items"),
    "invoice_payments": ("invoices", "invoice", "payments"),
}


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
            "/v1/balance": lambda request: wire.encode(_books(request).balance()),
            "/v1/subscription_items/{id}": self._item,
            "/v1/customers/{id}/payment_methods": self._of_customer,
            **{f"/v1/{path}": self._beside for path in _BESIDE},
            "/v1/{path:path}": self._answer,
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
                status, body = 200, objects.answered(handler(request), self._requests)
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
        account = request.headers.get("stripe-account", objects.ACCOUNT["id"])
        if account == objects.CONNECTED_ACCOUNT and not request.state.live:
            request.state.books = self._world.stripe_connected
        elif account in request.state.books.tables["accounts"].rows:
            request.state.books = Books(events_since=self._world.now())  # it has nothing
        elif account != objects.ACCOUNT["id"]:
            hidden = f"{given[:8]}{'*' * 8}{given[-4:]}"
            raise _Refusal(
                403,
                f"The provided key '{hidden}' does not have access to account '{account}' "
                "(or that account does not exist).",
                code="account_invalid",
            )

    def _limit(self, request: Request) -> None:
        endpoint = f"{request.method} {template(request.url.path)}"
        reason = self._limits and self._limits.exceeded(endpoint, live=request.state.live)
        if reason:
            raise _Refusal(429, RATE_LIMITED, code="rate_limit", rate_limited_reason=reason)

    def _answer(self, request: Request) -> bytes:
        """A list, an object, or a list that is nested in one."""
        path = request.path_params["path"]
        if path in AT:
            return self._list(request, AT[path])
        above, _, last = path.rpartition("/")
        if above in AT:
            return self._retrieve(request, AT[above], last)
        above, _, id = above.rpartition("/")
        if above in AT:
            return self._nested(request, AT[above], id, last)
        return _nothing(request)

    # Lists.

    def _list(self, request: Request, resource: Resource) -> bytes:
        _check_parameters(request, _PAGE | (_CREATED if resource.by_created else set()) | resource.filters)
        table = _books(request).tables[resource.name]
        span = self._filtered(request, resource, table).span(descending=True)
        span = _created(request, span)
        if "starting_after" in request.query_params and _one_second(request):
            # After a row whose second is all of the span, Stripe may show nothing: stripe/sync-engine-fork#378.
            span = span.less_than(())
        if resource.name == "events":
            span = span.at_least((self._world.now() - EVENTS_KEPT,))
        return self._page(request, table, span, resource)

    def _filtered(self, request: Request, resource: Resource, table: Table) -> View[Any]:
        query, books = request.query_params, _books(request)
        wanted = {name: query[name] for name in resource.filters & set(query)}
        types = query.getlist("types[]")
        if len(types) > _TYPES_AT_MOST:
            raise _Refusal(400, f"You may give {_TYPES_AT_MOST} types at most", param="types")
        status = wanted.pop("status", "")
        wanted.pop("types[]", None)

        hides_clocks = "test_clock" in resource.filters and not wanted.keys() & {"test_clock", "customer"}

        def fits(object: Json) -> bool:
            if hides_clocks and object["test_clock"]:
                return False
            if object["id"] in books.unlisted:
                return False
            if status not in ("", "all", object.get("status")):
                return False
            if not (status or "active" in wanted or resource.shows(object)):
                return False
            if types and object["type"] not in types:
                return False
            return all(_field(object, name) == value for name, value in wanted.items())

        return table.view((status, *types, *sorted(wanted.items())), fits)

    def _page(self, request: Request, table: Table, span: Span[Any], resource: Resource) -> bytes:
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
        expanded = _expanded(request, resource, "data.")
        return _list_json([row.body(expanded) for row in rows], has_more, f"/v1/{resource.path}")

    def _nested(self, request: Request, resource: Resource, id: str, name: str) -> bytes:
        _check_parameters(request, _PAGE)
        row = _books(request).tables[resource.name].rows.get(id)
        whole = row and row.object.get(name)
        if not isinstance(whole, dict) or whole.get("object") != "list":
            raise _missing(resource.path, id, resource.kind)
        return _part(request, whole["data"], name, whole["url"])

    def _beside(self, request: Request) -> bytes:
        """A list that is nested in an object which a parameter names."""
        path = request.url.path.rpartition("/")[2]
        resource, param, name = _BESIDE[path]
        _check_parameters(request, _PAGE | {param})
        id = request.query_params.get(param)
        if id is None:
            raise _Refusal(400, f"Missing required param: {param}.", code="parameter_missing", param=param)
        row = _books(request).tables[resource].rows.get(id)
        if row is None:
            raise _missing(resource, id, param)
        return _part(request, row.object[name]["data"], path.removesuffix("s").replace("_", " "), f"/v1/{path}")

    def _of_customer(self, request: Request) -> bytes:
        """The payment methods that are attached to a customer."""
        _check_parameters(request, _PAGE)
        id, books = request.path_params["id"], _books(request)
        if id not in books.tables["customers"].rows:
            raise _missing("customers", id, "customer")
        table = books.tables["payment_methods"]
        span = table.view(("customer", id), lambda row: row["customer"] == id).span(descending=True)
        return self._page(request, table, span, AT["payment_methods"])

    # Single objects.

    def _item(self, request: Request) -> bytes:
        id = request.path_params["id"]
        for subscription in _books(request).objects("subscriptions"):
            for item in subscription["items"]["data"]:
                if item["id"] == id:
                    return wire.encode(item)
        raise _missing("subscription_items", id, "item")

    def _retrieve(self, request: Request, resource: Resource, id: str) -> bytes:
        table = _books(request).tables[resource.name]
        row: Row | None = table.rows.get(id)
        if row is None and id in table.deleted and resource.stub:
            return wire.encode({"id": id, "object": resource.stub, "deleted": True})
        too_old = self._world.now() - EVENTS_KEPT
        if row is None or (resource.name == "events" and row.object["created"] < too_old):
            raise _missing(resource.path, id, "id")
        return row.body(_expanded(request, resource, ""))


def _books(request: Request) -> Books:
    """The objects of the mode that the request's key is of."""
    books: Books = request.state.books
    return books


def _nothing(request: Request) -> bytes:
    path = request.url.path.removeprefix(PREFIX)
    raise _Refusal(404, f"Unrecognized request URL ({request.method}: {path}).")


def _missing(path: str, id: str, param: str, status: int = 404) -> _Refusal:
    name = path.rpartition("/")[2].removesuffix("s").replace("_", " ")
    return _Refusal(status, f"No such {name}: '{id}'", code="resource_missing", param=param)


def _expanded(request: Request, resource: Resource, within: str) -> tuple[str, ...]:
    """The fields that are asked for beyond what is sent anyway; others that can be expanded stay ids."""
    asked = request.query_params.getlist("expand[]")
    return tuple(name for name in resource.expandable if f"{within}{name}" in asked)


def _check_parameters(request: Request, known: set[str]) -> None:
    for name in request.query_params:
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


def _one_second(request: Request) -> bool:
    """Whether the span of time asked for is a single second."""
    first, end = (request.query_params.get(f"created[{edge}]") for edge in ("gte", "lt"))
    return first is not None and end is not None and int(first) + 1 == int(end)


def _cursor(query: Any, name: str, table: Table, resource: Resource) -> tuple[Any, ...]:
    """The place of the row that a cursor names; a row that is gone is no place."""
    row = table.rows.get(query[name])
    if row is None:
        raise _missing(resource.path, query[name], name, status=400)
    return row.key


def _field(object: Json, name: str) -> str | None:
    if name == "subscription":
        details = (object["parent"] or {}).get("subscription_details") or {}
        value = details.get("subscription")
    elif name == "pending":
        value = object["invoice"] is None
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
