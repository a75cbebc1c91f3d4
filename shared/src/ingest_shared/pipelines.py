"""dlt pipelines with stable names, each process with a working folder of its own.

A pipeline's name identifies its cursors in the warehouse: never rename one. The folder is
private to the process because dlt keeps unfinished work there; everything that must last is
restored from the warehouse at the start of each run.
"""

import atexit
import ctypes
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.pipeline import LoadInfo, current_pipeline
from dlt.extract.resource import DltResource
from dlt.extract.source import DltSource
from dlt.pipeline.helpers import retry_schema_update
from dlt.pipeline.pipeline import Pipeline
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from ingest_shared.destinations import destination
from ingest_shared.notes import STORED, check_appended, stored, stored_tables
from ingest_shared.resharding import take_over
from ingest_shared.shards import WHOLE_SOURCE, Shard

ROWS_PER_FILE = 50_000
"""Rows in one staged file; this limits the memory that a destination's bulk loader needs."""
ROWS_PER_GROUP = 1_000
"""Rows that a bulk loader takes from such a file at once: PostgreSQL's holds them several times over."""
COUNTED = ("rows", "pages", "api_calls", "api_bytes", "seconds")
SCHEMA_ATTEMPTS = 5
M_ARENA_MAX = -8
"""glibc's option for the number of heaps of its ``malloc``: https://man7.org/linux/man-pages/man3/mallopt.3.html"""
HEAPS = 2
"""glibc's default is 8 for each core: every thread that reads pages would keep the memory of its largest ones."""
LOAD_WORKERS = 2
"""Files loaded side by side; more only multiply the memory."""


def pipeline(location: str, group: str, shard: Shard = WHOLE_SOURCE) -> Pipeline:
    """The pipeline ``<location>_<group>``, which writes to the dataset ``<location>_raw``.

    A shard of several has a pipeline of its own, such as ``<location>_<group>_2_of_4``: with one for all of them, side
    by side, dlt loses rows without an error (https://github.com/dlt-hub/dlt/issues/4297).
    """
    _set_defaults()
    _share_heaps()
    name = f"{location}_{group}" + ("" if shard.is_whole else f"_{shard.name}")
    return dlt.pipeline(
        pipeline_name=name,
        pipelines_dir=_private_folder(),
        destination=destination(location, name),
        dataset_name=f"{location}_raw",
    )


def current() -> Pipeline:
    """The pipeline whose resources are being read; ``dlt.current.pipeline()`` resolves dlt's settings at each call."""
    active = current_pipeline()
    assert isinstance(active, Pipeline)
    return active


@dataclass
class Loaded:
    """What a run of a pipeline loaded, in one part or in several."""

    info: LoadInfo
    """Of the last part."""
    schema_updates: list[Mapping[str, Any]]
    """The schema changes that each part made in the warehouse."""
    metrics: dict[str, dict[str, Any]]
    """What :func:`ingest_shared.loading.mirror` counted for each resource, over all parts."""


def run(pipeline: Pipeline, source: DltSource | DltResource, **options: Any) -> Loaded:
    """The steps of dlt's own ``run``, with the warehouse kept open during the last one.

    dlt opens and closes it for every table, and DuckDB rewrites its file whenever it is closed. While
    an API is read it stays closed, so that other groups of the location can load. If reading takes
    long, what was read is loaded and the run continues with the rest: if it is stopped, that is kept.
    """
    with pipeline.sql_client() as client:
        pipeline.sync_destination()
        STORED.set(before := stored(client))
        take_over(pipeline)
    known = before.tables
    updates: list[Mapping[str, Any]] = []
    metrics: dict[str, dict[str, Any]] = {}
    while True:
        pipeline.extract(source, **options)
        _release_unused()
        pipeline.normalize()
        with pipeline.sql_client() as client:
            check_appended(pipeline.schemas.values(), known, stored_tables(client))
            info = _unless_others_made_the_tables()(pipeline.load)
            known = stored_tables(client)
        info.raise_on_failed_jobs()
        updates += [package.schema_update for package in info.load_packages]
        latest = _metrics(pipeline)
        for name, found in latest.items():
            metrics[name] = _added(metrics.get(name, {}), found)
        unread = [name for name, found in latest.items() if found.get("postponed")]
        if not unread:
            return Loaded(info, updates, metrics)
        assert isinstance(source, DltSource)
        source = source.with_resources(*unread)


