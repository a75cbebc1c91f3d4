"""The platform in two tables, its locations and its services, and what is ill."""

import json
import sys
import urllib.request
from datetime import UTC, datetime
from typing import Any

from dagster_api import Location, Platform, PlatformError, Run
from engine import LOOPBACK, Deployment
from table import aligned

TIMEOUT = 10
SERVICES = ("service", "state", "restarts")
HEAD = ("location", "image", "state", "schedules", "last run", "ended", "when", "rows")

_ROWS = """{ assetNodes { repository { location { name } }
  assetMaterializations(limit: 1) { metadataEntries { label ... on IntMetadataEntry { intValue } } } } }"""


def rows_of(platform: Platform) -> dict[str, int]:
    """Rows in the warehouse by location, as the latest loads told."""
    rows: dict[str, int] = {}
    for asset in platform.query(_ROWS)["assetNodes"]:
        location = asset["repository"]["location"]["name"]
        for entry in (entry for told in asset["assetMaterializations"] for entry in told["metadataEntries"]):
            if entry["label"] == "dagster/row_count":
                rows[location] = rows.get(location, 0) + int(entry["intValue"])
    return rows


def last_run(platform: Platform, location: str) -> Run | None:
    """The newest run of a location."""
    tags = [{"key": "dagster/code_location", "value": location}]
    return next(iter(platform.runs(1, tags=tags)), None)


def line(location: Location, run: Run | None, rows: int | None) -> tuple[str, ...]:
    running = [name for name, status in location.schedules if status == "RUNNING"]
    when = datetime.fromtimestamp(run.ended or run.created, UTC).strftime("%Y-%m-%d %H:%M") if run else ""
    return (
        location.name,
        location.image.rpartition(":")[2],
        "loaded" if location.loaded else "ERROR",
        f"{len(running)} of {len(location.schedules)} running",
        run.job if run else "none",
        run.status if run else "",
        when,
        "" if rows is None else f"{rows:,}",
    )


def watched(deployment: Deployment) -> dict[str, Any]:
    """What the monitor says: ``problems``, a line each, and ``services``."""
    url = f"http://{LOOPBACK}:{deployment.setting('INGEST_METRICS_PORT') or 9465}/status"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            told: dict[str, Any] = json.load(answer)
    except OSError as error:
        return {"problems": [f"monitor: {url} does not answer ({error}); `make up` starts it"]}
    return told


def services(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each container that is to run always."""
    kept = [one for one in told.get("services", []) if one["keeps"]]
    return sorted(
        (one["service"], f"{one['status']}, {one['health']}".rstrip(", "), str(one["restarts"])) for one in kept
    )


def main() -> int:
    """0 when nothing is ill, else 1 and a line for each thing that is."""
    deployment = Deployment.here()
    told = watched(deployment)
    problems = list(told["problems"])
    try:
        problems += show_locations(deployment.platform)
    except PlatformError as error:
        problems.append(str(error))
    print()
    print("\n".join(aligned([SERVICES, *services(told)], names=2)))
    for line in problems:
        print(line, file=sys.stderr)
    return 1 if problems else 0


def show_locations(platform: Platform) -> list[str]:
    """Prints who may log in, and the table; gives the errors of those that are not loaded."""
    locations = platform.locations()
    rows = rows_of(platform)
    print(platform.login())
    lines = [line(one, last_run(platform, name), rows.get(name)) for name, one in sorted(locations.items())]
    print("\n".join(aligned([HEAD, *lines], names=len(HEAD) - 1)))
    return [f"{one.name}: {(one.error or one.status).splitlines()[-1]}" for one in locations.values() if not one.loaded]


if __name__ == "__main__":
    sys.exit(main())
