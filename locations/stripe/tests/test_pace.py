"""One run, or two side by side, keep Stripe's limits of an account and of each endpoint."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest

from stripe_location.source.api import CALLS_PER_SECOND, CALLS_PER_SECOND_PER_ENDPOINT, endpoint_of

from .origin import STRIPE, Origin, Warehouse

pytestmark = pytest.mark.exhaustive

PACE = {
    "SOURCES__STRIPE__CALLS_PER_SECOND": str(CALLS_PER_SECOND["test"]),
    "SOURCES__STRIPE__CALLS_PER_SECOND_PER_ENDPOINT": str(CALLS_PER_SECOND_PER_ENDPOINT),
}
"""What a location has by default; other tests go faster."""
LOAD = """
from ingest_shared.pipelines import pipeline
from stripe_location import source
for group in ("billing", "payments"):
    pipeline("stripe", group).drop().run(getattr(source, group)())
"""


def test_two_runs_side_by_side_keep_the_limits(start_origin: Callable[..., Origin], tmp_path: Path) -> None:
    origin = start_origin(0.1, "--stripe-limits")
    origin.forget_requests()
    folders = [tmp_path / "one", tmp_path / "two"]
    limits = {"INGEST_LIMITS_DIR": str(tmp_path / "limits"), **PACE}
    warehouses = [Warehouse(STRIPE, origin, folder, **limits) for folder in folders]
    runs = [subprocess.Popen([sys.executable, "-c", LOAD], env=os.environ | one.settings) for one in warehouses]
    assert [run.wait(timeout=240) for run in runs] == [0, 0]
    requests = origin.requests()
    assert "429" not in requests["by_status"]
    assert 5 < requests["max_per_second"] <= 25


def test_no_call_is_refused_at_the_limits_though_stripe_stands_still_at_times(
    start_origin: Callable[..., Origin], tmp_path: Path
) -> None:
    """What was sent meanwhile arrives at once, and then what follows."""
    origin, is_read = start_origin(0.4, "--stripe-limits"), threading.Event()

    def stand_still() -> None:
        for latency_ms in cycle((0, 600)):
            origin.fail(latency_ms=latency_ms)
            if is_read.wait(0.8):
                break

    with ThreadPoolExecutor(1) as beside:
        standing = beside.submit(stand_still)
        try:
            Warehouse(STRIPE, origin, tmp_path, INGEST_LIMITS_DIR=str(tmp_path), **PACE).sync("billing")
        finally:
            is_read.set()
        standing.result()
    assert origin.requests()["by_status"].keys() == {"200"}


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/payment_intents", "/v1/payment_intents"),
        ("/v1/payment_intents/pi_1", "/v1/payment_intents/:id"),
        ("/v1/coupons/SUMMER", "/v1/coupons/:id"),
        ("/v1/checkout/sessions", "/v1/checkout/sessions"),
        ("/proxy/v1/checkout/sessions/cs_1/line_items", "/proxy/v1/checkout/sessions/:id/line_items"),
    ],
)
def test_an_endpoint_is_a_path_without_the_id_of_an_object(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint
