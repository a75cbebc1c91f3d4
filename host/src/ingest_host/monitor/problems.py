"""The problems in what the monitor sees: a line each, with where to look. docs/operations.md says what to do."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise

from croniter import croniter

from ingest_host.monitor.seen import Instigator, Seen

HEARTBEAT_SECONDS = 120
"""Dagster's daemons write a heartbeat every 30 s."""
FLAPPING_SECONDS = 120
"""How long a container that was restarted stays a problem."""
GRACE_SECONDS = 600
"""How late a schedule may be before it is overdue; ticks may have to wait for a code server."""
QUEUE_SECONDS = 3600
DISK_FREE = float(os.environ.get("INGEST_DISK_FREE") or 0.1)
"""The share of the disk that must be free: Postgres stops when the disk is full."""

UNTELLABLE = (ValueError, TypeError, OverflowError, AttributeError)
"""What a cron line may raise: a location's code may put anything there."""

HOST = ("daemon", "front", "launch", "postgres", "purge", "turnstile", "webserver")
"""Services that are always there, in addition to the code server of each location."""


def problems(seen: Seen) -> dict[str, str]:
    """Returns the line of each problem by a key that names its cause; one alert is sent for each key."""
    found = {f"{what}: fault": f"{what}: cannot be asked: {why}" for what, why in seen.faults.items()}
    if "storage" not in seen.faults:
        found |= dict(_daemons(seen)) | dict(_instigators(seen)) | dict(_queue(seen))
    if "launch" not in seen.faults:
        found |= dict(_services(seen))
    return found | dict(_disk(seen)) | dict(_greedy(seen))


def _daemons(seen: Seen) -> Iterator[tuple[str, str]]:
    if not seen.heartbeats:
        yield "daemon: heartbeat", "daemon: no heartbeat at all; runs are neither scheduled nor started"
    silent = {name: seen.at - at for name, at in seen.heartbeats.items() if seen.at - at > HEARTBEAT_SECONDS}
    if silent:
        # One key, since they are threads of one process.
        longest = max(silent.values())
        yield "daemon: heartbeat", f"daemon: no heartbeat of {', '.join(sorted(silent))} for {longest:.0f} s"


def _services(seen: Seen) -> Iterator[tuple[str, str]]:
    """Yields the problems of services that should always run, not of those that run once and end."""
    found = {one["service"]: one for one in seen.services if one["keeps"]}
    for name in sorted({*HOST, *seen.locations, *found}):
        service = found.get(name)
        if service is None:
            start = "make up" if name in HOST else f"make deploy LOCATION={name}"
            yield f"{name}: gone", f"{name}: it has no container; `{start}` starts it"
        elif service["status"] != "running":
            yield f"{name}: state", f"{name}: {service['status']}, exit code {service['exit_code']}"
        elif service["health"] == "unhealthy":
            yield f"{name}: health", f"{name}: running, but unhealthy"
        elif service["restarts"] and seen.at - service["started"] < FLAPPING_SECONDS:
            yield f"{name}: state", f"{name}: died and was started again, {service['restarts']} times so far"


def _instigators(seen: Seen) -> Iterator[tuple[str, str]]:
    for one in seen.instigators:
        if one.location not in seen.locations:  # removed
            continue
        if one.failing:
            yield f"{one.name}: tick", f"{one.name}: its last tick failed, {one.failures} in the last hour"
        try:
            late = overdue(one, seen.at)
        except UNTELLABLE as error:
            yield f"{one.name}: cron", f"{one.name}: cannot tell when {one.cron!r} is due ({error})"
            continue
        if late > 0:
            yield f"{one.name}: overdue", f"{one.name}: overdue for {late / 60:.0f} min"


def overdue(one: Instigator, now: float) -> float:
    """Returns the seconds by which a schedule is late; 0 if it is on time, or is a sensor.

    Its time zone is not stored, so nobody knows when it was due. Instead, it is late if it had no tick for longer than
    the longest time between two.
    """
    if not one.cron or not one.since:
        return 0
    longest = min(map(_longest_gap, one.cron))
    return max(0.0, now - one.since - longest - GRACE_SECONDS)


def missed(one: Instigator, now: float) -> int:
    """Returns how many ticks of a schedule were missed in the last day, at least; 0 for a sensor.

    As for :func:`overdue`, what counts is the time between two ticks: each longest interval in it is one missed tick.
    """
    if not one.cron or not one.ticks:
        return 0
    longest = min(map(_longest_gap, one.cron))
    gaps = [later - earlier for earlier, later in pairwise((*one.ticks, now))]
    return sum(int(max(0.0, gap - GRACE_SECONDS) // longest) for gap in gaps)


@lru_cache(1000)
def _longest_gap(cron: str) -> float:
    """Returns the longest of the next few intervals of a cron line, in seconds."""
    times = croniter(cron, datetime.now(UTC))
    due: list[float] = [times.get_next(float) for _ in range(50)]
    return max(later - earlier for earlier, later in pairwise(due))


def _queue(seen: Seen) -> Iterator[tuple[str, str]]:
    if seen.queued and seen.at - seen.queued[0] > QUEUE_SECONDS:
        hours = (seen.at - seen.queued[0]) / 3600
        yield "queue: stuck", f"queue: {len(seen.queued)} runs wait, the oldest for {hours:.1f} h"


def _disk(seen: Seen) -> Iterator[tuple[str, str]]:
    if seen.disk_free < seen.disk_size * DISK_FREE:
        free, size = seen.disk_free / 2**30, seen.disk_size / 2**30
        yield "disk: full", f"disk: {free:.1f} of {size:.0f} GB free; `docker system df` says what fills it"


def _greedy(seen: Seen) -> Iterator[tuple[str, str]]:
    for login, why in seen.ended.items():
        yield f"{login}: sessions", f"{login}: its sessions in Postgres were ended: {why}"
