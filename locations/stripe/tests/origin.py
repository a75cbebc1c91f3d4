"""The sandbox as the origin of the tests: a process of its own that is changed, broken and asked.

What it holds is the oracle: `assert_mirrors` (`tests/mirror.py`) compares the warehouse with it.
Its routes stand in ``sandbox/README.md``.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / "sandbox" / ".venv" / "bin" / "python"
KEY = "sk_test_sandbox"
API = "stripe"

Json = dict[str, Any]


class Origin:
    """A running sandbox."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def objects(self, collection: str, api: str = API) -> list[Json]:
        """All objects of a collection, with their nested lists whole; `stripe_live` is the live mode."""
        found: list[Json] = self._ask("GET", f"objects/{api}/{collection}")
        return found

    def deleted(self, collection: str) -> dict[str, int]:
        """When each object was deleted that is gone since the world began, by id."""
        return {gone["id"]: gone["deleted_at"] for gone in self._ask("GET", f"objects/{API}/{collection}/deleted")}

    def change(self, kind: str, **what: Any) -> Json:
        """Makes one change, ``stripe.<kind>``; what is not named the sandbox picks."""
        done: Json = self._ask("POST", "changes", {"kind": f"{API}.{kind}", **what})
        return done

    def kinds(self) -> set[str]:
        """What can happen: ``stripe.coupon.create`` and others."""
        return set(self._ask("GET", "kinds"))

    def change_at_random(self, seed: int, count: int) -> list[Json]:
        done: list[Json] = self._ask("POST", "changes/random", {"seed": seed, "count": count, "apis": [API]})
        return done

    def advance(self, seconds: int = 2) -> None:
        """Sets the clock on: what changes in the very second of a sync belongs to the next one."""
        self._ask("POST", "clock", {"advance_seconds": seconds})

    def now(self) -> int:
        now: int = self._ask("GET", "clock")["now"]
        return now

    def fail(self, *faults: Json, latency_ms: float = 0) -> None:
        """Lets these faults strike, and no others, from now on."""
        self._ask("POST", "faults", {"latency_ms": latency_ms, "faults": faults})

    def heal(self) -> None:
        self._ask("DELETE", "faults")

    def requests(self) -> Json:
        """Counts since `forget_requests`, in all, by status and path, and the most within a second."""
        counts = self._ask("GET", "requests")
        return {
            "total": counts["total"].get(API, 0),
            "by_status": counts["by_status"].get(API, {}),
            "by_path": counts["by_path"],
            "max_per_second": counts["max_per_second"].get(API, 0),
        }

    def forget_requests(self) -> None:
        self._ask("DELETE", "requests")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._session.request(method, f"{self.url}/_sandbox/{path}", json=body, timeout=60)
        assert answer.ok, f"the sandbox answered {answer.status_code} to {path} {body}: {answer.text}"
        return answer.json()


@contextmanager
def running(size: float, *options: str) -> Iterator[Origin]:
    """A sandbox of its own, of so many times 1,500 invoices; it ends with the block."""
    if not PYTHON.exists():
        raise FileNotFoundError(f"{PYTHON} is missing: the tests need the sandbox's environment, run `make setup`")
    process = subprocess.Popen(
        [PYTHON, "-m", "ingest_sandbox", "--port", "0", "--size", str(size), *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("sandbox ready: "), f"the sandbox did not start: {line!r}"
        origin = Origin(line.removeprefix("sandbox ready: ").strip())
        origin.advance()  # no seeded row lies in the second of the first sync
        yield origin
    finally:
        process.terminate()
        process.wait()
