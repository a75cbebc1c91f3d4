"""Down and up again: history, cursors and warehouse are still there."""

import pytest

from ingest_tools.dagster_api import wait_for
from ingest_tools.deploy import UNFINISHED
from ingest_tools.engine import RUN_LABEL, docker

from .conftest import Tested
from .test_up import assert_mirrors

pytestmark = pytest.mark.docker

TOLD = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetMaterializations(limit: 5) { runId metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }"""


def told(platform: Tested, run_id: str, *asset: str) -> dict[str, int]:
    """What a run's materialization of an asset tells, in numbers."""
    found = platform.platform.query(TOLD, key={"path": asset})["assetNodeOrError"]["assetMaterializations"]
    (of_run,) = [one for one in found if one["runId"] == run_id]
    return {
        entry["label"]: entry["intValue"] for entry in of_run["metadataEntries"] if entry.get("intValue") is not None
    }


def test_down_and_up_again(platform: Tested) -> None:
    """With one run under way and one queued: neither outlives `make down`, both come to their end after it."""
    (first, *_) = platform.platform.runs(1, statuses=["SUCCESS"])
    interrupted = [platform.platform.launch("stripe", job) for job in ("stripe_ingest", "stripe_payments_ingest")]
    wait_for(lambda: platform.platform.run(interrupted[0]).status == "STARTED", "the run to begin", 60)
    done = platform.ingest("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not docker("ps", "--quiet", f"--filter=label={RUN_LABEL}={platform.project}")
    assert not docker("network", "ls", "--quiet", f"--filter=name=^{platform.project}_stripe$")

    platform.compose("--profile", "sandbox", "up", "--detach", "--wait")
    platform.wait_until_loaded("stripe")
    assert platform.platform.run(first.id) == first
    wait_for(lambda: not platform.platform.runs(statuses=UNFINISHED), "all runs to end", 150)
    assert platform.platform.run(interrupted[1]).status == "SUCCESS"
    platform.origin.change(10)
    again = platform.succeed("stripe", "stripe_ingest")
    invoices = told(platform, again, "stripe", "invoices")
    assert invoices["rows_loaded"] < invoices["dagster/row_count"] / 5  # incremental: the cursor was kept
    assert_mirrors(platform, "stripe")
