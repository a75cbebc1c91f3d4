"""The platform in one table: locations, their images, schedules, last runs and rows."""

import sys
from datetime import UTC, datetime

from dagster_api import Location, Platform, PlatformError, Run
from engine import Deployment
from table import aligned

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


def main() -> int:
    """0 when every location is loaded, else 1."""
    platform = Deployment.here().platform
    try:
        locations = platform.locations()
        rows = rows_of(platform)
        login = platform.login()
        lines = [line(one, last_run(platform, name), rows.get(name)) for name, one in sorted(locations.items())]
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1
    print(login)
    print("\n".join(aligned([HEAD, *lines], names=len(HEAD) - 1)))
    for one in locations.values():
        if one.error:
            print(f"{one.name}: {one.error.splitlines()[-1]}", file=sys.stderr)
    return 0 if all(one.loaded for one in locations.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
