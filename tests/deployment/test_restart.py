"""Down and up again: history, cursors and warehouse are still there."""

import pytest

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
    first = platform.succeed("stripe", "stripe_ingest")
    platform.compose("--profile", "sandbox", "down", "--timeout", "20")
    platform.compose("--profile", "sandbox", "up", "--detach", "--wait")
    assert platform.platform.run(first).status == "SUCCESS"
    assert_mirrors(platform, "stripe")
    again = platform.succeed("stripe", "stripe_ingest")
    invoices = told(platform, again, "stripe", "invoices")
    assert invoices["rows_loaded"] < invoices["dagster/row_count"] / 5  # incremental: the cursor was kept
    platform.origin.change(10)
    platform.succeed("stripe", "stripe_ingest")
    assert_mirrors(platform, "stripe")
