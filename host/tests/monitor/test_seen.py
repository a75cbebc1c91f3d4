"""What the monitor reads of what Dagster itself wrote to a real Postgres, with its own login."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
)
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from ingest_host.monitor import seen
from ingest_host.monitor.seen import Seen, look
from tests.conftest import Platform, refused

REPOSITORY = RemoteRepositoryOrigin(
    GrpcServerCodeLocationOrigin(host="github", port=4000, location_name="github"), "__repository__"
)
FAILED = SerializableErrorInfo("no answer", [], None)
SERVICES = [{"service": "daemon", "keeps": True}]


class PlayedLaunch(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert self.headers["Authorization"] == "Bearer the-monitors"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"services": SERVICES}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def instance(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """Dagster's instance; the monitor has its own login."""
    (tmp_path / "token").write_text("the-monitors")
    (tmp_path / "served.yaml").write_text("load_from: [{grpc_server: {location_name: github}}]")
    with DagsterInstance.get() as instance, ThreadingHTTPServer(("127.0.0.1", 0), PlayedLaunch) as launch:
        instance.get_runs(limit=1)  # it has signed in
        service = platform.folder / "monitor" / "pg_service.conf"
        monitors = dict(line.split("=") for line in service.read_text().splitlines()[1:])
        monkeypatch.setattr(seen, "STORAGE", " ".join(f"{key}={value}" for key, value in monitors.items()))
        monkeypatch.setattr(seen, "TOKEN", tmp_path / "token")
        monkeypatch.setattr(seen, "WORKSPACE", tmp_path / "served.yaml")
        monkeypatch.setattr(seen, "LAUNCH", f"http://127.0.0.1:{launch.server_port}/services")
        threading.Thread(target=launch.serve_forever, args=(0.05,), daemon=True).start()
        yield instance
        launch.shutdown()
        instance.wipe()
        assert instance.schedule_storage is not None
        instance.schedule_storage.wipe()


def run(instance: DagsterInstance, *events: DagsterEventType) -> None:
    origin = RemoteJobOrigin(REPOSITORY, "github_ingest")
    made = create_run_for_test(instance, "github_ingest", status=DagsterRunStatus.NOT_STARTED, remote_job_origin=origin)
    for event in events:
        instance.report_dagster_event(DagsterEvent(event.value, "github_ingest"), made.run_id)


def switch_on(instance: DagsterInstance, name: str, cron: str, since: float) -> None:
    data = ScheduleInstigatorData(cron, start_timestamp=since)
    origin = RemoteInstigatorOrigin(REPOSITORY, name)
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.DECLARED_IN_CODE, data)
    )


def tick(instance: DagsterInstance, name: str, status: TickStatus, at: float) -> None:
    origin = RemoteInstigatorOrigin(REPOSITORY, name)
    instance.create_tick(
        TickData(
            origin.get_id(),
            name,
            InstigatorType.SCHEDULE,
            status,
            at,
            error=FAILED if status == TickStatus.FAILURE else None,
            selector_id=origin.get_selector().get_id(),
        )
    )


def test_runs_queue_and_last_successes(instance: DagsterInstance) -> None:
    run(instance, DagsterEventType.RUN_ENQUEUED)
    run(instance, DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS)
    found = look()
    assert found.faults == {}
    assert sorted(found.runs) == [("github", "QUEUED", 1), ("github", "SUCCESS", 1)]
    ((location, job, at),) = found.successes
    assert (location, job) == ("github", "github_ingest")
    assert abs(at - time.time()) < 30
    assert len(found.queued) == 1
    assert abs(found.queued[0] - time.time()) < 30


def test_pools_that_a_run_holds_and_another_waits_for(instance: DagsterInstance) -> None:
    origin = RemoteJobOrigin(REPOSITORY, "github_ingest")
    for status, pools in (
        (DagsterRunStatus.STARTED, {"github_activity", "github_views"}),
        (DagsterRunStatus.QUEUED, {"github_activity", "github_catalog"}),
        (DagsterRunStatus.QUEUED, {"github_people"}),
    ):
        needs = RunOpConcurrency(root_key_counts={}, has_unconstrained_root_nodes=False, all_pools=pools)
        instance.add_run(DagsterRun("github_ingest", status=status, remote_job_origin=origin, run_op_concurrency=needs))
    ((pool, since, count),) = look().waiting
    assert (pool, count) == ("github_activity", 1)
    assert abs(since - time.time()) < 30


def test_heartbeats_of_the_daemon_that_lives(instance: DagsterInstance) -> None:
    now = time.time()
    instance.add_daemon_heartbeat(DaemonHeartbeat(now - 300, "SENSOR", "new", []))
    instance.add_daemon_heartbeat(DaemonHeartbeat(now, "SCHEDULER", "new", []))
    instance.add_daemon_heartbeat(DaemonHeartbeat(now - 900, "GONE", "old", []))
    assert look().heartbeats == pytest.approx({"SENSOR": now - 300, "SCHEDULER": now}, abs=1)


