"""What the monitor sees: facts from Dagster's storage, the containers and the disk, each with its time.

Times are in seconds since 1970. What a location may have written (the metadata of its assets) is parsed with
care: a value that is not a number is ignored.
"""

import json
import os
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import yaml

STORAGE = "service=dagster"
"""A service in PGSERVICEFILE, which signs in as `monitor`."""
LAUNCH = "http://launch:2300/services"
TOKEN = Path("/run/secrets/watch-token")
DISK = "/"
"""A container's own file system is on the same disk as the engine's volumes."""
WORKSPACE = Path("/opt/dagster/workspace/workspace.yaml")
TIMEOUT = 5
PATH = ("event_log_entry", "dagster_event", "event_specific_data", "materialization", "metadata_entries")
"""The path of an asset's metadata in Dagster's record of its latest materialization."""
CRON_LINES = 100
"""Cron lines of one schedule that are read, at most."""
MOST = 1e15
"""More than any real count: a larger number is ignored."""
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))

RUNS = """SELECT coalesce(ingest_location, ''), status, count(*) FROM runs GROUP BY 1, 2"""
SUCCESSES = """SELECT ingest_location, pipeline_name, max(end_time) FROM runs
  WHERE status = 'SUCCESS' AND ingest_location IS NOT NULL AND end_time IS NOT NULL GROUP BY 1, 2"""
QUEUE = """SELECT extract(epoch FROM create_timestamp AT TIME ZONE 'utc') FROM runs WHERE status = 'QUEUED'"""
WAITING = """SELECT substr(key, length('.dagster/pool/') + 1),
    extract(epoch FROM min(create_timestamp) AT TIME ZONE 'utc'), count(*)
  FROM runs JOIN run_tags USING (run_id)
  WHERE status = 'QUEUED' AND starts_with(key, '.dagster/pool/') AND key IN (
    SELECT key FROM runs JOIN run_tags USING (run_id) WHERE status IN ('STARTING', 'STARTED', 'CANCELING'))
  GROUP BY 1"""
"""Pools that one run holds and another waits for; the tags of a run name its pools."""
HEARTBEATS = """SELECT daemon_type, extract(epoch FROM timestamp AT TIME ZONE 'utc') FROM daemon_heartbeats
  WHERE daemon_id = (SELECT daemon_id FROM daemon_heartbeats ORDER BY timestamp DESC LIMIT 1)"""
INSTIGATORS = """SELECT instigator_type, instigator_body,
    (SELECT json_build_array(status, extract(epoch FROM timestamp AT TIME ZONE 'utc')) FROM job_ticks
      WHERE job_ticks.selector_id = instigators.selector_id ORDER BY timestamp DESC LIMIT 1),
    (SELECT count(*) FROM job_ticks WHERE job_ticks.selector_id = instigators.selector_id
      AND job_ticks.status = 'FAILURE' AND timestamp > now() AT TIME ZONE 'utc' - interval '1 hour'),
    CASE instigator_type WHEN 'SCHEDULE' THEN
      (SELECT json_agg(extract(epoch FROM timestamp AT TIME ZONE 'utc')::bigint ORDER BY timestamp) FROM job_ticks
        WHERE job_ticks.selector_id = instigators.selector_id
          AND timestamp > now() AT TIME ZONE 'utc' - interval '1 day') END
  FROM instigators WHERE status IN ('RUNNING', 'DECLARED_IN_CODE') AND length(instigator_body) < 1000000"""
LOADS = """SELECT asset_key, last_materialization FROM (
    SELECT *, sum(length(last_materialization)) OVER (
      PARTITION BY split_part(asset_key, '"', 2) ORDER BY last_materialization_timestamp DESC) AS characters
    FROM (SELECT asset_key, last_materialization, last_materialization_timestamp FROM asset_keys
      WHERE last_materialization IS NOT NULL) AS own
  ) AS told WHERE characters < 2000000 ORDER BY last_materialization_timestamp"""
"""Only the newest of each location, since the monitor holds them all in memory."""


@dataclass(frozen=True)
class Instigator:
    """A schedule or sensor that is switched on, and its ticks."""

    location: str
    name: str
    kind: str
    cron: tuple[str, ...]
    since: float
    """When it was last evaluated or switched on, whichever is later."""
    failing: bool
    """Whether its last tick failed."""
    failures: int
    """Ticks that failed in the last hour."""
    ticks: tuple[float, ...] = ()
    """When a schedule was evaluated in the last day, since it was switched on."""


@dataclass
class Load:
    """What the latest loads of a location's tables reported."""

    rows: float = 0
    rows_loaded: float = 0
    quota_left: float | None = None


