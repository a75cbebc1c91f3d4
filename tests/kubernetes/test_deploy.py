"""A location is deployed alone: runs go on, what does not serve is taken back, and a rollback goes back.

It is github, whose images `tests/deployment` leaves alone: both suites may run at the same time, on the same engine.
"""

import time
from collections.abc import Iterator

import pytest

from ingest_tools.cluster import HELM_SECONDS, LocationRelease
from ingest_tools.dagster_api import wait_for
from ingest_tools.local import Refused
from measured import measured
from tree import Copy

from .conftest import Tested

pytestmark = pytest.mark.kubernetes

DEFINITIONS = "locations/github/src/github_location/definitions.py"
ONLY_SERVED = """
import os
if "DAGSTER_CURRENT_IMAGE" in os.environ:
    raise RuntimeError("no server has this variable")
"""


@pytest.fixture
def github(platform: Tested, tree: Copy) -> Iterator[LocationRelease]:
    """The location whose code the test changes."""
    file = tree.root / DEFINITIONS
    before = file.read_text()
    yield platform.location("github")
    file.write_text(before)


def change(tree: Copy, text: str) -> None:
    file = tree.root / DEFINITIONS
    file.write_text(file.read_text() + text)


def pods(platform: Tested) -> dict[str, int]:
    """The pods that no deploy of github concerns, and how often each was started again."""
    told = platform.services()
    return {one["service"]: one["restarts"] for one in told if not one["service"].startswith("github")}


def test_a_deploy_is_noticed_by_nobody_else_and_rolled_back(
    platform: Tested, github: LocationRelease, tree: Copy
) -> None:
    first, others = github.tag, pods(platform)
    platform.ingest("secret", "github", "load.workers", "--on=kubernetes", text="7")
    platform.origin.slow_down(300)
    run_id = platform.platform.launch("github", "github_activity_ingest")
    wait_for(lambda: platform.platform.run(run_id).status == "STARTED", "the run to start", 120)
    change(tree, "\n# A new version.\n")
    started = time.monotonic()
    assert "is active" in github.deploy(tests=False)
    measured(f"a deploy of github: {time.monotonic() - started:.0f} s to LOADED, the image included")
    platform.origin.slow_down(0)
    second = github.tag
    assert second != first
    assert platform.platform.ended(run_id).status == "SUCCESS"
    assert pods(platform) == others
    assert platform.secret("github", "runs", "load--workers") == "7", "what was stored is kept by a deploy"
    platform.in_location("github", "patch", "secret", "runs", '--patch={"data": {"load--workers": null}}')
    said = github.roll_back()
    measured(said)
    assert said.startswith(f"github: {first} is active")
    assert (github.tag, github._serves(first)) == (first, True)
    assert f"{second} is active" in github.roll_back(second)
    with pytest.raises(Refused, match="--to=nonsense is not a version of github that was active"):
        github.roll_back("nonsense")


def test_a_version_that_does_not_serve_is_taken_back_before_helm_gives_it_up(
    platform: Tested, github: LocationRelease, tree: Copy
) -> None:
    active, others = github.tag, pods(platform)
    change(tree, ONLY_SERVED)
    started = time.monotonic()
    with pytest.raises(Refused, match=r"no server has this variable.*; .* is active again") as refused:
        github.deploy(tests=False)
    seconds = time.monotonic() - started
    measured(f"a version that does not serve: taken back after {seconds:.0f} s, the image included")
    assert seconds < HELM_SECONDS
    assert "\n" not in str(refused.value)
    assert github.tag == active
    wait_for(lambda: github._serves(active), "the version before to serve", 120)
    assert pods(platform) == others
