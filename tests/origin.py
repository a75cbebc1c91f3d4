"""The sandbox of the platform under test, and whether the warehouse equals it."""

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from ingest_tools.projects import LOCATIONS

UNTOLD = ["github.issue_type.edit"]
"""Kinds of changes that only an audit finds: issues keep the former name of their type."""
COMPARE = """
import sys
from pathlib import Path
from ingest_testing.mirror import assert_mirrors
from ingest_testing.warehouse import POSTGRES, Warehouse
from tests import origin as kit

name, address, url, since, *renamed = sys.argv[1:]
location = getattr(kit, name.upper())
warehouse = Warehouse(location, location.origin(url), Path("."), **{POSTGRES: address})
warehouse.origin.renamed = set(map(int, renamed))
warehouse.loaded_since = dict.fromkeys(location.groups, int(since))
assert_mirrors(warehouse)
"""


class Origin:
    """Control routes of a running sandbox: `sandbox/README.md`."""

    def __init__(self, url: str, renamed: set[int]) -> None:
        self.url = url
        self.renamed = renamed
        """Repositories that were renamed or transferred, by id."""

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox/{path}", data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def now(self) -> int:
        return int(self.ask("GET", "clock")["now"])

    def change(self, count: int, seed: int = 1) -> None:
        """Lets things happen in the APIs, and time pass."""
        wanted = {"seed": seed, "count": count, "without": UNTOLD}
        for done in self.ask("POST", "changes/random", wanted):
            if done["kind"] in ("github.repository.rename", "github.repository.transfer"):
                self.renamed.update(touched["repository_id"] for touched in done["changed"])
        self.ask("POST", "clock", {"advance_seconds": 5})

    def slow_down(self, latency_ms: float) -> None:
        """Every answer takes so long, until it is called with 0."""
        self.ask("POST", "faults", {"latency_ms": latency_ms, "faults": []})


def assert_equal(location: str, origin: Origin, warehouse: str, loaded_since: int) -> None:
    """Every value of every table is as the sandbox has it; the location's own tests know how to compare."""
    folder = LOCATIONS / location
    command: list[str | Path] = [
        folder / ".venv" / "bin" / "python",
        "-c",
        COMPARE,
        location,
        warehouse,
        origin.url,
        str(loaded_since),
    ]
    command += map(str, origin.renamed)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