@dataclass
class Seen:
    """The state of the platform at one time; ``faults`` says what could not be checked, and why."""

    at: float
    locations: list[str] = field(default_factory=list)
    runs: list[tuple[str, str, int]] = field(default_factory=list)
    """Location, status, number of runs."""
    successes: list[tuple[str, str, float]] = field(default_factory=list)
    """Location, job, when it last succeeded."""
    queued: list[float] = field(default_factory=list)
    """Since when each run has been queued, the oldest first."""
    waiting: list[tuple[str, float, int]] = field(default_factory=list)
    """Pool, since when the oldest run has waited for it, number of waiting runs."""
    heartbeats: dict[str, float] = field(default_factory=dict)
    instigators: list[Instigator] = field(default_factory=list)
    loads: dict[str, Load] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    """As the launch service returns them: :func:`ingest_host.launch.Launch.services`."""
    ended: dict[str, str] = field(default_factory=dict)
    """Logins whose sessions were ended, and why: :mod:`ingest_host.monitor.guard`."""
    disk_free: int = 0
    disk_size: int = 0
    faults: dict[str, str] = field(default_factory=dict)


def look() -> Seen:
    """Returns the current state; what cannot be checked is recorded as a fault, and does not affect the rest."""
    seen = Seen(time.time())
    workspace = yaml.safe_load(WORKSPACE.read_text()) or {}
    seen.locations = [one["grpc_server"]["location_name"] for one in workspace.get("load_from") or []]
    try:
        _look_at_storage(seen)
    except psycopg2.Error as error:
        seen.faults["storage"] = str(error).strip().partition("\n")[0] or type(error).__name__
    try:
        request = urllib.request.Request(LAUNCH, headers={"Authorization": f"Bearer {TOKEN.read_text()}"})
        with _HTTP.open(request, timeout=TIMEOUT) as answer:
            seen.services = json.load(answer)["services"]
    except OSError as error:
        seen.faults["launch"] = str(error)
    disk = os.statvfs(DISK)
    seen.disk_free, seen.disk_size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return seen


def _look_at_storage(seen: Seen) -> None:
    with closing(psycopg2.connect(STORAGE, connect_timeout=TIMEOUT)) as storage, storage.cursor() as cursor:

        def rows(statement: str) -> list[tuple[Any, ...]]:
            cursor.execute(statement)
            return cursor.fetchall()

        cursor.execute(f"SET statement_timeout = '{TIMEOUT}s'")
        seen.runs = [(location, status, count) for location, status, count in rows(RUNS)]
        seen.successes = [(location, job, float(at)) for location, job, at in rows(SUCCESSES)]
        seen.queued = sorted(float(at) for (at,) in rows(QUEUE))
        seen.waiting = [(_text(pool), float(at), count) for pool, at, count in rows(WAITING)]
        seen.heartbeats = {daemon: float(at) for daemon, at in rows(HEARTBEATS)}
        seen.instigators = [_instigator(*row) for row in rows(INSTIGATORS)]
        seen.loads = _loads(rows(LOADS))


def _instigator(
    kind: str, body: str, last: tuple[str, float] | None, failures: int, ticks: list[float] | None
) -> Instigator:
    record = _read(body)
    origin, data = _part(record, "origin"), _part(record, "job_specific_data")
    where = _part(origin, "external_repository_origin", "repository_location_origin")
    status, at = last or ("", 0)
    crons, since = data.get("cron_schedule"), data.get("start_timestamp")
    return Instigator(
        location=_text(where.get("location_name")),
        name=_text(origin.get("job_name") or origin.get("instigator_name")),
        kind=kind,
        cron=tuple(map(_text, [crons] if isinstance(crons, str) else (crons or ())[:CRON_LINES])),
        since=max(float(at), float(since or 0)),
        failing=status == "FAILURE",
        failures=failures,
        ticks=tuple(at for at in map(float, ticks or ()) if at >= float(since or 0)),
    )


def _loads(rows: list[tuple[str, str]]) -> dict[str, Load]:
    loads: dict[str, Load] = {}
    for asset, materialization in rows:
        key, numbers = _read(asset), _numbers(_read(materialization))
        load = loads.setdefault(str(key[0]) if isinstance(key, list) and key else "", Load())
        load.rows += numbers.get("dagster/row_count", 0)
        load.rows_loaded += numbers.get("rows_loaded", 0)
        load.quota_left = numbers.get("quota_left", load.quota_left)
    return loads


def _read(text: str) -> Any:
    """Parses what a location wrote; None if it is not JSON. Postgres does not parse it: one such row ends the query."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _part(record: Any, *names: str) -> dict[str, Any]:
    """Returns the nested mapping at these names in a record; empty if there is none."""
    for name in names:
        record = record.get(name) if isinstance(record, dict) else None
    return record if isinstance(record, dict) else {}


def _text(value: Any) -> str:
    """Returns one line that can be sent on and that a terminal does not execute, whatever a location called itself."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value or ""))


def _numbers(event: Any) -> dict[str, float]:
    """Returns the metadata of an event by label, of values that are numbers."""
    for name in PATH:
        event = event.get(name) if isinstance(event, dict) else None
    found = {}
    for entry in event if isinstance(event, list) else []:
        label, data = (entry.get("label"), entry.get("entry_data")) if isinstance(entry, dict) else (None, None)
        value = data.get("value") if isinstance(data, dict) else None
        if isinstance(label, str) and isinstance(value, int | float) and abs(value) < MOST:
            found[label] = float(value)
    return found
