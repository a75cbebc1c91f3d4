"""Evaluates schedules, sensors and backfills in threads of their location.

Dagster has one pool of threads for those of all locations: one whose code server does not answer, for a minute at each
tick, keeps the others waiting.
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
"""What Dagster's daemons of sensors, of schedules and of backfills make their threads with."""


def keep_locations_apart() -> None:
    """Replaces Dagster's pools; raises ``AttributeError`` where Dagster makes them otherwise."""
    for module in (daemon, scheduler):
        getattr(module, POOL)
        setattr(module, POOL, LocationThreads)


def forget_renamed(instance: DagsterInstance) -> None:
    """Has a sensor take the place of a schedule of its name that is gone, or the other way round.

    Dagster's storage keeps the state of one of them, and its daemons, which look for one of their own kind, would stop
    with an error at each look, before all other locations'.
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
    """Dagster's own pool, with ``max_workers`` threads for what each location evaluates, and as many for all else."""

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
    """Whose it is; of several locations where a backfill is of assets of theirs, which then has threads of its own."""
    if isinstance(evaluated, RemoteSchedule | RemoteSensor):
        return evaluated.handle.location_name
    if not isinstance(evaluated, PartitionBackfill):
        return ""
    if origin := evaluated.partition_set_origin:
        return origin.repository_origin.code_location_origin.location_name
    return " ".join(sorted({key.path[0] for key in evaluated.asset_selection or ()}))
