"""``make bench-stripe``: what a mirror of many objects costs at Stripe, and how close it comes to Stripe's limits.

    python -m ingest_benchmarks.pace 20000 200000     a minute, and about twelve

For each number of objects: the first load of all tables, one group after the other as the daily job does, and a sync
after 50 changes. The sandbox answers in 30 ms and enforces the limits of a live account; calls are counted there.
The floor is the time that these calls take at Stripe's limits: all of them at the account's, or those of the endpoint
that has most of them at an endpoint's. What was held of that limit is the floor's share of the time of the reading.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ingest_benchmarks.measure import MAXRSS_UNIT, PROCESSES
from ingest_benchmarks.over_http import STRIPE_KEY, control, sandbox
from ingest_shared import pipelines
from stripe_location import source
from stripe_location.source.api import CALLS_PER_SECOND
from stripe_location.source.tables import TABLES

GROUPS = {
    "billing": source.billing,
    "payments": source.payments,
    "checkout": source.checkouts,
    "connect": source.connect,
}
OBJECTS_AT_1 = 9_400
"""Objects in a sandbox of size 1."""
LATENCY_MS = 30
LIVE_LIMIT, ENDPOINT_LIMIT = 100, 25
"""Calls a second that Stripe allows a live account, and each endpoint: https://docs.stripe.com/rate-limits"""
CHANGES = 50


@dataclass(frozen=True)
class Cost:
    """What a sync of one group took, counted at the sandbox."""

    group: str
    calls: int
    refused: int
    read_for: float
    """Seconds until the API was read, with the loads of all parts but the last."""
    seconds: float
    floor: float
    """Seconds that these calls take at Stripe's limits."""
    peak_mb: float


def sync(url: str, group: str) -> Cost:
    """Loads a group in this process."""
    control(url, "DELETE", "requests")
    began, started = time.time(), time.perf_counter()
    target = pipelines.pipeline("stripe", group).drop()
    pipelines.run(target, GROUPS[group]())
    seconds = time.perf_counter() - started
    counts = control(url, "GET", "requests")
    calls = counts["total"]["stripe"]
    trace = target.last_trace
    assert trace
    assert trace.last_extract_info
    read_at = trace.last_extract_info.finished_at.timestamp()
    return Cost(
        group,
        calls,
        counts["by_status"]["stripe"].get("429", 0),
        read_at - began,
        seconds,
        max(calls / LIVE_LIMIT, max(counts["by_path"].values()) / ENDPOINT_LIMIT),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT / 1e6,
    )


def measure(url: str, folder: Path) -> None:
    """Prints a line for each sync of a group; each runs in a process of its own, so that its memory can be told."""

    def load(what: str) -> int:
        calls = 0
        for group in GROUPS:
            with ProcessPoolExecutor(1, PROCESSES, _prepare, (_settings(url, folder),)) as pool:
                cost = pool.submit(sync, url, group).result()
            calls += cost.calls
            pace = cost.calls / cost.read_for
            print(
                f"{what:<12}{group:<10}{cost.calls:>7}{cost.refused:>9}{cost.read_for:>9.1f}{cost.floor:>8.1f}"
                f"{cost.floor / cost.read_for:>7.2f}{pace:>9.1f}{cost.seconds:>9.1f}{cost.peak_mb:>9.0f}",
                flush=True,
            )
        return calls

    calls = load("first load")
    print(f"{'':<12}{_rows(folder):,} objects in {calls:,} calls", flush=True)
    control(url, "POST", "clock", {"advance_seconds": 600})
    load("once more")
    control(url, "POST", "changes/random", {"seed": 1, "count": CHANGES, "apis": ["stripe"]})
    control(url, "POST", "clock", {"advance_seconds": 2})
    print(f"{'':<12}{load(f'{CHANGES} changes'):,} calls", flush=True)


def _rows(folder: Path) -> int:
    """Rows of all tables, those of nested lists not counted."""
    with closing(duckdb.connect(str(folder / "stripe.duckdb"), read_only=True)) as connection:
        counts = [connection.execute(f"SELECT count(*) FROM stripe_raw.{name}").fetchall() for name in TABLES]
    return sum(rows[0][0] for rows in counts)


def _prepare(settings: Mapping[str, str]) -> None:
    os.environ.update(settings)


def _settings(url: str, folder: Path) -> dict[str, str]:
    return {
        "SOURCES__STRIPE__API_BASE": f"{url}/stripe",
        "SOURCES__STRIPE__API_KEY": STRIPE_KEY,
        "SOURCES__STRIPE__CALLS_PER_SECOND": str(CALLS_PER_SECOND["live"]),
        "DLT_DATA_DIR": str(folder),
        "INGEST_DATA_DIR": str(folder),
        "INGEST_LIMITS_DIR": str(folder),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-stripe", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("objects", nargs="*", type=int, default=[20_000])
    options = parser.parse_args()
    print(
        f"{'sync':<12}{'group':<10}{'calls':>7}{'refused':>9}{'reading':>9}{'floor':>8}{'held':>7}{'calls/s':>9}"
        f"{'seconds':>9}{'peak MB':>9}"
    )
    for objects in options.objects:
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        try:
            with sandbox(objects / OBJECTS_AT_1, LATENCY_MS, "--stripe-limits", str(LIVE_LIMIT)) as url:
                measure(url, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
