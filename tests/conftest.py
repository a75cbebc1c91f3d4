"""What the repository's own tests share: the tools of this tree, and the marker ``docker``."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

# In a copy of the tree, its own come before those that are installed.
sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

ANSWER_SECONDS = 20
"""Time that a Docker engine has to answer."""
NO_ENGINE = "no Docker engine answers"


@cache
def engine_answers() -> bool:
    """Whether a Docker engine answers on this machine."""
    if shutil.which("docker") is None:
        return False
    try:
        command = ["docker", "info"]
        done = subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs a Docker engine where none answers; an error with REQUIRE_DOCKER=1."""
    needing = [item for item in items if item.get_closest_marker("docker")]
    if not needing or engine_answers():
        return
    if os.environ.get("REQUIRE_DOCKER") == "1":
        raise pytest.UsageError(f"REQUIRE_DOCKER=1, but {NO_ENGINE}, and {len(needing)} tests need one")
    for item in needing:
        item.add_marker(pytest.mark.skip(NO_ENGINE))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says loudly, in one line, what was skipped for want of an engine."""
    skipped = [one for one in terminalreporter.stats.get("skipped", []) if NO_ENGINE in str(one.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"!!! {NO_ENGINE}: {len(skipped)} tests SKIPPED; REQUIRE_DOCKER=1 makes that an error !!!",
            red=True,
            bold=True,
        )
