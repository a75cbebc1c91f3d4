"""A quota that is spent is waited for, or ends the run in order."""

import logging
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest_shared.reading import api as http
from ingest_testing import assert_mirrors, run_job
from ingest_testing.runs import whole_job

from .origin import CATALOG, GITHUB, TOKEN, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

StartOrigin = Callable[..., Origin]


def spend(origin: Origin) -> None:
    """Uses up the quota of the token."""
    while origin.get("/user", TOKEN).ok:
        pass


def test_a_run_waits_for_a_quota_and_says_until_when(
    start_origin: StartOrigin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    origin = start_origin()
    warehouse = Warehouse(GITHUB, origin, tmp_path)
    limited = {"kind": "status", "status": 403, "path": "/labels", "times": 6, "body": '{"message": "no"}'}
    reset = str(int(time.time()) + 4)
    origin.fail({**limited, "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}})
    with caplog.at_level(logging.WARNING, "ingest"):
        warehouse.sync("catalog")
    (told,) = [record.getMessage() for record in caplog.records if "rate limit reached" in record.getMessage()]
    assert f"until {time.strftime('%H:%M:%S', time.gmtime(int(reset) + 1))} UTC" in told
    assert_mirrors(warehouse, *CATALOG)
    assert not warehouse.gaps()


def test_a_run_that_would_wait_too_long_ends_in_order_and_the_next_one_goes_on(
    start_origin: StartOrigin, tmp_path: Path
) -> None:
    warehouse = Warehouse(GITHUB, start_origin(0.25, "--github-quota", "25"), tmp_path)
    run = run_job(warehouse, "catalog_ingest", SOURCES__GITHUB__LONGEST_WAIT="60")
    assert run.success
    gaps = warehouse.gaps()
    assert {status for _, _, status, _ in gaps} == {429}
    assert all(
        "the rate limit is reached until" in reason and "the next run continues" in reason for *_, reason in gaps
    )
    read = {table for table in CATALOG if table not in {table for table, *_ in gaps}}
    assert read, "what was read to its end is loaded"
    assert_mirrors(warehouse, *read)
    assert warehouse.origin.requests()["by_status"]["403"] <= http.ATTEMPTS + 16, "no call is made while none may be"

    assert run_job(warehouse, "catalog_ingest", SOURCES__GITHUB__LONGEST_WAIT="60").success, "none of its calls may be"
    warehouse.origin.advance(3700)
    # The note of the pause is by the machine's clock, which was not set forward.
    warehouse.sync("catalog", INGEST_LIMITS_DIR=str(tmp_path))
    assert warehouse.origin.requests()["by_status"]["304"] > 0, "lists that were read are not read again"
    assert_mirrors(warehouse, *CATALOG)
    assert not warehouse.gaps()


def test_a_run_that_waits_ends_at_once_when_it_is_terminated(start_origin: StartOrigin, tmp_path: Path) -> None:
    warehouse = Warehouse(GITHUB, start_origin(0.25, "--github-quota", "5"), tmp_path)
    command, environment = whole_job(warehouse, tmp_path)
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while "403" not in warehouse.origin.requests()["by_status"]:
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
