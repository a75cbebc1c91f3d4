"""What is purged and what is kept, on a real Dagster instance."""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import TimeoutExpired

import pytest
from dagster import (
    AssetKey,
    AssetSelection,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    Definitions,
    asset,
    define_asset_job,
)
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import CODE_LOCATION_TAG
from dagster._core.test_utils import create_run_for_test

from ingest_host.purge import KEEP_RUNS, purge_runs

from .conftest import Platform

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
ENDS = {
    DagsterRunStatus.SUCCESS: DagsterEventType.PIPELINE_SUCCESS,
    DagsterRunStatus.FAILURE: DagsterEventType.PIPELINE_FAILURE,
    DagsterRunStatus.CANCELED: DagsterEventType.PIPELINE_CANCELED,
}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def add_run(
    instance: DagsterInstance, job: str, status: DagsterRunStatus, age: timedelta, location: str = "github"
) -> str:
    """Adds a run that ended so long ago, and wrote a log; returns its id."""
    started = DagsterRunStatus.STARTED
    server = GrpcServerCodeLocationOrigin("127.0.0.1", 1, location_name=location)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(server, "__repository__"), job)
    tags = {CODE_LOCATION_TAG: location}
    run = create_run_for_test(instance, job, status=started, remote_job_origin=origin, tags=tags)
    if status in ENDS:
        event = DagsterEvent(event_type_value=ENDS[status].value, job_name=job)
        instance.run_storage.handle_run_event(run.run_id, event, NOW - age)
    with instance.compute_log_manager.capture_logs([run.run_id, "compute_logs", "step"]):
        print("a line")
    return str(run.run_id)


def left(instance: DagsterInstance) -> set[str]:
    return set(instance.get_run_ids())


@pytest.mark.parametrize(("status", "keep"), KEEP_RUNS.items())
def test_runs_stay_as_long_as_their_end_asks(
    instance: DagsterInstance, status: DagsterRunStatus, keep: timedelta
) -> None:
    add_run(instance, "ingest", status, keep + DAY)
    young = add_run(instance, "ingest", status, keep - DAY)
    assert purge_runs(instance, NOW) == 1
    assert left(instance) == {young}
    assert purge_runs(instance, NOW) == 0


def test_a_run_that_has_not_ended_stays(instance: DagsterInstance) -> None:
    run = add_run(instance, "ingest", DagsterRunStatus.STARTED, timedelta())
    assert purge_runs(instance, NOW + 365 * DAY) == 0
    assert left(instance) == {run}


def test_the_age_counts_from_the_end_in_utc(instance: DagsterInstance) -> None:
    keep = KEEP_RUNS[DagsterRunStatus.FAILURE]
    add_run(instance, "ingest", DagsterRunStatus.FAILURE, keep + timedelta(minutes=1))
    young = add_run(instance, "ingest", DagsterRunStatus.FAILURE, keep - timedelta(minutes=1))
    purge_runs(instance, NOW)
    assert left(instance) == {young}


def test_the_newest_success_of_each_job_of_a_location_stays(instance: DagsterInstance) -> None:
    """All locations have a job `__ASSET_JOB`."""
    kept = set()
    for location in ("github", "stripe"):
        for job in (f"{location}_ingest", "__ASSET_JOB"):
            for days in (60, 50, 40):
                newest = add_run(instance, job, DagsterRunStatus.SUCCESS, days * DAY, location)
            kept.add(newest)
    assert purge_runs(instance, NOW) == 8
    assert left(instance) == kept


def test_many_that_stay_do_not_hide_the_older_ones(instance: DagsterInstance) -> None:
    """Nor keep purge busy for ever."""
    old = [add_run(instance, "job0", DagsterRunStatus.SUCCESS, 60 * DAY) for _ in range(3)]
    kept = {add_run(instance, f"job{number}", DagsterRunStatus.SUCCESS, 40 * DAY) for number in range(25)}
    assert purge_runs(instance, NOW) == len(old)
    assert left(instance) == kept


def test_what_an_asset_last_told_stays(instance: DagsterInstance) -> None:
    """Even if another asset was materialized later, in a run of the same job."""

    @asset
    def issues() -> None:
        print("issues")

    @asset
    def commits() -> None:
        print("commits")

    def materialize(name: str) -> str:
        job = define_asset_job("ingest", selection=AssetSelection.assets(name))
        definitions = Definitions(assets=[issues, commits], jobs=[job])
        return definitions.resolve_job_def("ingest").execute_in_process(instance=instance).run_id

    old, *latest = [materialize(name) for name in ("issues", "issues", "commits")]
    assert purge_runs(instance, NOW + 365 * DAY) == 1
    assert left(instance) == set(latest) == left(instance) - {old}
    for key in ("issues", "commits"):
        assert instance.fetch_materializations(AssetKey(key), limit=1).records


def test_logs_and_events_go_with_their_run(instance: DagsterInstance, tmp_path: Path) -> None:
    old = add_run(instance, "ingest", DagsterRunStatus.FAILURE, 100 * DAY)
    young = add_run(instance, "ingest", DagsterRunStatus.FAILURE, DAY)
    assert {file.parents[1].name for file in tmp_path.rglob("*.out")} == {old, young}
    instance.report_engine_event("a line", run_id=old, job_name="ingest")
    purge_runs(instance, NOW)
    assert {file.parents[1].name for file in tmp_path.rglob("*.out")} == {young}
    assert [path for path in tmp_path.rglob("*") if path.is_dir() and old in path.name] == []
    assert instance.all_logs(old) == []


def test_a_run_that_its_location_keeps_locked_keeps_no_other(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """Purge waits for one of them, not for each."""
    platform.location("one")
    platform.sql("postgres", "ALTER ROLE dagster SET lock_timeout = '4s'", "dagster")
    with DagsterInstance.get() as instance, closing(platform.connect("dagster-one", "dagster")) as holding:
        add_run(instance, "ingest", DagsterRunStatus.FAILURE, 100 * DAY)
        locked = [add_run(instance, "ingest", DagsterRunStatus.FAILURE, 100 * DAY, "one") for _ in range(3)]
        holding.autocommit = False
        holding.cursor().execute("SELECT FROM runs FOR UPDATE")
        started = time.monotonic()
        assert purge_runs(instance, NOW) == 1
        assert time.monotonic() - started < 8
        assert left(instance) == set(locked)
        assert "runs of one from" in caplog.text
        holding.rollback()
        assert purge_runs(instance, NOW) == 3


def test_nor_does_one_whose_output_is_too_much(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_run(instance, "ingest", DagsterRunStatus.FAILURE, 100 * DAY)
    many = [add_run(instance, "ingest", DagsterRunStatus.FAILURE, 100 * DAY, "stripe") for _ in range(3)]
    tried, delete = [], instance.compute_log_manager.delete_logs

    def delete_logs(*, prefix: list[str]) -> None:
        tried.extend(prefix)
        if prefix[0] in many:
            raise TimeoutExpired("rm", 60)
        delete(prefix=prefix)

    monkeypatch.setattr(instance.compute_log_manager, "delete_logs", delete_logs)
    assert purge_runs(instance, NOW) == 1
    assert left(instance) == set(many)
    assert len(tried) == 2
    assert "runs of stripe from" in caplog.text


# Containers
