"""Evaluates schedules, sensors and backfills in separate threads for each location.

Dagster has one thread pool for all locations: one whose code server does not answer, for a minute at each tick, keeps
the others waiting.
"""

from typing import Any, cast

from dagster import DagsterInstance
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.remote_representation.external import RemoteSchedule, RemoteSensor
from dagster._core.scheduler.instigation import InstigatorState
from dagster._core.utils import InheritContextThreadPoolExecutor
from dagster._daemon import daemon
from dagster._scheduler import scheduler

POOL = "InheritContextThreadPoolExecutor"
"""The class with which Dagster's sensor, schedule and backfill daemons create their threads."""


def keep_locations_apart() -> None:
    """Replaces Dagster's thread pools; raises ``AttributeError`` if Dagster has renamed their class."""
    for module in (daemon, scheduler):
        getattr(module, POOL)
        setattr(module, POOL, LocationThreads)


def forget_renamed(instance: DagsterInstance) -> None:
    """Lets a sensor replace a schedule of the same name that no longer exists, or the other way round.

    Dagster's storage keeps one state for both, and a daemon that finds the state of the other kind would stop with an
    error in each round, before it comes to other locations.
    """
    storage: Any = instance.schedule_storage
    add = storage.add_instigator_state

    def added(state: InstigatorState) -> InstigatorState:
        at = (state.instigator_origin_id, state.selector_id)
        before = storage.get_instigator_state(*at)
        if before and before.instigator_type != state.instigator_type:
            storage.delete_instigator_state(*at)
        return cast(InstigatorState, add(state))

    storage.add_instigator_state = added


class LocationThreads(InheritContextThreadPoolExecutor):
    """Dagster's own pool, with ``max_workers`` threads for each location, and as many for everything else."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._options = options
        self._pools: dict[str, InheritContextThreadPoolExecutor] = {}

    def submit(self, fn: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        name = next(filter(None, map(_location, args)), "")
        if not name:
            return super().submit(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        if name not in self._pools:
            self._pools[name] = InheritContextThreadPoolExecutor(**self._options)
        return self._pools[name].submit(fn, *args, **kwargs)  # type: ignore[no-untyped-call]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for pool in self._pools.values():
            pool.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)


def _location(evaluated: object) -> str:
    """Returns the location of what is evaluated, or an empty string.

    A backfill of several locations' assets gets all their names, and with them threads of its own.
    """
    if isinstance(evaluated, RemoteSchedule | RemoteSensor):
        return evaluated.handle.location_name
    if not isinstance(evaluated, PartitionBackfill):
        return ""
    if origin := evaluated.partition_set_origin:
        return origin.repository_origin.code_location_origin.location_name
    return " ".join(sorted({key.path[0] for key in evaluated.asset_selection or ()}))