def test_schedules_with_their_ticks(instance: DagsterInstance) -> None:
    now = time.time()
    switch_on(instance, "hourly", "0 * * * *", now - 9000)
    tick(instance, "hourly", TickStatus.FAILURE, now - 5000)
    tick(instance, "hourly", TickStatus.FAILURE, now - 600)
    switch_on(instance, "new", "0 0 * * *", now - 60)
    hourly, new = sorted(look().instigators, key=lambda one: one.name)
    assert (hourly.location, hourly.kind, hourly.cron) == ("github", "SCHEDULE", ("0 * * * *",))
    assert (hourly.failing, hourly.failures) == (True, 1)
    assert hourly.ticks == pytest.approx((now - 5000, now - 600), abs=1)
    assert hourly.since == pytest.approx(now - 600, abs=1)
    assert (new.failing, new.failures, new.ticks) == (False, 0, ())
    assert new.since == pytest.approx(now - 60, abs=1)


def test_a_name_that_cannot_be_read_hides_no_other(instance: DagsterInstance) -> None:
    switch_on(instance, "half \ud800", "0 * * * *", 0.0)
    switch_on(instance, "nul \0", "0 * * * *", 0.0)
    switch_on(instance, "red \033[31m\nand a line", "0 * * * *", 0.0)
    switch_on(instance, "hourly", "0 * * * *", 0.0)
    found = look()
    assert found.faults == {}
    assert {one.name for one in found.instigators} == {"half ?", "nul ?", "red ?[31m?and a line", "hourly"}


def materialize(instance: DagsterInstance, table: str, **metadata: Any) -> None:
    instance.report_runless_asset_event(AssetMaterialization(AssetKey(["github", table]), metadata=metadata))


def test_rows_and_quota_of_the_latest_loads(instance: DagsterInstance, platform: Platform) -> None:
    materialize(instance, "issues", **{"dagster/row_count": 10, "rows_loaded": 10, "quota_left": 4000})
    materialize(instance, "issues", **{"dagster/row_count": 12, "rows_loaded": 2, "quota_left": 3000})
    materialize(instance, "labels", **{"dagster/row_count": 5, "rows_loaded": 5})
    begun = """INSERT INTO asset_keys (asset_key, last_materialization_timestamp)
      VALUES ('["github", "begun"]', '2024-01-01')"""  # a run plans to load it
    with closing(platform.connect("dagster", "dagster")) as storage, storage.cursor() as cursor:
        cursor.execute(begun)
    loads = look().loads
    assert loads == {"github": seen.Load(rows=17, rows_loaded=7, quota_left=3000)}


@pytest.mark.parametrize(
    "written",
    [
        "[" * 10_000,
        "1" * 5000,
        "{}",
        '{"dagster_event": []}',
        '{"dagster_event": "\\u0000"}',
        '{"dagster_event": {"x": 1e999}}',
    ],
)
def test_what_a_location_writes_into_its_assets_blinds_nobody(
    instance: DagsterInstance, platform: Platform, written: str
) -> None:
    materialize(instance, "labels", rows_loaded=5)
    materialize(instance, "issues", rows_loaded=float("inf"))
    statement = "UPDATE asset_keys SET last_materialization = %s WHERE asset_key LIKE '%%issues%%'"
    with closing(platform.connect("dagster", "dagster")) as storage, storage.cursor() as cursor:
        cursor.execute(statement, [written])
    found = look()
    assert found.faults == {}
    assert found.loads["github"].rows_loaded == 5


def test_its_login_reads_this_and_nothing_else(platform: Platform) -> None:
    assert platform.sql("monitor", "SELECT count(*) FROM public.runs", "dagster")
    for statement in (
        "SELECT run_body FROM public.runs",
        "SELECT event FROM public.event_logs",
        "SELECT value FROM public.run_tags",
        "UPDATE public.daemon_heartbeats SET timestamp = now()",
    ):
        with refused("permission denied|read-only"):
            platform.sql("monitor", statement, "dagster")
    for database in ("warehouse", "audit", "postgres"):
        with refused("permission denied for database"):
            platform.sql("monitor", "SELECT 1", database)


def test_what_cannot_be_asked_is_a_fault_and_the_rest_is_seen(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look().services == SERVICES
    monkeypatch.setattr(seen, "STORAGE", "host=/nowhere dbname=dagster")
    monkeypatch.setattr(seen, "LAUNCH", "http://127.0.0.1:9/services")
    found: Seen = look()
    assert found.faults.keys() == {"storage", "launch"}
    assert found.disk_size > found.disk_free > 0
