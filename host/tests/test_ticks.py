"""Schedules, sensors and backfills of a location that hangs do not delay those of others."""

import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
)
from dagster._core.test_utils import instance_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon import backfill, daemon, sensor
from dagster._scheduler import scheduler
from dagster._time import get_current_datetime

from ingest_host.ticks import POOL, LocationThreads, forget_renamed, keep_locations_apart

CODE = Path(__file__).with_name("hanging_location.py")
LOGGER = logging.getLogger(__name__)
WORKERS = 2
"""Fewer than there are sensors that hang."""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("released") / "now"


@pytest.fixture(scope="module")
def process(released: Path) -> Iterator[WorkspaceProcessContext]:
    """Both locations, first the one that hangs, each with its own code server."""
    locations = [
        {"python_file": {"relative_path": str(CODE), "attribute": name, "location_name": name}}
        for name in ("hanging", "quick")
    ]
    workspace = released.with_name("workspace.yaml")
    workspace.write_text(yaml.safe_dump({"load_from": locations}))
    with pytest.MonkeyPatch.context() as patch, instance_for_test() as instance:
        patch.setitem(os.environ, "RELEASED", str(released))
        with WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as context:
            yield context


Futures = dict[str, Future[Any]]


def sensors(process: WorkspaceProcessContext, pool: ThreadPoolExecutor, futures: Futures) -> None:
    """Runs an iteration, in which Dagster evaluates the sensors whose previous evaluation has ended."""
    time.sleep(1)  # their interval
    list(sensor.execute_sensor_iteration(process, LOGGER, pool, None, futures))


def schedules(process: WorkspaceProcessContext, pool: ThreadPoolExecutor, futures: Futures) -> None:
    """Runs an iteration now and one for two minutes later: a schedule is never due when it is first seen."""
    for minutes in (0, 2):
        at = get_current_datetime() + timedelta(minutes=minutes)
        list(scheduler.launch_scheduled_runs(process, LOGGER, at, {}, pool, scheduler_run_futures=futures))
        wait(futures.values(), timeout=5 if minutes == 0 else 0)


def backfills(process: WorkspaceProcessContext, pool: ThreadPoolExecutor, futures: Futures) -> None:
    """Backfills each partitioned job."""
    context = process.create_request_context()
    for location in context.code_locations:
        for partitions in location.get_repository("__repository__").get_partition_sets():
            origin = partitions.get_remote_origin()
            at = time.time() + (location.name == "quick")  # the last
            one = PartitionBackfill(
                origin.get_id(),
                BulkActionStatus.REQUESTED,
                False,
                {},
                at,
                partition_set_origin=origin,
                partition_names=["a"],
            )
            if not process.instance.get_backfill(one.backfill_id):
                process.instance.add_backfill(one)
    list(backfill.execute_backfill_iteration(process, LOGGER, pool, None, futures))


@pytest.mark.parametrize("evaluated", [sensors, schedules, backfills])
def test_a_location_that_hangs_keeps_no_other_waiting(
    process: WorkspaceProcessContext, released: Path, evaluated: Any
) -> None:
    futures: Futures = {}
    with LocationThreads(max_workers=WORKERS) as pool:
        try:
            for _ in range(2):  # of the first, the quick one may have been evaluated first
                evaluated(process, pool, futures)
                done, _ = wait(futures.values(), timeout=20, return_when=FIRST_COMPLETED)
                assert (len(futures), len(done)) == (4, 1)
        finally:
            released.touch()
        done, _ = wait(futures.values(), timeout=60)
        assert len(done) == 4
    released.unlink()


def test_the_daemons_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (daemon, scheduler):
        monkeypatch.setattr(module, POOL, getattr(module, POOL))
    keep_locations_apart()
    settings = {"use_threads": True, "num_workers": WORKERS}
    assert isinstance(daemon.SensorDaemon(settings)._threadpool_executor, LocationThreads)
    assert getattr(scheduler, POOL) is LocationThreads


def instigator(kind: InstigatorType, name: str = "nightly") -> InstigatorState:
    server = GrpcServerCodeLocationOrigin("127.0.0.1", 1, location_name="one")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(server, "__repository__"), name)
    data = ScheduleInstigatorData("@daily") if kind == InstigatorType.SCHEDULE else SensorInstigatorData()
    return InstigatorState(origin, kind, InstigatorStatus.DECLARED_IN_CODE, data)


@pytest.mark.parametrize("first", [InstigatorType.SCHEDULE, InstigatorType.SENSOR])
def test_a_sensor_takes_the_place_of_a_schedule_of_its_name(first: InstigatorType) -> None:
    """Otherwise the daemon stops before the sensors of all locations, in each round."""
    (second,) = {InstigatorType.SCHEDULE, InstigatorType.SENSOR} - {first}
    with instance_for_test() as instance:
        instance.add_instigator_state(instigator(first))
        with pytest.raises(DagsterInvariantViolationError, match="is already present"):
            instance.add_instigator_state(instigator(second))
        forget_renamed(instance)
        instance.add_instigator_state(instigator(second))
        (kept,) = instance.all_instigator_state()
        assert kept.instigator_type == second
        with pytest.raises(DagsterInvariantViolationError, match="is already present"):
            instance.add_instigator_state(instigator(second))
