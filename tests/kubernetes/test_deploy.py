"""A location is deployed alone: runs go on, what does not serve is taken back, and a rollback goes back."""

import time
from collections.abc import Iterator

import pytest

from ingest_tools import cluster
from ingest_tools.cluster import LocationRelease
from ingest_tools.dagster_api import wait_for
from ingest_tools.local import Refused
from measured import measured
from tree import Copy

from .conftest import Tested

pytestmark = pytest.mark.kubernetes

DEFINITIONS = "locations/stripe/src/stripe_location/definitions.py"
ONLY_SERVED = """
import os
if "DAGSTER_CURRENT_IMAGE" in os.environ:
    raise RuntimeError("no server has this variable")
"""


@pytest.fixture
def stripe(platform: Tested, tree: Copy) -> Iterator[LocationRelease]:
    """The location whose code the test changes."""
    file = tree.root / DEFINITIONS
    before = file.read_text()
    yield platform.location("stripe")
    file.write_text(before)


def change(tree: Copy, text: str) -> None:
    file = tree.root / DEFINITIONS
    file.write_text(file.read_text() + text)


def pods(platform: Tested) -> dict[str, int]:
    """The pods that no deploy of stripe concerns, and how often each was started again."""
    told = platform.services()
    return {one["service"]: one["restarts"] for one in told if not one["service"].startswith("stripe")}


def test_a_deploy_is_noticed_by_nobody_else_and_rolled_back(
    platform: Tested, stripe: LocationRelease, tree: Copy
) -> None:
    first, others = stripe.tag, pods(platform)
    platform.ingest("secret", "stripe", "load.workers", "--on=kubernetes", text="7")
    platform.origin.slow_down(300)
    run_id = platform.platform.launch("stripe", "stripe_billing_ingest")
    wait_for(lambda: platform.platform.run(run_id).status == "STARTED", "the run to start", 120)
    change(tree, "\n# A new version.\n")
    started = time.monotonic()
    assert "is active" in stripe.deploy(tests=False)
    measured(f"a deploy of stripe: {time.monotonic() - started:.0f} s to LOADED, the image included")
    platform.origin.slow_down(0)
    second = stripe.tag
    assert second != first
    assert platform.platform.ended(run_id).status == "SUCCESS"
    assert pods(platform) == others
    assert platform.secret("stripe", "runs", "load--workers") == "7", "what was stored is kept by a deploy"
    assert f"{first} is active" in stripe.roll_back()
    assert (stripe.tag, stripe._serves(first)) == (first, True)
    assert f"{second} is active" in stripe.roll_back(second)
    with pytest.raises(Refused, match="--to=nonsense is not a version of stripe that was active"):
        stripe.roll_back("nonsense")


def test_a_version_that_does_not_serve_is_taken_back(
    platform: Tested, stripe: LocationRelease, tree: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "HELM_SECONDS", 60)
    active, others = stripe.tag, pods(platform)
    change(tree, ONLY_SERVED)
    with pytest.raises(Refused, match=r"no server has this variable.*; .* is active again") as refused:
        stripe.deploy(tests=False)
    assert "\n" not in str(refused.value)
    assert stripe.tag == active
    wait_for(lambda: stripe._serves(active), "the version before to serve", 120)
    assert pods(platform) == others
