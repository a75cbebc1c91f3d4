"""A schedule launches its run by itself, also when its code server dies just then."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ingest_tools.dagster_api import Run, wait_for
from ingest_tools.engine import docker

from .conftest import Tested
from .test_up import assert_mirrors

pytestmark = pytest.mark.docker

IMAGE = "ingest-github:ticking"
GROUPS = "src/github_location/defs/groups.py"
SECONDS_TO_DEPLOY = 40
JOB = "github_activity_ingest"
DUE = ".dagster/scheduled_execution_time"


@pytest.fixture
def tick(platform: Tested) -> Iterator[int]:
    """The minute in which `github_activity_ingest` is due."""
    due = (int(time.time()) + SECONDS_TO_DEPLOY) // 60 * 60 + 60
    sed = f's/"30 \\* \\* \\* \\*"/"{datetime.fromtimestamp(due, UTC).minute} * * * *"/'
    recipe = f"FROM {platform.image('github')}\nUSER 0\nRUN sed -i '{sed}' {GROUPS}\nUSER 10001\n"
    docker("build", "--quiet", "--tag", IMAGE, "-", text=recipe)
    up = ("up", "--detach", "--no-deps", "--wait", "github")
    platform.compose(*up, GITHUB_TAG="ticking")
    platform.wait_until_loaded("github")
    assert time.time() < due
    yield due
    platform.compose(*up)
    docker("image", "rm", "--force", IMAGE)


def runs_of_ticks(platform: Tested) -> dict[float, list[Run]]:
    """By the time they were due, which the API does not tell."""
    found: dict[float, list[Run]] = {}
    for run_id, due in platform.sql("dagster", f"SELECT run_id, value FROM public.run_tags WHERE key = '{DUE}'"):
        if (run := platform.platform.run(run_id)).job == JOB:
            found.setdefault(datetime.fromisoformat(due).timestamp(), []).append(run)
    return found


def test_a_code_server_killed_at_tick_time_delays_the_run(platform: Tested, tick: int) -> None:
    """By a minute: then the scheduler asks again.

    Were the schedule due again by then, that run would take its place: Dagster catches up on partitions only.
    """
    time.sleep(tick - time.time() - 0.2)
    docker("exec", platform.container("github"), "python", "-c", "import os; os.kill(-1, 9)")
    (run,) = wait_for(lambda: runs_of_ticks(platform).get(tick), "the run that was due", 100)
    run = platform.platform.ended(run.id)
    assert (run.status, run.image) == ("SUCCESS", IMAGE)
    assert platform.inspect("github")["RestartCount"] > 0
    platform.succeed("github", "github_ingest")
    assert_mirrors(platform, "github")
