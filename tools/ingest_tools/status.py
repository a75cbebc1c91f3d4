"""The platform's locations and services in two tables, and its problems."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from ingest_tools.audit import refusal
from ingest_tools.cluster import Cluster
from ingest_tools.dagster_api import Location, Platform, PlatformError, Run
from ingest_tools.engine import LOOPBACK, Deployment, EngineError
from ingest_tools.local import HTTP, cause
from ingest_tools.options import KUBERNETES, on, to_json
from ingest_tools.table import aligned

TIMEOUT = 10
WILL_RETRY = "dagster/will_retry"
NEWEST = 50
"""Runs of a location that are looked at: the newest of each job is among them."""
SERVICES = ("service", "state", "restarts")
HEAD = ("location", "image", "state", "schedules", "last run", "ended", "when", "rows")

_ROWS = """{ assetNodes { repository { location { name } }
  assetMaterializations(limit: 1) { metadataEntries { label ... on IntMetadataEntry { intValue } } } } }"""


def rows_of(platform: Platform) -> dict[str, int]:
    """Rows in the warehouse by location, as the latest loads reported."""
    rows: dict[str, int] = {}
    for asset in platform.query(_ROWS)["assetNodes"]:
        location = asset["repository"]["location"]["name"]
        for entry in (entry for told in asset["assetMaterializations"] for entry in told["metadataEntries"]):
            if entry["label"] == "dagster/row_count":
                rows[location] = rows.get(location, 0) + int(entry["intValue"])
    return rows


def newest_runs(platform: Platform, location: str) -> dict[str, Run]:
    """The newest run of each job of a location, the newest first."""
    tags = [{"key": "dagster/code_location", "value": location}]
    runs: dict[str, Run] = {}
    for run in platform.runs(NEWEST, tags=tags):
        runs.setdefault(run.job, run)
    return runs


def located(location: Location, runs: dict[str, Run], rows: int | None) -> dict[str, Any]:
    """A location in the JSON output."""
    told = [_told(run) for run in runs.values()]
    failed = [_told(run) for job, run in runs.items() if job in location.jobs and has_failed(run)]
    return {
        "location": location.name,
        "image": location.image,
        "loaded": location.loaded,
        "error": location.error or ("" if location.loaded else location.status),
        "schedules": dict(location.schedules),
        "last_run": told[0] if told else None,
        "failed": failed,
        "rows": rows,
    }


def _told(run: Run) -> dict[str, str]:
    ended = datetime.fromtimestamp(run.ended or run.created, UTC).isoformat(timespec="minutes")
    return {"id": run.id, "job": run.job, "status": run.status, "when": ended}


def has_failed(run: Run) -> bool:
    """Whether a run failed and is not tried again; of one asset, somebody launched it and saw how it ended."""
    return run.status == "FAILURE" and run.tags.get(WILL_RETRY) != "true" and not run.job.startswith("__")


def problems(found: dict[str, Any], deployment: Deployment) -> Iterator[str]:
    """What is wrong with a location, a line each."""
    name = found["location"]
    if found["error"]:
        with suppress(EngineError):  # the platform's own line says what is wrong with it
            if why := refusal(deployment, name):
                yield why
        yield f"{name}: {found['error'].splitlines()[-1]}"
    for run in found["failed"]:
        yield f"{name}: the last run of {run['job']} failed: {deployment.platform.url}/runs/{run['id']}"


def line(found: dict[str, Any]) -> tuple[str, ...]:
    """A location as a line of the table."""
    schedules, run, rows = found["schedules"], found["last_run"], found["rows"]
    return (
        found["location"],
        found["image"].rpartition(":")[2],
        "loaded" if found["loaded"] else "ERROR",
        f"{list(schedules.values()).count('RUNNING')} of {len(schedules)} running",
        run["job"] if run else "none",
        run["status"] if run else "",
        run["when"][:16].replace("T", " ") if run else "",
        "" if rows is None else f"{rows:,}",
    )


def watched(deployment: Deployment) -> dict[str, Any]:
    """What the monitor reports: ``problems``, a line each, and ``services``."""
    url = f"http://{LOOPBACK}:{deployment.setting('INGEST_METRICS_PORT') or 9465}/status"
    try:
        with HTTP.open(url, timeout=TIMEOUT) as answer:
            told: dict[str, Any] = json.load(answer)
    except OSError as error:
        return {"problems": [f"monitor: {url} does not answer ({cause(error)}): start it with `make up`"]}
    return told


def pods(cluster: Cluster) -> dict[str, Any]:
    """What the cluster reports, in the monitor's words."""
    found = cluster.services()
    ill = [one for one in found if one["health"] != "healthy"]
    return {"problems": [f"{one['service']}: {one['status']}, {one['health']}" for one in ill], "services": found}


def services(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each container that should always be running."""
    kept = [one for one in told["services"] if one["keeps"]]
    return sorted(
        (one["service"], f"{one['status']}, {one['health']}".rstrip(", "), str(one["restarts"])) for one in kept
    )


def locations(platform: Platform) -> list[dict[str, Any]]:
    """What the UI knows of each location, in order."""
    rows = rows_of(platform)
    found = sorted(platform.locations().items())
    return [located(one, newest_runs(platform, name), rows.get(name)) for name, one in found]


@click.command(epilog="Example: ingest status --json")
@on
@to_json
def status_command(engine: str, *, as_json: bool) -> int:
    """Show services, locations, schedules, last runs, rows and problems.

    If there are problems, prints a line for each, and the exit code is 1.
    """
    deployment = Cluster.here() if engine == KUBERNETES else Deployment.here()
    seen = pods(deployment) if isinstance(deployment, Cluster) else watched(deployment)
    told: dict[str, Any] = {"services": [], "locations": [], "login": ""} | seen
    try:
        told |= {"login": deployment.platform.login(), "locations": locations(deployment.platform)}
    except PlatformError as error:
        told["problems"].append(str(error))
    for one in told["locations"]:
        told["problems"] += problems(one, deployment)
    if as_json:
        print(json.dumps(told))
    else:
        show(told)
    return 1 if told["problems"] else 0


def show(told: dict[str, Any]) -> None:
    """Prints two tables, and the problems to standard error."""
    if told["locations"]:
        print(told["login"])
        print("\n".join(aligned([HEAD, *map(line, told["locations"])], names=len(HEAD) - 1)))
        print()
    if told["services"]:
        print("\n".join(aligned([SERVICES, *services(told)], names=2)))
    for problem in told["problems"]:
        print(problem, file=sys.stderr)
