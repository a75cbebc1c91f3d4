"""Faults on demand: what a client must survive, injected into requests to an API.

A fault is one of (as JSON, see `ingest_sandbox.control` for the routes)::

    {"kind": "status", "status": 429, "retry_after": 1}      an error of the API's own shape
    {"kind": "html"}                                         200 with a page of HTML
    {"kind": "empty_list"}                                   200 with a list of no rows
    {"kind": "cut"}                                          the connection ends in the middle of the body
    {"kind": "truncate"}                                     a complete response with half a JSON text
    {"kind": "extra_field", "field": "x_new", "value": 1}    an additional field in each object
    {"kind": "replace_field", "field": "number", "value": "abc"}   another value in each object
    {"kind": "reverse"}                                      the rows of a page in reverse
    {"kind": "rewrite_links", "host": "elsewhere.example"}   Link's `next` leads to another host

``status`` may define the whole response: ``{"kind": "status", "status": 502, "body": "<h1>",
"content_type": "text/html", "headers": {"X-RateLimit-Remaining": "0"}}``.

Each takes ``path``, a regular expression searched for in path and query, and either ``every`` (the
n-th, 2n-th, ... matching request) or ``times`` (the first n matching requests). With neither, it
strikes every matching request. The first fault that strikes wins, except that those which alter
a response, the last four, do so in addition.
"""

import asyncio
import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import wire
from .stripe.limits import RATE_LIMITED
from .stripe.objects import ACCOUNT
from .traffic import Requests
from .world import APIS

