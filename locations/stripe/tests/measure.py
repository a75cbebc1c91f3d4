"""What a first load and a sync after changes cost, in a sandbox that enforces Stripe's limits: prints what it counts.

    .venv/bin/python -m tests.measure [size of the world, 1 is some 9,000 objects]

The four groups are loaded side by side, each in a process of its own, as four runs of their jobs are.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ingest_testing.sandbox import Sandboxes
from stripe_location.source.api import CALLS_PER_SECOND, CALLS_PER_SECOND_PER_ENDPOINT

from .origin import STRIPE, Origin, Warehouse

LATENCY_MS = 30
CHANGES = 50
LOAD = """
import sys
from ingest_shared.pipelines import pipeline, run
from stripe_location import source
group, name = sys.argv[1:]
run(pipeline("stripe", group).drop(), getattr(source, name)())
"""
SOURCES = {"billing": "billing", "payments": "payments", "checkout": "checkouts", "connect": "connect"}


def load(warehouses: dict[str, Warehouse]) -> float:
    """Seconds that the groups take side by side."""
    began = time.monotonic()
    runs = [
        subprocess.Popen([sys.executable, "-c", LOAD, group, SOURCES[group]], env=os.environ | one.settings)
        for group, one in warehouses.items()
    ]
    if [run for run in runs if run.wait()]:
        raise SystemExit("a load failed: see above")
    return time.monotonic() - began


def report(what: str, origin: Origin, seconds: float) -> None:
    requests = origin.requests()
    refused = requests["by_status"].get("429", 0)
    pace = f"{requests['total'] / seconds:.1f} a second, {requests['max_per_second']} at most"
    print(f"{what}: {requests['total']} calls in {seconds:.1f} s, {pace}, {refused} refused")
    for path, calls in sorted(requests["by_path"].items(), key=lambda item: -item[1])[:8]:
        print(f"    {calls:6} {path}")


def main(size: float) -> None:
    sandboxes = Sandboxes()
    with sandboxes.running(size, "--stripe-limits") as url, tempfile.TemporaryDirectory() as folder:
        origin = Origin(url)
        origin.advance()
        origin.fail(latency_ms=LATENCY_MS)
        print(f"{sum(len(origin.objects(name)) for name in STRIPE.tables)} objects")
        own = {
            "INGEST_LIMITS_DIR": f"{folder}/limits",
            "SOURCES__STRIPE__CALLS_PER_SECOND": str(CALLS_PER_SECOND["test"]),
            "SOURCES__STRIPE__CALLS_PER_SECOND_PER_ENDPOINT": str(CALLS_PER_SECOND_PER_ENDPOINT),
        }
        # A warehouse each: a DuckDB file takes one process at a time.
        warehouses = {group: Warehouse(STRIPE, origin, Path(folder) / group, **own) for group in SOURCES}
        origin.forget_requests()
        report("first load", origin, load(warehouses))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"    {peak:.0f} MB at most in a process")
        origin.advance(600)
        load(warehouses)
        origin.change_at_random(1, CHANGES)
        origin.advance()
        origin.forget_requests()
        report(f"a sync after {CHANGES} changes", origin, load(warehouses))
    sandboxes.close()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
