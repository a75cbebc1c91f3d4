"""The sandbox as the tests' origin: each test gets a world to change, break and query.

What it holds is the oracle: :mod:`ingest_testing.mirror` compares the warehouse with it. Its routes are described in
``sandbox/README.md``.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
from requests import Response, Session

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / "sandbox" / ".venv" / "bin" / "python"

CONFLICT = 409
TINY = 0.1
"""The size of a world for tests about events rather than amounts of data."""
Json = dict[str, Any]


class Origin:
    """A running sandbox, as the origin of one API."""

    api: str
    """The API's name in the sandbox."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = Session()
        self._session.trust_env = False

    @classmethod
    @contextmanager
    def running(cls, sandboxes: "Sandboxes", size: float, *options: str) -> Iterator[Self]:
        """A fresh world of this size, the same each time; it ends with the block."""
        with sandboxes.running(size, *options) as url:
            yield cls(url)

    def objects(self, collection: str) -> list[Json]:
        """All objects of a collection, with complete nested lists."""
        found: list[Json] = self._ask("GET", f"objects/{self.api}/{collection}")
        return found

    def change(self, kind: str, **what: Any) -> Json:
        """Makes one change, ``<api>.<kind>``; the sandbox picks whatever is not specified."""
        done: Json = self._ask("POST", "changes", {"kind": f"{self.api}.{kind}", **what})
        self.note([done])
        return done

    def change_if_possible(self, kind: str, seed: int) -> None:
        """Makes one change, unless nothing in the world fits it."""
        answer = self._send("POST", "changes", {"kind": f"{self.api}.{kind}", "seed": seed})
        if answer.status_code != CONFLICT:
            self.note([self._said(answer)])

    def change_at_random(self, seed: int, count: int, without: Sequence[str] = ()) -> None:
        """Makes this many random changes, except of the kinds ``without``: the same for the same world and seed."""
        wanted = {"seed": seed, "count": count, "apis": [self.api], "without": [f"{self.api}.{k}" for k in without]}
        self.note(self._ask("POST", "changes/random", wanted))

    def note(self, changes: list[Json]) -> None:
        """Called after each change, to keep what a comparison must know about the past."""

    def advance(self, seconds: int = 2) -> None:
        """Moves the clock forward: what changes in the very second of a sync belongs to the next sync."""
        self._ask("POST", "clock", {"advance_seconds": seconds})

    def now(self) -> int:
        """Seconds since 1970, by the clock of the world."""
        now: int = self._ask("GET", "clock")["now"]
        return now

    def fail(self, *faults: Json, latency_ms: float = 0) -> None:
        """From now on, injects these faults and no others."""
        self._ask("POST", "faults", {"latency_ms": latency_ms, "faults": faults})

    def heal(self) -> None:
        """Stops injecting faults."""
        self._ask("DELETE", "faults")

    def requests(self) -> Json:
        """Counts since `forget_requests`: total, by status, by path, the most in a second, the seconds they took."""
        counts = self._ask("GET", "requests")
        return {
            "total": counts["total"].get(self.api, 0),
            "by_status": counts["by_status"].get(self.api, {}),
            "by_path": counts["by_path"],
            "max_per_second": counts["max_per_second"].get(self.api, 0),
            "seconds": counts["seconds"].get(self.api, 0.0),
        }

    def forget_requests(self) -> None:
        self._ask("DELETE", "requests")

    def get(self, path: str, token: str) -> Response:
        """The answer of the API itself to a request with a bearer token."""
        headers = {"Authorization": f"Bearer {token}"}
        return self._session.get(f"{self.url}/{self.api}{path}", headers=headers, timeout=30)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return self._said(self._send(method, path, body))

    def _send(self, method: str, path: str, body: Any) -> Response:
        return self._session.request(method, f"{self.url}/_sandbox/{path}", json=body, timeout=60)

    @staticmethod
    def _said(answer: Response) -> Any:
        asked = f"{answer.request.method} {answer.request.path_url} {answer.request.body!r}"
        assert answer.ok, f"the sandbox answered {answer.status_code} to {asked}: {answer.text}"
        return msgspec.json.decode(answer.content)  # `requests` takes simplejson, which is slow


class Sandboxes:
    """Worlds that are grown once for each size and then copied, which takes no time."""

    def __init__(self) -> None:
        self._growers: dict[tuple[str, ...], subprocess.Popen[str]] = {}
        self._stack = ExitStack()

    def close(self) -> None:
        """Ends the worlds and all their copies."""
        self._stack.close()

    @contextmanager
    def running(self, size: float, *options: str) -> Iterator[str]:
        """The address of a fresh copy of the world of this size; it ends with the block."""
        grower = self._grower("--size", str(size), *options)
        assert grower.stdin
        grower.stdin.write("\n")
        grower.stdin.flush()
        process = int(_said(grower, "copy: "))
        url = _said(grower, "sandbox ready: ")
        try:
            yield url
        finally:
            with suppress(ProcessLookupError):  # interrupted with everything else
                os.kill(process, signal.SIGTERM)

    def _grower(self, *options: str) -> subprocess.Popen[str]:
        if not PYTHON.exists():
            raise FileNotFoundError(f"{PYTHON} is missing: the tests need the sandbox's environment, run `make setup`")
        if options not in self._growers:
            command: list[str | Path] = [PYTHON, "-m", "ingest_sandbox", "--port", "0", "--copies", *options]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._stack.enter_context(process)  # which closes its input, and waits
            self._growers[options] = process
        return self._growers[options]


def _said(process: subprocess.Popen[str], what: str) -> str:
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith(what), f"the sandbox did not start: {line!r}"
    return line.removeprefix(what).strip()