def _unless_others_made_the_tables() -> Retrying:
    """Loads again if another pipeline created the same table or column in the meantime: shards start at the same time.

    https://dlthub.com/docs/running-in-production/running
    """
    return Retrying(
        retry=retry_if_exception(retry_schema_update()),
        stop=stop_after_attempt(SCHEMA_ATTEMPTS),
        wait=wait_random(0, 1),
        reraise=True,
    )


def _metrics(pipeline: Pipeline) -> Mapping[str, Mapping[str, Any]]:
    """What :func:`ingest_shared.loading.mirror` stored in dlt's metrics of the extract step, by resource."""
    trace = pipeline.last_trace
    assert trace is not None
    assert trace.last_extract_info is not None
    steps = [step for steps in trace.last_extract_info.metrics.values() for step in steps]
    return {name: found.custom_metrics for step in steps for name, found in step["resource_metrics"].items()}


def _added(before: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of two parts combined: counts are added; for everything else the latest value counts."""
    counts = {name: before.get(name, 0) + found[name] for name in COUNTED if name in found}
    if "child_rows" in found:
        counts["child_rows"] = dict(Counter(before.get("child_rows", {})) + Counter(found["child_rows"]))
        counts["new_fields"] = sorted({*before.get("new_fields", ()), *found["new_fields"]})
        if found["scopes_read"] is not None:
            counts["scopes_read"] = (before.get("scopes_read") or 0) + found["scopes_read"]
    return {**found, **counts}


@cache
def _share_heaps() -> None:
    """Lets threads share heaps, so that memory freed by one is available to another; for glibc, as in our images."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_ARENA_MAX, HEAPS)


def _release_unused() -> None:
    """Returns what Arrow and glibc keep of freed memory: the warehouse's loader needs it now."""
    pa.default_memory_pool().release_unused()
    if malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        malloc_trim(0)


@cache
def _private_folder() -> str:
    parent = Path(os.environ.get("DLT_DATA_DIR", "").strip() or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob("ingest-*-*"):
        if not _is_alive(left.name.split("-")[1]):  # its process was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"ingest-{os.getpid()}-", dir=parent)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@atexit.register
def _end_storage_thread() -> None:
    """Ends the thread in which fsspec talks to S3: what it holds when the interpreter ends is never freed.

    DuckDB would report that in 40 lines: https://nanobind.readthedocs.io/en/latest/refleaks.html
    """
    storage = sys.modules.get("fsspec.asyn")  # imported only where it is used
    if storage and storage.loop[0]:
        storage.loop[0].call_soon_threadsafe(storage.loop[0].stop)
        storage.iothread[0].join()


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):  # another user's folder, or not one of ours
        pass
    return True


class _OwnHints(logging.Filter):
    """Drops the warning that JSON, which Arrow holds as text, is declared as json: this is intended."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "several column hints were different" not in record.getMessage()


_own_hints = _OwnHints()


def _set_defaults() -> None:
    """Defaults for dlt's own settings, which a location may override as usual, by file or environment."""
    logging.getLogger("dlt").addFilter(_own_hints)
    defaults = {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "DATA_WRITER__FILE_MAX_ITEMS": str(ROWS_PER_FILE),
        "DATA_WRITER__ROW_GROUP_SIZE": str(ROWS_PER_GROUP),
        "EXTRACT__NEXT_ITEM_MODE": "fifo",  # finish a list before turning to others, as long as it has something
        "EXTRACT__FUTURES_POLL_INTERVAL": "0.001",  # readers wait for their pages themselves
        "LOAD__WORKERS": str(LOAD_WORKERS),
    }
    for name, value in defaults.items():
        if dlt.config.get(name.lower().replace("__", ".")) is None:
            os.environ[name] = value
