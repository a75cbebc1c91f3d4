"""Keeps unreadable events of one location from hiding those of the others.

Each location writes its own events, and the storage's policies check that they are JSON, not that Dagster can read
them. The platform's processes read the events of all locations together. If that fails, they read again one by
one, and skip what cannot be read.
"""

import base64
import inspect
import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from dagster import DagsterInstance, EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._daemon import asset_daemon
from sqlalchemy import func, select

logger = logging.getLogger("ingest")

BY_KEY = ("get_asset_records", "get_latest_asset_check_execution_by_key", "get_freshness_state_records")
"""Methods of the storage that read many assets or checks at once; their keys are the first parameter."""
IN_ORDER = "get_logs_for_all_runs_by_log_id"
"""How the daemon follows the ends of all runs, with one cursor: events that block it block everybody's retries."""
CURSOR_BYTES = 4_000_000
"""Of an automation sensor's cursor, decompressed. It is stored compressed, at down to a thousandth of its size."""


def pass_over_unreadable(instance: DagsterInstance) -> None:
    """Sets up a process that reads for all locations; raises ``AttributeError`` if Dagster has renamed a function."""
    storage: Any = instance.event_log_storage
    for name in BY_KEY:
        setattr(storage, name, _by_key(getattr(storage, name), storage))
    getattr(storage, IN_ORDER)
    setattr(storage, IN_ORDER, _in_order(storage))
    getattr(asset_daemon, "_decode_instigator_cursor_payload")  # noqa: B009  it is private
    asset_daemon._decode_instigator_cursor_payload = unpacked_cursor


def unpacked_cursor(encoded_bytes: str) -> str:
    """Decompresses a cursor; raises ``ValueError`` if it is too large, which fails only this sensor's tick."""
    unpacking = zlib.decompressobj()
    cursor = unpacking.decompress(base64.b64decode(encoded_bytes), CURSOR_BYTES)
    if unpacking.unconsumed_tail:
        raise ValueError(f"the cursor of the automation sensor is longer than {CURSOR_BYTES} bytes when it is unpacked")
    return cursor.decode()


def _by_key(read: Callable[..., Any], storage: Any) -> Callable[..., Any]:
    signature = inspect.signature(read)
    keys = next(iter(signature.parameters))

    def read_readable(*arguments: Any, **options: Any) -> Any:
        try:
            return read(*arguments, **options)
        except Exception as error:  # noqa: BLE001  whatever it raises
            _tell(error)
        wanted = signature.bind(*arguments, **options).arguments
        each = wanted.get(keys) or storage.all_asset_keys()
        parts = list(_readable(lambda key: read(**wanted | {keys: [key]}), each))
        if all(isinstance(part, dict) for part in parts):
            return {key: value for part in parts for key, value in part.items()}
        return [record for part in parts for record in part]

    return read_readable


def _in_order(storage: Any) -> Callable[..., Any]:
    """Reads only the last event of each run, and only what Dagster uses of it: its number and the id of its run.

    Dagster's own reads events in full, and stops before the first one that it cannot read.
    """
    column = SqlEventLogStorageTable.c
    last = func.max(column.id)

    def read_numbers(after_cursor: int, dagster_event_type: Any, limit: int) -> dict[int, EventLogEntry]:
        named = column.dagster_event_type.in_([one.value for one in dagster_event_type])
        wanted = select(last, column.run_id).where(column.id > after_cursor, named).group_by(column.run_id)
        with storage.index_connection() as connection:
            rows = connection.execute(wanted.order_by(last).limit(limit)).fetchall()
        new: Any = EventLogEntry
        return {id_: new(None, 0, "", run_id, 0.0) for id_, run_id in rows}

    return read_numbers


def _readable(read: Callable[[Any], Any], each: Any) -> Iterator[Any]:
    for one in each:
        with suppress(Exception):  # logged already
            yield read(one)


def _tell(error: Exception) -> None:
    line = str(error).partition("\n")[0]
    logger.warning("skipping what a location wrote, since it cannot be read: %s: %s", type(error).__name__, line)
