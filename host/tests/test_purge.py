"""What is purged and what stays, on a real Dagster instance; the engine is played."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import docker
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
from dagster._core.storage.tags import CODE_LOCATION_TAG
from dagster._core.test_utils import create_run_for_test

from ingest_host.launcher import PROJECT_LABEL
from ingest_host.purge import KEEP_RUNS, purge_containers, purge_runs

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
    """The id of a run that ended so long ago, and wrote a log."""
    started = DagsterRunStatus.STARTED
    run = create_run_for_test(instance, job, status=started, tags={CODE_LOCATION_TAG: location})
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
    """Also where another asset was materialized later, in a run of the same job."""

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


# Containers


class PlayedContainer:
    """What purge asks of a container."""

    def __init__(self, name: str, status: str, exit_code: int, ago: timedelta, *, busy: bool = False) -> None:
        self.name = name
        at = f"{NOW - ago:%Y-%m-%dT%H:%M:%S}.123456789Z"
        never = "0001-01-01T00:00:00Z"
        finished = never if status == "created" else at
        self.attrs: dict[str, Any] = {
            "Created": at if status == "created" else f"{NOW - 365 * DAY:%Y-%m-%dT%H:%M:%S}Z",
            "State": {"Status": status, "ExitCode": exit_code, "FinishedAt": finished},
        }
        self.busy = busy
        self.removed = False

    def remove(self, *, v: bool) -> None:
        assert v
        if self.busy:
            raise docker.errors.APIError("409", explanation="removal is already in progress")
        self.removed = True


class PlayedEngine:
    """Answers the one call that purge makes."""

    def __init__(self, *containers: PlayedContainer) -> None:
        self.all = containers
        self.containers = self

    def list(self, *, all: bool, filters: dict[str, Any], ignore_removed: bool) -> list[PlayedContainer]:  # noqa: A002
        assert all
        assert ignore_removed
        assert filters["label"] == f"{PROJECT_LABEL}=ingest"
        return [one for one in self.all if one.attrs["State"]["Status"] in filters["status"]]


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("status", "exit_code", "ago", "removed"),
    [
        ("exited", 0, 2 * HOUR, True),
        ("exited", 0, HOUR / 2, False),
        ("exited", 1, 6 * DAY, False),
        ("exited", 137, 8 * DAY, True),
        ("dead", 137, 8 * DAY, True),
        ("created", 0, HOUR / 2, False),
        ("created", 0, 2 * HOUR, True),
        ("running", 0, 8 * DAY, False),
    ],
)
def test_containers_stay_as_long_as_their_end_asks(status: str, exit_code: int, ago: timedelta, removed: bool) -> None:
    container = PlayedContainer("run", status, exit_code, ago)
    client = cast(docker.DockerClient, PlayedEngine(container))
    assert purge_containers(client, "ingest", NOW) == removed == container.removed


def test_a_container_that_cannot_be_removed_keeps_no_other() -> None:
    busy, other = (PlayedContainer(name, "exited", 0, 2 * HOUR, busy=name == "busy") for name in ("busy", "other"))
    assert purge_containers(cast(docker.DockerClient, PlayedEngine(busy, other)), "ingest", NOW) == 1
    assert other.removed