Headers = list[tuple[bytes, bytes]]
Answered = tuple[int, Headers, bytes]

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class _Fault(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    path: str = ""
    every: _AtLeastOne | None = None
    times: _AtLeastOne | None = None
    matched: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path: {error}") from None

    def strikes(self, path: str) -> bool:
        """Count this request, and say whether it is hit."""
        if not re.search(self.path, path):
            return False
        self.matched += 1
        hit = (self.every is None or self.matched % self.every == 0) and (
            self.times is None or self.matched <= self.times
        )
        self.struck += hit
        return hit


class _Answer(_Fault):
    """A fault that answers in place of the API."""

    def answer(self, api: str, path: str) -> Answered:
        raise NotImplementedError


class Status(_Answer, tag="status"):
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    retry_after: float | None = None
    body: str | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = {}

    def answer(self, api: str, path: str) -> Answered:
        named = {"content-type": self.content_type} | self.headers
        if self.retry_after is not None:
            named["retry-after"] = f"{self.retry_after:g}"
        headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        body = wire.encode(_error(api, path, self)) if self.body is None else self.body.encode()
        return self.status, headers, body


class Html(_Answer, tag="html"):
    def answer(self, api: str, path: str) -> Answered:
        page = b"<!doctype html><title>Unicorn!</title><p>We'll be right back.</p>"
        return 200, [(b"content-type", b"text/html; charset=utf-8")], page


class EmptyList(_Answer, tag="empty_list"):
    def answer(self, api: str, path: str) -> Answered:
        empty: Any = []
        if api == "stripe":
            empty = {"object": "list", "data": [], "has_more": False, "url": path.removeprefix("/stripe")}
        elif api == "example":
            empty = {"items": [], "page": 1, "has_more": False}
        return 200, [(b"content-type", b"application/json")], wire.encode(empty)


class Cut(_Fault, tag="cut"):
    pass


class Truncate(_Fault, tag="truncate"):
    pass


class _Alteration(_Fault):
    """A fault that lets the API answer, and alters what it says."""

    def alter(self, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        raise NotImplementedError


class ExtraField(_Alteration, tag="extra_field"):
    field: str
    value: Any = None

    def alter(self, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        answer = wire.decode(body)
        for row in _rows(answer):
            row[self.field] = self.value
        return headers, wire.encode(answer)


class ReplaceField(_Alteration, tag="replace_field"):
    field: str
    value: Any = None

    def alter(self, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        answer = wire.decode(body)
        for row in _rows(answer):
            if self.field in row:
                row[self.field] = self.value
        return headers, wire.encode(answer)


class Reverse(_Alteration, tag="reverse"):
    def alter(self, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        answer = wire.decode(body)
        _rows(answer).reverse()
        return headers, wire.encode(answer)


class RewriteLinks(_Alteration, tag="rewrite_links"):
    host: str

    def alter(self, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        elsewhere = f"<http://{self.host}/".encode()
        return [
            (name, re.sub(rb'<https?://[^/]+/(?=[^>]*>; rel="next")', elsewhere, value) if name == b"link" else value)
            for name, value in headers
        ], body


Fault = Status | Html | EmptyList | Cut | Truncate | ExtraField | ReplaceField | Reverse | RewriteLinks


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """What goes wrong now."""

    latency_ms: Annotated[float, msgspec.Meta(ge=0)] = 0
    faults: list[Fault] = []


class Gate:
    """ASGI middleware before the APIs: counts, dates and delays requests, lets faults strike.

    Clients take an API's time from its `Date`, so that is the time of `now`, in epoch seconds;
    the server must not set another. ``/_sandbox`` passes untouched.
    """

    def __init__(self, app: ASGIApp, now: Callable[[], int], *, latency_ms: float = 0) -> None:
        self._app = app
        self._now = now
        self._latency_at_start = latency_ms
        self._running: dict[str, int] = {}
        self.plan = Plan(latency_ms=latency_ms)
        self.requests = Requests()

    def clear(self) -> None:
        """No faults, and the latency of the start."""
        self.plan = Plan(latency_ms=self._latency_at_start)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        api = scope["path"].split("/")[1] if scope["type"] == "http" else ""
        if api not in APIS:
            await self._app(scope, receive, send)
            return
        requests, running = self.requests, self._running
        running[api] = running.get(api, 0) + 1
        requests.begin(api, scope["path"], running[api])

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                requests.end(api, message["status"])
                date = formatdate(self._now(), usegmt=True).encode()
                message["headers"] = [*message["headers"], (b"date", date)]
            await send(message)

        try:
            if self.plan.latency_ms:
                await asyncio.sleep(self.plan.latency_ms / 1_000)
            await self._answer(api, scope, receive, counted)
        finally:
            running[api] -= 1

    async def _answer(self, api: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.plan.faults:
            await self._app(scope, receive, send)
            return
        path = f"{scope['path']}?{scope['query_string'].decode()}"
        struck = [fault for fault in self.plan.faults if fault.strikes(path)]
        harm = next((one for one in struck if not isinstance(one, _Alteration)), None)
        if isinstance(harm, _Answer):
            await _respond(send, *harm.answer(api, scope["path"]))
            return
        status, headers, body = await self._collect(scope, receive)
        if status == 200:
            for one in struck:
                if isinstance(one, _Alteration):
                    headers, body = one.alter(headers, body)
        if isinstance(harm, Truncate):
            body = body[: len(body) // 2]
        if isinstance(harm, Cut):
            # The length that was promised never comes, so the server closes the connection.
            await _start(send, status, headers, len(body))
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            return
        await _respond(send, status, headers, body)

    async def _collect(self, scope: Scope, receive: Receive) -> Answered:
        """The answer of the API, held back."""
        start: Message = {}
        body = bytearray()

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self._app(scope, receive, hold)
        return start["status"], start["headers"], bytes(body)


def _rows(answer: Any) -> list[Any]:
    """The objects of an answer: the rows of a list, or the one object."""
    if isinstance(answer, list):
        return answer
    # A subscription's items are an object.
    rows = answer.get("data") if answer.get("object") == "list" else answer.get("items")
    return rows if isinstance(rows, list) else [answer]


def _error(api: str, path: str, fault: Status) -> Any:
    """An error in the shape of the API."""
    if api == "stripe":
        return {"error": _stripe_error(path, fault.status)}
    if api == "example":
        return {"error": "an error on our side"}
    message = "Server Error"
    if fault.status == 429 or (fault.status == 403 and fault.retry_after is not None):
        message = "You have exceeded a secondary rate limit. Please wait a few minutes."
    elif fault.status == 403:
        message = "Resource not accessible by personal access token"
    return {"message": message, "documentation_url": "https://docs.github.com/rest"}


def _stripe_error(path: str, status: int) -> Any:
    """As Stripe words it; of a restricted key as in https://github.com/stripe/stripe-node/issues/2246."""
    if status == 403:
        resource = path.split("/")[3].removesuffix("s")
        message = (
            "The provided key 'rk_test_********************sandbox' does not have the required permissions for this "
            f"endpoint on account '{ACCOUNT['id']}'. Having the 'rak_{resource}_read' permission would allow this "
            "request to continue."
        )
        return {"message": message, "type": "invalid_request_error"}
    if status == 429:
        return {"code": "rate_limit", "message": RATE_LIMITED, "type": "invalid_request_error"}
    return {"message": "An error on our side.", "type": "api_error"}


async def _start(send: Send, status: int, headers: Headers, length: int) -> None:
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    kept.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": kept})


async def _respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await _start(send, status, headers, len(body))
    await send({"type": "http.response.body", "body": body})
