"""One measurement is one process: memory, caches and compiled statements never mix."""

import logging
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of ``ru_maxrss``."""
PRELOADED = (
    "ingest_benchmarks.columnar",
    "ingest_benchmarks.over_http",
    # What dlt imports only when it first needs it: a process starts once, and loads are measured.
    "adbc_driver_postgresql.dbapi",
    "dlt.common.libs.pyarrow",
    "dlt.destinations.impl.duckdb.sql_client",
    "dlt.destinations.impl.postgres.sql_client",
    "pyarrow.parquet",
    "sqlalchemy",
)
"""Modules that every case finds imported."""

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(list(PRELOADED))


@dataclass(frozen=True)
class Measured:
    """What one case did: how many rows, in which time, and how much memory its process needed.

    ``held_mb`` is what it held before the clock started, the pages it was served with above all.
    """

    rows: int
    seconds: float
    held_mb: float
    peak_mb: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def own_mb(self) -> float:
        """Memory that the work itself needed."""
        return self.peak_mb - self.held_mb


Case = Callable[[Path], Measured]
"""A case gets an empty folder of its own, in which it may leave what it likes."""


@dataclass
class Clock:
    """Runs from the end of a case's preparations to the end of its work."""

    seconds: float = 0.0
    held_mb: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """The block is what is measured."""
        self.held_mb = peak_mb()
        started = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - started

    def measured(self, rows: int) -> Measured:
        """The result of a case that loaded this many rows."""
        return Measured(rows, self.seconds, self.held_mb, peak_mb())


def peak_mb() -> float:
    """The most memory this process has had, DuckDB's within it; servers it talks to not."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT / 1e6


def run(case: Case, settings: Mapping[str, str] | None = None) -> Measured:
    """Measures ``case`` once, in a process and a folder of its own, under environment ``settings``."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    environment = {**_quiet(folder), **(settings or {})}
    try:
        with ProcessPoolExecutor(1, PROCESSES, _prepare, (environment,)) as pool:
            return pool.submit(case, folder).result()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def best(cases: Sequence[Case], times: int, settings: Mapping[str, str] | None = None) -> list[Measured]:
    """The fastest of several tries of each case; the cases take turns, so that noise affects them equally."""
    tries = [[run(case, settings) for case in cases] for _ in range(times)]
    return [min(of_case, key=lambda one: one.seconds) for of_case in zip(*tries, strict=True)]


def _prepare(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    logging.getLogger("ingest").setLevel(logging.ERROR)


def _quiet(folder: Path) -> dict[str, str]:
    return {
        "DLT_DATA_DIR": str(folder),
        "INGEST_DATA_DIR": str(folder),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
        "XDG_RUNTIME_DIR": str(folder),
    }
