"""What the monitor sees, as metrics for Prometheus. Rules and a dashboard that use their names: deploy/monitoring/."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest_host.monitor.problems import UNTELLABLE, missed, overdue, problems
from ingest_host.monitor.seen import Seen


class Metrics(Collector):
    """Metrics of the latest state, whose time is in ``ingest_seen_timestamp_seconds``."""

    def __init__(self, last: Callable[[], Seen | None]) -> None:
        self._last = last

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        if (seen := self._last()) is None:
            return
        yield _of("seen_timestamp_seconds", "When the monitor last checked the platform.", {(): seen.at})
        yield _of("problems", "Problems; see docs/operations.md", dict.fromkeys(_keys(problems(seen)), 1), "problem")
        yield _of("disk_free_bytes", "Free space of the engine's disk.", {(): seen.disk_free})
        yield _of("disk_size_bytes", "Size of the engine's disk.", {(): seen.disk_size})
        if "storage" not in seen.faults:
            yield from _storage(seen)
        if "launch" not in seen.faults:
            kept = [one for one in seen.services if one["keeps"]]
            up = {(one["service"],): one["status"] == "running" and one["health"] != "unhealthy" for one in kept}
            restarts = {(one["service"],): one["restarts"] for one in kept}
            yield _of("service_up", "Whether a container runs and is not unhealthy.", up, "service")
            yield _of("service_restarts", "How often the engine has restarted it.", restarts, "service")


def _storage(seen: Seen) -> Iterator[Metric]:
    runs = {(location, status): count for location, status, count in seen.runs}
    yield _of("runs", "Runs that are kept, by state.", runs, "location", "status")
    successes = {(location, job): at for location, job, at in seen.successes}
    yield _of("job_success_timestamp_seconds", "When a job last succeeded.", successes, "location", "job")
    yield _of("queue_runs", "Runs in the queue.", {(): len(seen.queued)})
    oldest = seen.at - seen.queued[0] if seen.queued else 0
    yield _of("queue_oldest_seconds", "How long the oldest of them has waited.", {(): oldest})
    waiting = {(pool,): count for pool, _, count in seen.waiting}
    yield _of("pool_waiting_runs", "Runs that wait for a pool that another run holds.", waiting, "pool")
    longest = {(pool,): seen.at - since for pool, since, _ in seen.waiting}
    yield _of("pool_wait_seconds", "How long the oldest of them has waited for its pool.", longest, "pool")
    heartbeats = {(name,): at for name, at in seen.heartbeats.items()}
    yield _of("daemon_heartbeat_timestamp_seconds", "Last heartbeat of a daemon.", heartbeats, "daemon")
    late: dict[tuple[str, str], float] = {}
    absent: dict[tuple[str, str], float] = {}
    for one in (one for one in seen.instigators if one.cron):
        with suppress(*UNTELLABLE):  # reported as a problem of its own
            late[one.location, one.name] = overdue(one, seen.at)
            absent[one.location, one.name] = missed(one, seen.at)
    yield _of("ticks_missed", "Ticks missed in the last day, at least.", absent, "location", "schedule")
    yield _of("schedule_overdue_seconds", "How late a schedule is.", late, "location", "schedule")
    failed = {(one.location, one.name): one.failures for one in seen.instigators}
    yield _of("ticks_failed", "Ticks that failed in the last hour.", failed, "location", "name")
    for name, text in (
        ("rows", "Rows in the warehouse, as the latest loads reported."),
        ("rows_loaded", "Rows that the latest load of each table loaded."),
        ("quota_left", "API calls left after the latest load."),
    ):
        values = {(location,): getattr(load, name) for location, load in seen.loads.items()}
        yield _of(name, text, {key: value for key, value in values.items() if value is not None}, "location")


def _keys(found: dict[str, str]) -> list[tuple[str, ...]]:
    return [(key,) for key in found]


def _of(name: str, text: str, values: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(f"ingest_{name}", text, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, value)
    return metric
