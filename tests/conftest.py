"""What the repository's own tests share: the tools of this tree, and the markers ``docker`` and ``kubernetes``."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from measured import LINES

# In a copy of the tree, its own come before those that are installed.
sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

ANSWER_SECONDS = 20
"""Time that a Docker engine has to answer."""
NO_ENGINE = "no Docker engine answers"
NO_CLUSTER = "no Kubernetes cluster answers that TEST_KUBECONFIG names"


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


@cache
def cluster_answers() -> bool:
    """Whether the cluster that TEST_KUBECONFIG names answers; no other is ever touched."""
    os.environ["KUBECONFIG"] = os.environ.get("TEST_KUBECONFIG", os.devnull)
    if not os.environ.get("TEST_KUBECONFIG") or not all(map(shutil.which, ("kubectl", "helm"))):
        return False
    command = ["kubectl", "get", "--raw=/readyz", f"--request-timeout={ANSWER_SECONDS}s"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


NEEDED = {
    "docker": (engine_answers, "REQUIRE_DOCKER", NO_ENGINE),
    "kubernetes": (cluster_answers, "REQUIRE_KUBERNETES", NO_CLUSTER),
}
"""By marker: whether it is there, the variable that makes its absence an error, and how that is said."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs an engine or a cluster where none answers; an error with REQUIRE_DOCKER=1."""
    for marker, (answers, required, missing) in NEEDED.items():
        needing = [item for item in items if item.get_closest_marker(marker)]
        if not needing or answers():
            continue
        if os.environ.get(required) == "1":
            raise pytest.UsageError(f"{required}=1, but {missing}, and {len(needing)} tests need one")
        for item in needing:
            item.add_marker(pytest.mark.skip(missing))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Writes what was measured; says loudly, in a line each, what was skipped for want of an engine or a cluster."""
    if LINES:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(LINES))
    for _, required, missing in NEEDED.values():
        skipped = [one for one in terminalreporter.stats.get("skipped", []) if missing in str(one.longrepr)]
        if skipped:
            terminalreporter.write_line(
                f"!!! {missing}: {len(skipped)} tests SKIPPED; {required}=1 makes that an error !!!",
                red=True,
                bold=True,
            )
