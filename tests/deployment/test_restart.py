"""Down and up again: history, cursors and warehouse are still there."""

import pytest

from ingest_tools.dagster_api import wait_for
from ingest_tools.deploy import UNFINISHED
from ingest_tools.engine import RUN_LABEL, docker

from .conftest import Tested

pytestmark = pytest.mark.docker


def test_down_and_up_again(platform: Tested) -> None:
    """With one run in progress and one queued: neither survives `make down`, and both finish after it."""
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
    invoices = platform.told(again, "stripe", "invoices")
    assert invoices["rows_loaded"] < invoices["dagster/row_count"] / 5  # incremental: the cursor was kept
    platform.assert_mirrors("stripe")
