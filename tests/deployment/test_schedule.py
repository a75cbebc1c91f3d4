"""Code servers that fail: a schedule launches its run nevertheless, and other locations notice nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from ingest_tools.dagster_api import Run, wait_for
from ingest_tools.engine import docker

from .conftest import Tested

pytestmark = pytest.mark.docker

IMAGE = "ingest-github:ticking"
GROUPS = "src/github_location/defs/groups.py"
SECONDS_TO_DEPLOY = 20
UP = ("up", "--detach", "--no-deps", "--wait", "github")
JOB = "github_activity_ingest"
DUE = ".dagster/scheduled_execution_time"


@pytest.fixture
def tick(platform: Tested) -> Iterator[int]:
    """The minute in which `github_activity_ingest` is due."""
    due, seconds = 0, SECONDS_TO_DEPLOY
    while due < time.time() + 1:  # else the machine is slower than that
        due = (int(time.time()) + seconds) // 60 * 60 + 60
        seconds *= 2
        serve_due_at(platform, due)
    yield due
    platform.compose(*UP)
    docker("image", "rm", "--force", IMAGE)


def serve_due_at(platform: Tested, due: int) -> None:
    """Makes the platform serve a version of github whose job is due in that minute of each hour."""
    sed = f's/"30 \\* \\* \\* \\*"/"{datetime.fromtimestamp(due, UTC).minute} * * * *"/'
    recipe = f"FROM {platform.image('github')}\nUSER 0\nRUN sed -i '{sed}' {GROUPS}\nUSER 10001\n"
    docker("build", "--quiet", "--tag", IMAGE, "-", text=recipe)
    platform.compose(*UP, GITHUB_TAG="ticking")
    platform.wait_until_loaded("github")


def runs_of_ticks(platform: Tested) -> dict[float, list[Run]]:
    """Returns runs by the time at which they were due, which the API does not report."""
    found: dict[float, list[Run]] = {}
    for run_id, due in platform.sql("dagster", f"SELECT run_id, value FROM public.run_tags WHERE key = '{DUE}'"):
        if (run := platform.platform.run(run_id)).job == JOB:
            found.setdefault(datetime.fromisoformat(due).timestamp(), []).append(run)
    return found


@contextmanager
def broken(platform: Tested) -> Iterator[None]:
    """Stripe's code server dies during its imports, again and again."""
    recipe = (
        f"FROM {platform.image('stripe')}\nUSER 0\n"
        "RUN echo 'raise RuntimeError(\"broken on purpose\")' >> src/stripe_location/definitions.py\nUSER 10001\n"
    )
    docker("build", "--quiet", "--tag", "ingest-stripe:broken", "-", text=recipe)
    up = ("up", "--detach", "--no-deps", "stripe")
    try:
        platform.compose(*up, STRIPE_TAG="broken")
        yield
    finally:
        platform.compose(*up, "--wait")
        docker("image", "rm", "ingest-stripe:broken")
    platform.wait_until_loaded("stripe")


def test_code_servers_that_fail_harm_no_schedule_and_no_other_location(platform: Tested, tick: int) -> None:
    """One that is killed when a schedule is due delays the run by a minute: then the scheduler tries again.

    Were the schedule due again by then, that run would take its place: Dagster catches up on partitions only. In this
    minute another location cannot start.
    """
    killed = platform.platform.locations()["github"].server_id
    time.sleep(tick - time.time() - 0.2)
    docker("exec", platform.container("github"), "python", "-c", "import os; os.kill(-1, 9)")
    with broken(platform):
        wait_for(
            lambda: platform.platform.locations()["github"].server_id not in ("", killed),
            "the code server to come back",
            60,
        )
        wait_for(lambda: bool(platform.platform.locations()["stripe"].error), "stripe to be in error", 60)
        wait_for(lambda: platform.inspect("stripe")["RestartCount"] > 1, "stripe to crash again", 60)
        platform.succeed("github", "github_catalog_ingest")
        assert platform.inspect("webserver")["State"]["Health"]["Status"] == "healthy"
        (run,) = wait_for(lambda: runs_of_ticks(platform).get(tick), "the run that was due", 100)
        run = platform.platform.ended(run.id)
    assert (run.status, run.image) == ("SUCCESS", IMAGE)
    assert platform.inspect("github")["RestartCount"] > 0
    platform.succeed("github", "github_ingest")
    platform.assert_mirrors("github")
