"""What one location wrote and nobody can read does not hide what others wrote."""

import base64
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    DagsterInstance,
)
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.events import DagsterEvent
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.test_utils import create_run_for_test
from dagster._daemon import asset_daemon

from ingest_host.unreadable import BY_KEY, IN_ORDER, pass_over_unreadable

NONSENSE = '{"__class__": "Nonsense"}'
FAILED = DagsterEventType.RUN_FAILURE
KEYS = [AssetKey([location, "items"]) for location in ("github", "stripe")]
CHECKS = [AssetCheckKey(key, "sound") for key in KEYS]


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """One failed run, one materialized asset and one checked asset of each location."""
    with DagsterInstance.ephemeral() as instance:
        for key in KEYS:
            run = create_run_for_test(instance, key.path[0])
            instance.report_dagster_event(DagsterEvent(FAILED.value, key.path[0]), run.run_id)
            instance.report_runless_asset_event(AssetMaterialization(key))
            instance.report_runless_asset_event(AssetCheckEvaluation(asset_key=key, check_name="sound", passed=True))
        yield instance


def spoil(instance: DagsterInstance, table: Any, **values: str) -> None:
    """Spoils the rows of stripe's asset."""
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        connection.execute(table.update().values(**values).where(table.c.asset_key == KEYS[1].to_string()))


def read(instance: DagsterInstance, name: str, *arguments: Any) -> Any:
    return getattr(instance.event_log_storage, name)(*arguments)


def test_the_records_of_other_assets(instance: DagsterInstance) -> None:
    spoil(instance, AssetKeyTable, last_materialization=NONSENSE)
    for keys in (None, KEYS):
        with pytest.raises(Exception, match="Nonsense"):
            read(instance, "get_asset_records", keys)
    pass_over_unreadable(instance)
    for keys in (None, KEYS):
        (record,) = read(instance, "get_asset_records", keys)
        assert record.asset_entry.asset_key == KEYS[0]


def test_what_other_checks_found(instance: DagsterInstance) -> None:
    spoil(instance, AssetCheckExecutionsTable, evaluation_event=NONSENSE)
    with pytest.raises(Exception, match="Nonsense"):
        read(instance, "get_latest_asset_check_execution_by_key", CHECKS)
    pass_over_unreadable(instance)
    assert list(read(instance, "get_latest_asset_check_execution_by_key", CHECKS)) == CHECKS[:1]


def test_the_ends_of_other_runs(instance: DagsterInstance) -> None:
    table = SqlEventLogStorageTable
    storage: Any = instance.event_log_storage
    first, second = read(instance, IN_ORDER, 0, {FAILED}, 10)
    with storage.index_connection() as connection:
        connection.execute(table.update().values(event=NONSENSE).where(table.c.id == first))
    assert list(read(instance, IN_ORDER, 0, {FAILED}, 10)) == []
    pass_over_unreadable(instance)
    assert list(read(instance, IN_ORDER, 0, {FAILED}, 10)) == [first, second]


def test_a_run_that_says_many_times_that_it_ended_says_it_once(instance: DagsterInstance) -> None:
    """Otherwise the daemon would hold the events of many runs in memory, and delay those of others."""
    storage: Any = instance.event_log_storage
    of_other, last = read(instance, IN_ORDER, 0, {FAILED}, 10).items()
    row = {"run_id": last[1].run_id, "dagster_event_type": FAILED.value, "timestamp": datetime.now(UTC)}
    with storage.index_connection() as connection:
        connection.execute(SqlEventLogStorageTable.insert(), [row | {"event": "x" * 10_000}] * 2500)
    run = create_run_for_test(instance, KEYS[0].path[0])
    instance.report_dagster_event(DagsterEvent(FAILED.value, KEYS[0].path[0]), run.run_id)
    pass_over_unreadable(instance)
    tracemalloc.start()
    found = read(instance, IN_ORDER, 0, {FAILED}, 10)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [event.run_id for event in found.values()] == [of_other[1].run_id, last[1].run_id, run.run_id]
    assert list(found) == sorted(found)
    assert most < 1_000_000
    assert list(read(instance, IN_ORDER, max(found), {FAILED}, 10)) == []
    assert len(read(instance, IN_ORDER, 0, {FAILED}, 2)) == 2


def test_what_can_be_read_is_read_at_once(instance: DagsterInstance, caplog: pytest.LogCaptureFixture) -> None:
    pass_over_unreadable(instance)
    assert len(read(instance, BY_KEY[0])) == len(KEYS)
    assert len(read(instance, BY_KEY[1], CHECKS)) == len(CHECKS)
    assert len(read(instance, IN_ORDER, 0, {FAILED}, 10)) == len(KEYS)
    assert caplog.records == []


def test_a_cursor_is_unpacked_up_to_a_size(instance: DagsterInstance) -> None:
    pass_over_unreadable(instance)
    cursor = AssetDaemonCursor.empty(7)
    packed = asset_daemon.asset_daemon_cursor_to_instigator_serialized_cursor(cursor)
    assert asset_daemon.asset_daemon_cursor_from_instigator_serialized_cursor(packed, None).evaluation_id == 7
    bomb = "0" + base64.b64encode(zlib.compress(b" " * 5_000_000)).decode()
    assert len(bomb) < 10_000
    with pytest.raises(ValueError, match="is longer than 4000000 bytes when it is unpacked"):
        asset_daemon.asset_daemon_cursor_from_instigator_serialized_cursor(bomb, None)
