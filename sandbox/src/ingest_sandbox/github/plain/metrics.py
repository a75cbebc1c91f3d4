"""Who looks at a repository and clones it, by day: https://docs.github.com/en/rest/metrics/traffic"""

from ...ordered import Span
from ...wire import Json, iso
from ..model import Repository, Row
from .collection import Collection, Making

_DAY = 86_400
_SHOWN = 14 * _DAY


def traffic(repo: Repository, row: Row) -> Json:
    return {"timestamp": iso(row.id), "count": row.facts["count"], "uniques": row.facts["uniques"]}


def _in_all(span: Span[Row]) -> Json:
    rows = span.read(0, len(span))
    return {name: sum(row.facts[name] for row in rows) for name in ("count", "uniques")}


def _come(name: str, making: Making) -> Json:
    """Somebody comes: the day's count goes up, and days that are no longer shown are forgotten."""
    rows, today = making.home.rows[name], making.at - making.at % _DAY
    for day in [day for day in rows if day <= today - _SHOWN]:
        del rows[day]
    known = rows[today].facts if today in rows else {"count": 0, "uniques": 0}
    return {
        "id": today,
        "count": known["count"] + making.rng.randint(1, 9),
        "uniques": known["uniques"] + making.rng.randint(0, 1),
    }


def _by_day(name: str, one: str) -> Collection:
    return Collection(
        name=f"traffic_{name}",
        one=one,
        path=f"/traffic/{name}",
        show=traffic,
        make=lambda making: _come(f"traffic_{name}", making),
        deletes=False,
        rows_at=name,
        beside=_in_all,
        for_those_who="push",
        seeded=400,
    )


TRAFFIC_VIEWS = _by_day("views", "view")
TRAFFIC_CLONES = _by_day("clones", "clone")
