"""What breaks is repaired by itself: no run stays stuck, and the warehouse equals the sandbox in the end."""

import time
from collections.abc import Callable, Iterator

import pytest

from ingest_tools.dagster_api import ENDED, Run, wait_for
from ingest_tools.engine import docker
from ingest_tools.status import rows_of

from .conftest import Tested
from .test_up import assert_mirrors

pytestmark = pytest.mark.docker

JOB = "github_activity_ingest"


@pytest.fixture
def slow(platform: Tested, request: pytest.FixtureRequest) -> Iterator[Tested]:
    """New things to load, from an API so slow that a run can be caught at it."""
    platform.origin.change(40, seed=len(request.node.name))
    platform.origin.slow_down(700)
    yield platform
    platform.origin.slow_down(0)


def at_work(platform: Tested) -> Run:
    """A run of the job whose container asks the API."""
    platform.origin.ask("DELETE", "requests")
    run_id = platform.platform.launch("github", JOB)
    wait_for(lambda: platform.origin.ask("GET", "requests")["total"].get("github", 0) > 1, "calls of the run", 60)
    return platform.platform.run(run_id)


def all_ended(platform: Tested, job: str = JOB) -> list[Run]:
    """The job's runs when none is under way any more, retries with them."""

    def ended() -> list[Run]:
        runs = platform.platform.runs(20, pipelineName=job)
        waiting = [run for run in runs if run.status == "FAILURE" and run.tags.get("dagster/will_retry") == "true"]
        retried = {run.tags.get("dagster/parent_run_id") for run in runs}
        settled = all(run.status in ENDED for run in runs) and {run.id for run in waiting} <= retried
        return runs if settled else []

    return wait_for(ended, f"the runs of {job} to end", 240)


def assert_repaired(platform: Tested, run: Run) -> None:
    """The run, or its retry, ended well; what is there is right."""
    platform.origin.slow_down(0)
    runs = all_ended(platform)
    retries = [one for one in runs if one.tags.get("dagster/root_run_id") == run.id]
    assert "SUCCESS" in {one.status for one in [platform.platform.run(run.id), *retries]}
    platform.succeed("github", "github_ingest")
    assert_mirrors(platform, "github")


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
    run = at_work(slow)
    fault(slow, run)
    assert_repaired(slow, run)


def test_a_code_server_that_dies_is_started_again(platform: Tested) -> None:
    """A run that is launched meanwhile waits for it, or fails at once and says so; the next one is right."""
    before = platform.platform.locations()["github"].server_id
    docker("exec", "--detach", platform.container("github"), "python", "-c", "import os; os.kill(-1, 9)")
    wait_for(
        lambda: platform.platform.locations()["github"].server_id not in ("", before),
        "the code server to come back",
        60,
    )
    platform.succeed("github", JOB)
    assert_mirrors(platform, "github")


def test_a_location_that_cannot_start_harms_no_other(platform: Tested) -> None:
    recipe = (
        f"FROM {platform.image('stripe')}\nUSER 0\n"
        "RUN echo 'raise RuntimeError(\"broken on purpose\")' >> src/stripe_location/definitions.py\nUSER 10001\n"
    )
    docker("build", "--quiet", "--tag", "ingest-stripe:broken", "-", text=recipe)
    up = ("up", "--detach", "--no-deps", "stripe")
    try:
        platform.compose(*up, STRIPE_TAG="broken")
        wait_for(lambda: bool(platform.platform.locations()["stripe"].error), "stripe to be in error", 60)
        restarts = wait_for(lambda: platform.inspect("stripe")["RestartCount"] > 1, "stripe to crash again", 60)
        assert restarts
        platform.succeed("github", JOB)
        assert platform.inspect("webserver")["State"]["Health"]["Status"] == "healthy"
    finally:
        platform.compose(*up, "--wait")
        docker("image", "rm", "ingest-stripe:broken")
    platform.wait_until_loaded("stripe")
    assert_mirrors(platform, "github")
