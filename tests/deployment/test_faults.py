"""What breaks is repaired by itself: no run stays stuck, and the warehouse equals the sandbox in the end."""

import time
from collections.abc import Callable, Iterator

import pytest

from caught import at_work, runs_from
from ingest_tools.dagster_api import Run
from ingest_tools.engine import docker
from ingest_tools.status import rows_of

from .conftest import Tested

pytestmark = pytest.mark.docker


@pytest.fixture
def slow(platform: Tested, request: pytest.FixtureRequest) -> Iterator[Tested]:
    """New rows to load, from an API so slow that a run can be interrupted at it."""
    platform.origin.change(40, seed=len(request.node.name))
    platform.origin.slow_down(700)
    yield platform
    platform.origin.slow_down(0)


def kill_run(platform: Tested, run: Run) -> None:
    docker("kill", run.container)


def kill_daemon(platform: Tested, run: Run) -> None:
    docker("kill", platform.container("daemon"))
    time.sleep(5)
    platform.compose("up", "--detach", "--no-deps", "--wait", "daemon")


def restart_postgres(platform: Tested, run: Run) -> None:
    platform.compose("restart", "--timeout", "20", "postgres")
    platform.compose("up", "--detach", "--no-deps", "--wait", "postgres")
    # Each storage has connections of its own; none of them fails, not even once.
    assert platform.platform.locations()
    assert platform.platform.runs()
    assert rows_of(platform.platform)


@pytest.mark.parametrize("fault", [kill_run, kill_daemon, restart_postgres])
def test_a_fault_in_the_middle_of_a_run(slow: Tested, fault: Callable[[Tested, Run], None]) -> None:
    """The run, or its retry, succeeds."""
    run = at_work(slow)
    fault(slow, run)
    slow.origin.slow_down(0)
    newest, *_ = runs_from(slow, run)
    assert newest.status == "SUCCESS"


def test_no_fault_has_cost_a_row(platform: Tested) -> None:
    """No later run would have read again what one had lost."""
    platform.succeed("github", "github_ingest")
    platform.assert_mirrors("github")
