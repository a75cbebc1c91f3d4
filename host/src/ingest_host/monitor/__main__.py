"""The service: checks the platform every few seconds, sends alerts, and serves three pages.

GET /metrics    for Prometheus
GET /status     the problems as JSON, for `make status`
GET /healthz    503 if it has not checked the platform lately
"""

import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ingest_host.monitor.alerts import RESOLVED, Alerts
from ingest_host.monitor.guard import Guard
from ingest_host.monitor.metrics import Metrics
from ingest_host.monitor.problems import problems
from ingest_host.monitor.seen import Seen, look

PORT = 9465
EVERY_SECONDS = 10
HOLD_SECONDS = 30
"""How long a problem must last before an alert is sent: a deploy swaps a code server in less time."""
LATE_SECONDS = 60


class Watch:
    """The latest state, its problems, since when each exists, and which of them alerts were sent for."""

    def __init__(self) -> None:
        self.last: Seen | None = None
        self.problems: dict[str, str] = {}
        self.since: dict[str, float] = {}
        self.told: dict[str, str] = {}
        self.alerts = Alerts()

    def turn(self, seen: Seen) -> None:
        """Sends alerts for new problems and for those that are resolved."""
        self.last = seen
        found = self.problems = problems(seen)
        self.since = {key: self.since.get(key, seen.at) for key in found}
        new = {key: line for key, line in found.items() if key not in self.told}
        new = {key: line for key, line in new.items() if seen.at - self.since[key] >= HOLD_SECONDS}
        over = [key for key in self.told if key not in found]
        if new or over:
            self.alerts.add(seen.at, [*new.values(), *(f"{RESOLVED}{self.told[key]}" for key in over)])
        self.told = {key: line for key, line in (self.told | new).items() if key in found}
        self.alerts.send(seen.at)

    def status(self) -> dict[str, Any]:
        """Returns the content of /status; ``problems`` is empty if all is well."""
        if self.last is None or time.time() - self.last.at > LATE_SECONDS:
            return {"problems": ["monitor: it has not checked the platform in the last minute"]}
        return {
            "problems": list(self.problems.values()),
            "untold": len(self.alerts.waiting),
            "services": self.last.services,
        }


class Handler(BaseHTTPRequestHandler):
    timeout = 10
    watch: Watch
    registry: CollectorRegistry

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.registry))
        elif self.path in ("/status", "/healthz"):
            status = self.watch.status()
            late = self.path == "/healthz" and "services" not in status
            self._answer(503 if late else 200, "application/json", json.dumps(status).encode())
        else:
            self._answer(404, "text/plain", b"/metrics, /status or /healthz\n")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def serve(watch: Watch, address: str, port: int) -> ThreadingHTTPServer:
    """Starts the server of the three pages, in threads of its own."""
    registry = CollectorRegistry()
    registry.register(Metrics(lambda: watch.last))
    handler = type("Handler", (Handler,), {"watch": watch, "registry": registry})
    server = ThreadingHTTPServer((address, port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    watch = Watch()
    serve(watch, "0.0.0.0", PORT)  # noqa: S104, published by Compose
    guard = Guard()
    threading.Thread(target=guard.run, daemon=True).start()
    while True:
        seen = look()
        seen.ended = guard.ended_lately()
        watch.turn(seen)
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
