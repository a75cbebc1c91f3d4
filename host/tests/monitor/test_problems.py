"""What is a problem, and what is not."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest_host.monitor.problems import HOST, missed, overdue, problems
from ingest_host.monitor.seen import Instigator, Seen

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp()
HOUR = 3600


def service(name: str, **state: Any) -> dict[str, Any]:
    well = {"keeps": True, "status": "running", "health": "healthy", "restarts": 0, "exit_code": 0, "started": 0}
    return well | {"service": name} | state


def well(**facts: Any) -> Seen:
    services = [service(name) for name in (*HOST, "github")]
    found = {"locations": ["github"], "heartbeats": {"SENSOR": NOW - 30}, "services": services}
    return Seen(NOW, **(found | {"disk_free": 50, "disk_size": 100} | facts))


def with_service(name: str, **state: Any) -> Seen:
    found = well()
    found.services = [one for one in found.services if one["service"] != name]
    if state:
        found.services.append(service(name, **state))
    return found


def schedule(cron: str = "0 * * * *", since: float = NOW - HOUR, **facts: Any) -> Instigator:
    made = Instigator("github", "github_ingest", "SCHEDULE", (cron,), since, failing=False, failures=0)
    return replace(made, **facts)


def test_where_all_is_well_nothing_is_told() -> None:
    assert problems(well(instigators=[schedule()])) == {}


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (well(heartbeats={}), "daemon: no heartbeat at all; runs are neither scheduled nor started"),
        (
            well(heartbeats={"SENSOR": NOW - 300, "SCHEDULER": NOW - 200, "ASSET": NOW - 10}),
            "daemon: no heartbeat of SCHEDULER, SENSOR for 300 s",
        ),
        (with_service("purge"), "purge: it has no container; `make up` starts it"),
        (with_service("github"), "github: it has no container; `make deploy LOCATION=github` starts it"),
        (with_service("github", status="restarting", exit_code=1), "github: restarting, exit code 1"),
        (with_service("daemon", status="exited", exit_code=137), "daemon: exited, exit code 137"),
        (with_service("webserver", health="unhealthy"), "webserver: running, but unhealthy"),
        (
            with_service("github", restarts=7, started=NOW - 60),
            "github: died and was started again, 7 times so far",
        ),
        (well(instigators=[schedule(since=NOW - 3 * HOUR)]), "github_ingest: overdue for 110 min"),
        (
            well(instigators=[schedule(failing=True, failures=4)]),
            "github_ingest: its last tick failed, 4 in the last hour",
        ),
        (well(instigators=[schedule("0 0 30 2 *")]), "github_ingest: cannot tell when ('0 0 30 2 *',) is due"),
        (well(instigators=[schedule("at noon")]), "github_ingest: cannot tell when ('at noon',) is due"),
        (well(queued=[NOW - 2 * HOUR, NOW]), "queue: 2 runs wait, the oldest for 2.0 h"),
        (well(disk_free=5 * 2**30, disk_size=100 * 2**30), "disk: 5.0 of 100 GB free; `docker system df` says what"),
        (well(ended={"stripe": "too long"}), "stripe: its sessions in Postgres were ended: too long"),
        (well(faults={"storage": "refused"}, heartbeats={}), "storage: cannot be asked: refused"),
        (well(faults={"launch": "refused"}, services=[]), "launch: cannot be asked: refused"),
    ],
)
def test_one_line_says_what_is_ill(seen: Seen, line: str) -> None:
    (told,) = problems(seen).values()
    assert told.startswith(line)


@pytest.mark.parametrize(
    "seen",
    [
        with_service("github", health="starting"),
        with_service("github", restarts=3, started=NOW - HOUR),
        with_service("setup", keeps=False, status="exited"),
        well(instigators=[schedule(location="removed", since=NOW - 9 * HOUR, failing=True)]),
        well(queued=[NOW - 60]),
    ],
)
def test_what_is_as_it_should_be_is_not_told(seen: Seen) -> None:
    seen.services += [service("github")] * (not any(one["service"] == "github" for one in seen.services))
    assert problems(seen) == {}


def late(cron: str, hours: float) -> bool:
    return overdue(schedule(cron, NOW - hours * HOUR), NOW) > 0


@pytest.mark.parametrize(
    ("cron", "between"), [("30 * * * *", 1), ("0 4 * * *", 24), ("0 4 * * 0", 7 * 24), ("0 9-17 * * *", 16)]
)
def test_a_schedule_is_overdue_after_its_longest_pause_and_some_grace(cron: str, between: float) -> None:
    """Whatever time zone it is in."""
    assert not late(cron, between + 0.1)
    assert late(cron, between + 0.2)


def test_a_sensor_is_never_overdue() -> None:
    assert overdue(Instigator("github", "s", "SENSOR", (), NOW - 99 * HOUR, failing=False, failures=0), NOW) == 0


@pytest.mark.parametrize(
    ("cron", "hours_ago", "expected"),
    [
        ("0 * * * *", (3, 2, 1, 0.1), 0),
        ("0 * * * *", (5, 4, 1, 0.1), 2),
        ("0 * * * *", (4, 3), 2),
        ("0 4 * * *", (23, 1), 0),
        ("*/5 * * * *", (1, 0.9, 0.1), 7),
        ("0 * * * *", (), 0),
    ],
    ids=["all came", "two did not", "none since", "a day apart", "at least these, of many", "just switched on"],
)
def test_ticks_that_did_not_come_are_counted(cron: str, hours_ago: tuple[float, ...], expected: int) -> None:
    """Whatever time zone the schedule is in."""
    assert missed(schedule(cron, ticks=tuple(NOW - hours * HOUR for hours in hours_ago)), NOW) == expected
