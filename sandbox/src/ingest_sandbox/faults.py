"""Faults on demand: what a client must survive, in the way of every request to an API.

A fault is one of (as JSON, see `ingest_sandbox.control` for the routes)::

    {"kind": "status", "status": 429, "retry_after": 1}      an error of the API's own shape
    {"kind": "cut"}                                          the connection ends in mid-body
    {"kind": "truncate"}                                     a whole answer of half a JSON text
    {"kind": "html"}                                         200 with a page of HTML
    {"kind": "extra_field", "field": "x_new", "value": 1}    a field more in each object
    {"kind": "replace_field", "field": "number", "value": "abc"}   another value in each object

Each takes ``path``, a regular expression searched in path and query, and either ``every`` (the
n-th, 2n-th, ... matching request) or ``times`` (the first n matching requests); without both it
strikes every matching request. The first fault that strikes wins, except that fields change in
addition.
"""

import asyncio
import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import wire
from .paths import template
from .world import APIS

# Paths are of the clients' making, and so without end.
_PATHS_COUNTED = 100
_OTHER_PATHS = "other"

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


class Status(_Fault, tag="status"):
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    retry_after: float | None = None


class Cut(_Fault, tag="cut"):
    pass


class Truncate(_Fault, tag="truncate"):
    pass


class Html(_Fault, tag="html"):
    pass


class ExtraField(_Fault, tag="extra_field"):
    field: str
    value: Any = None


class ReplaceField(_Fault, tag="replace_field"):
    field: str
    value: Any = None


Fault = Status | Cut | Truncate | Html | ExtraField | ReplaceField


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """What goes wrong now."""

    latency_ms: Annotated[float, msgspec.Meta(ge=0)] = 0
    faults: list[Fault] = []


class Requests(msgspec.Struct):
    """What was asked of the APIs since the last reset."""

    total: dict[str, int] = {}
    by_status: dict[str, dict[str, int]] = {}
    by_path: dict[str, int] = {}
    """By `ingest_sandbox.paths.template`, up to 100 of them; the rest together as `other`."""
    max_concurrent: dict[str, int] = {}

    def count_path(self, path: str) -> None:
        name = template(path)
        if name not in self.by_path and len(self.by_path) >= _PATHS_COUNTED:
            name = _OTHER_PATHS
        self.by_path[name] = self.by_path.get(name, 0) + 1


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
        requests.total[api] = requests.total.get(api, 0) + 1
        requests.count_path(scope["path"])
        running[api] = running.get(api, 0) + 1
        requests.max_concurrent[api] = max(requests.max_concurrent.get(api, 0), running[api])

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                counts = requests.by_status.setdefault(api, {})
                status = str(message["status"])
                counts[status] = counts.get(status, 0) + 1
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
        harm = next((one for one in struck if not isinstance(one, ExtraField | ReplaceField)), None)
        if isinstance(harm, Status):
            await _respond(send, *_error(api, harm))
            return
        if isinstance(harm, Html):
            page = b"<!doctype html><title>Unicorn!</title><p>We'll be right back.</p>"
            await _respond(send, 200, [(b"content-type", b"text/html; charset=utf-8")], page)
            return
        status, headers, body = await self._collect(scope, receive)
        if status == 200:
            for one in struck:
                if isinstance(one, ExtraField | ReplaceField):
                    body = _with_field(body, one)
        if isinstance(harm, Truncate):
            body = body[: len(body) // 2]
        if isinstance(harm, Cut):
            # The length that was promised never comes, so the server closes the connection.
            await _start(send, status, headers, len(body))
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            return
        await _respond(send, status, headers, body)

    async def _collect(self, scope: Scope, receive: Receive) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
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


def _with_field(body: bytes, fault: ExtraField | ReplaceField) -> bytes:
    """Set a field in each object of an answer: the rows of a list, or the one object."""
    answer = wire.decode(body)
    rows = answer
    if isinstance(answer, dict):
        # A subscription's items are an object.
        items = answer.get("items")
        rows = answer["data"] if answer.get("object") == "list" else items if isinstance(items, list) else [answer]
    for row in rows:
        if isinstance(fault, ExtraField) or fault.field in row:
            row[fault.field] = fault.value
    return wire.encode(answer)


def _error(api: str, fault: Status) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    headers = [(b"content-type", b"application/json")]
    if fault.retry_after is not None:
        headers.append((b"retry-after", f"{fault.retry_after:g}".encode()))
    if api == "stripe":
        error = {"type": "api_error", "message": "An error on our side."}
        if fault.status == 429:
            error = {
                "type": "invalid_request_error",
                "code": "rate_limit",
                "message": "Request rate limit exceeded.",
            }
        elif fault.status == 403:
            error = {
                "type": "invalid_request_error",
                "code": "more_permissions_required",
                "message": "The provided key does not have the required permissions.",
            }
        return fault.status, headers, wire.encode({"error": error})
    if api == "example":
        return fault.status, headers, wire.encode({"error": "an error on our side"})
    message = "Server Error"
    if fault.status == 429 or (fault.status == 403 and fault.retry_after is not None):
        message = "You have exceeded a secondary rate limit. Please wait a few minutes."
    elif fault.status == 403:
        message = "Resource not accessible by personal access token"
    body = {"message": message, "documentation_url": "https://docs.github.com/rest"}
    return fault.status, headers, wire.encode(body)


async def _start(send: Send, status: int, headers: list[tuple[bytes, bytes]], length: int) -> None:
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    kept.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": kept})


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await _start(send, status, headers, len(body))
    await send({"type": "http.response.body", "body": body})
