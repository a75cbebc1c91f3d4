"""The APIs of the two sources, played over HTTP: their objects are the oracle, and tests change them."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ingest_shared.reading.listings import iso

Json = dict[str, Any]


class World:
    """What the APIs hold, and their clock."""

    def __init__(self) -> None:
        self.now = 1_767_225_600
        self.rows: dict[str, dict[int, Json]] = {
            name: {} for name in ("tickets", "comments", "projects", "tasks", "companies", "notes", "calls")
        }
        self.refused: str | None = None
        """Requests whose path matches are answered with ``refused_with``."""
        self.refused_with = 403
        self.missing_once: set[str] = set()
        """Paths that are answered 404 for once."""
        self.calls = 0
        self.meanwhile: Callable[[str], None] = lambda path: None
        """What happens before a request for a path is answered."""

    def answer(self, method: str, path: str, query: Json, body: Json) -> tuple[int, Json]:
        self.calls += 1
        self.meanwhile(path)
        if self.refused and re.search(self.refused, path):
            return self.refused_with, {"error": "not yours"}
        if path in self.missing_once:
            self.missing_once.remove(path)
            return 404, {"error": f"no {path}"}
        match path.strip("/").split("/"):
            case ["tickets", "search"] if method == "POST":
                since = body.get("updated_since", "")
                found = [row for row in self.rows["tickets"].values() if row["meta"]["updated_at"] >= since]
                found.sort(key=lambda row: (row["meta"]["updated_at"], row["id"]))
                return 200, _by_cursor(found, body)
            case ["tickets", id_, "comments"] if int(id_) in self.rows["tickets"]:
                return 200, _by_cursor(self._of("comments", int(id_)), query)
            case ["projects"]:
                return 200, _by_offset(list(self.rows["projects"].values()), query)
            case ["companies"]:
                archived = query["archived"] == "true"
                found = [row for row in self.rows["companies"].values() if row["archived"] is archived]
                return 200, {"list": found[: int(query["count"])], "pages": 1}
            case ["notes", "search"] if method == "POST" and len(body["company_ids"]) <= 3:
                return 200, {"list": [n for n in self.rows["notes"].values() if n["company"] in body["company_ids"]]}
            case ["calls"] if len(query["company_ids"].split(",")) <= 3:
                wanted = query["company_ids"].split(",")
                return 200, {"list": [c for c in self.rows["calls"].values() if str(c["company"]) in wanted]}
            case ["projects", id_, "tasks"]:
                return 200, _by_offset(self._of("tasks", int(id_)), query)
        return 404, {"error": f"no {path}"}

    def _of(self, table: str, owner: int) -> list[Json]:
        return [
            {k: v for k, v in row.items() if k != "owner"} for row in self.rows[table].values() if row["owner"] == owner
        ]

    def touch(self, ticket: int, **values: Any) -> None:
        """Makes or changes a ticket, now."""
        self.now += 1
        new = {"id": ticket, "subject": f"ticket {ticket}", "requester": {"id": ticket % 7}, "tags": ["new"]}
        row = self.rows["tickets"].get(ticket, new)
        self.rows["tickets"][ticket] = {**row, **values, "meta": {"updated_at": iso(self.now)}}


def _by_cursor(rows: list[Json], asked: Json) -> Json:
    start, size = int(asked.get("after", 0)), int(asked["limit"])
    shown: Json = {"results": rows[start : start + size], "total": len(rows)}
    if start + size < len(rows):
        shown["paging"] = {"next": {"after": str(start + size)}}
    return shown


def _by_offset(rows: list[Json], asked: Json) -> Json:
    start, size = int(asked["offset"]), min(int(asked["limit"]), 7)  # less than it is asked for
    return {"data": {"items": rows[start : start + size], "total": len(rows)}}


@contextmanager
def served(world: World) -> Iterator[str]:
    """The address of the APIs, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self, method: str) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, answer = world.answer(method, parts.path, query, json.loads(body or b"{}"))
            sent = json.dumps(answer).encode()
            self.send_response_only(status)
            self.send_header("Date", formatdate(world.now + 1, usegmt=True))
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def do_GET(self) -> None:
            self.handle_one("GET")

        def do_POST(self) -> None:
            self.handle_one("POST")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
