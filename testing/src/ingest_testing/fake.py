"""A stand-in, written by a location's tests, for an API that the sandbox does not provide: ``testing/README.md``."""

import json
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from ingest_testing.sandbox import Json, Origin, Sandboxes

STARTED = int(time.time())
"""When the tests began, in seconds since 1970, for :meth:`FakeOrigin.grow`: it must make the same world each time."""
FAULTS = ("status", "html", "cut", "truncate", "extra_field", "replace_field")
"""The faults that ``sandbox/README.md`` describes, with ``path``, ``every`` and ``times``."""


@dataclass(frozen=True)
class Asked:
    """A request. ``path`` is relative to the API's address; ``body`` is parsed JSON, or None."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """A response with headers of the API's own, such as ``Link``, to be returned by :meth:`FakeOrigin.answer`."""

    body: Any
    headers: Mapping[str, str]


class Refused(Exception):
    """An error response, to be raised by :meth:`FakeOrigin.answer`."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, dict(headers or {})


class FakeOrigin(Origin):
    """Serves an API from this process. A subclass defines its objects, its responses and its changes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.random = random.Random(1)
        """Makes every random choice, so that the same seed leads to the same world and the same changes."""
        self._lock = threading.RLock()
        self._ahead = 0
        self.heal()
        self.forget_requests()

    def grow(self, size: float) -> None:
        """Creates the initial objects, all of them older than ``STARTED``."""
        raise NotImplementedError

    def answer(self, asked: Asked) -> Any:
        """The JSON of the response, or an :class:`Answer`; raises :class:`Refused`, also for a wrong credential."""
        raise NotImplementedError

    def objects(self, collection: str) -> list[Json]:
        """All objects of a table, as the API shows them: what the warehouse must hold."""
        raise NotImplementedError

    def kinds(self) -> Mapping[str, Callable[..., Json]]:
        """The kinds of change, such as ``{"ticket.update": self.update}``; each returns the object that it changed."""
        raise NotImplementedError

    @classmethod
    @contextmanager
    def running(cls, sandboxes: Sandboxes, size: float, *options: str) -> Iterator[Self]:
        with _Server(("127.0.0.1", 0), _Handler) as server:
            server.origin = origin = cls(f"http://127.0.0.1:{server.server_port}")
            origin.grow(size)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            try:
                yield origin
            finally:
                server.shutdown()

    def change(self, kind: str, **what: Any) -> Json:
        with self._lock:
            return {"kind": kind, "changed": [self.kinds()[kind](**what)]}

    def change_at_random(self, seed: int, count: int, without: Sequence[str] = ()) -> None:
        self.random.seed(seed)
        for kind in self.random.choices([kind for kind in self.kinds() if kind not in without], k=count):
            self.change(kind)

    def advance(self, seconds: int = 2) -> None:
        self._ahead += seconds

    def now(self) -> int:
        return int(time.time()) + self._ahead

    def fail(self, *faults: Json, latency_ms: float = 0) -> None:
        if unknown := {fault["kind"] for fault in faults}.difference(FAULTS):
            raise ValueError(f"{min(unknown)} is not one of FakeOrigin's faults: {', '.join(FAULTS)}")
        self._faults, self._latency = [(fault, Counter[str]()) for fault in faults], latency_ms / 1000

    def heal(self) -> None:
        self.fail()

    def requests(self) -> Json:
        with self._lock:
            counts = {"by_status": dict(self._statuses), "by_path": dict(self._paths)}
            seconds = self._latest[-1] - self._first if self._latest else 0.0
            return {"total": self._paths.total(), **counts, "max_per_second": self._most, "seconds": seconds}

    def forget_requests(self) -> None:
        with self._lock:
            self._paths, self._statuses = Counter[str](), Counter[str]()
            self._latest, self._first, self._most = deque[float](), 0.0, 0

    def respond(self, asked: Asked, address: str) -> tuple[int, dict[str, str], bytes, int]:
        """Status, headers and body of the response, and how many bytes of the body are sent."""
        with self._lock:
            self._count(asked.path)
        time.sleep(self._latency)
        with self._lock:
            try:
                given = self.answer(asked)
                status, told = 200, given if isinstance(given, Answer) else Answer(given, {})
            except Refused as refused:
                status, told = refused.status, Answer(refused.body, refused.headers)
            answer = json.loads(json.dumps(told.body))
            headers = {"Content-Type": "application/json", **told.headers}
            body, sent = json.dumps(answer).encode(), None
            for fault in self._striking(address):
                match fault["kind"]:
                    case "status":
                        status, body = fault["status"], json.dumps({"error": "an error on our side"}).encode()
                        headers |= fault.get("headers", {})
                    case "html":
                        status, headers["Content-Type"], body = 200, "text/html", b"<!doctype html><title>Down</title>"
                    case "truncate":
                        body = body[: len(body) // 2]
                    case "cut":
                        sent = len(body) // 2
                    case "extra_field" | "replace_field" if status == 200:
                        for row in _rows(answer):
                            if fault["kind"] == "extra_field" or fault["field"] in row:
                                row[fault["field"]] = fault["value"]
                        body = json.dumps(answer).encode()
            self._statuses[str(status)] += 1
            return status, headers, body, len(body) if sent is None else sent

    def _count(self, path: str) -> None:
        self._paths[path] += 1
        self._latest.append(time.monotonic())
        self._first = self._first or self._latest[-1]
        while self._latest[0] <= self._latest[-1] - 1:
            self._latest.popleft()
        self._most = max(self._most, len(self._latest))

    def _striking(self, address: str) -> Iterator[Json]:
        for fault, seen in self._faults:
            if re.search(fault.get("path", ""), address):
                seen["all"] += 1
                if seen["all"] % fault.get("every", 1) == 0 and seen["all"] <= fault.get("times", seen["all"]):
                    yield fault


def _rows(answer: Any) -> Iterator[Json]:
    """The objects in the lists of a response, but not those nested in them."""
    if isinstance(answer, list):
        yield from (row for row in answer if isinstance(row, dict))
    elif isinstance(answer, dict):
        for value in answer.values():
            yield from _rows(value)


class _Server(ThreadingHTTPServer):
    origin: FakeOrigin
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: the second one would wait for the receipt of the first

    def do_GET(self) -> None:
        origin, parts = self.server.origin, urlsplit(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, params = parts.path.removeprefix(f"/{origin.api}"), dict(parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(self.command, path, params, dict(self.headers), json.loads(sent) if sent else None)
        status, headers, body, length = origin.respond(asked, self.path)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:length])
        self.close_connection |= length < len(body)

    do_POST = do_GET  # noqa: N815 - the name that the server looks for

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The API's time, which clients take from ``Date``."""
        return super().date_time_string(self.server.origin.now())

    def log_message(self, *_: Any) -> None:
        """Prints nothing: requests are counted instead."""
