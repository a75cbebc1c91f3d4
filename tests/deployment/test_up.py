"""From nothing: everything comes up, and both locations' jobs run in containers of their own."""

import json
from dataclasses import replace

import pytest

from ingest_tools.dagster_api import Run, wait_for
from ingest_tools.engine import docker, inspect
from measured import measured

from .conftest import JOBS, Tested

pytestmark = pytest.mark.docker

SERVICES = (
    "postgres",
    "turnstile",
    "webserver",
    "front",
    "daemon",
    "purge",
    "launch",
    "monitor",
    "sandbox",
    "github",
    "stripe",
)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_healthy(platform: Tested, service: str) -> None:
    assert platform.inspect(service)["State"]["Health"]["Status"] == "healthy"


def test_both_locations_are_loaded_and_their_schedules_run(platform: Tested) -> None:
    locations = platform.platform.locations()
    assert locations.keys() == JOBS.keys()
    for name, location in locations.items():
        assert location.loaded, location.error
        assert location.image == platform.image(name)
        assert location.schedules
        assert {status for _, status in location.schedules} == {"RUNNING"}
    measured(f"from `docker compose up` to healthy: {platform.seconds_to_up:.1f} s")


@pytest.fixture(scope="module")
def loaded(platform: Tested) -> dict[str, Run]:
    """A run of all assets, by location."""
    return dict(zip(JOBS, platform.succeed_together(JOBS), strict=True))


@pytest.mark.parametrize("location", JOBS)
def test_a_run_has_a_container_of_its_own_and_mirrors_the_api(
    platform: Tested, loaded: dict[str, Run], location: str
) -> None:
    run = loaded[location]
    container = inspect(run.container)
    assert container["Config"]["Image"] == platform.image(location)
    assert docker("wait", run.container) == "0"
    platform.assert_mirrors(location)


def test_status_tells_it_in_a_table(platform: Tested) -> None:
    """Of the newest run, which may be one that a schedule has just begun."""

    def newest() -> Run:
        return platform.platform.runs(1, tags=[{"key": "dagster/code_location", "value": "github"}])[0]

    def told() -> bool:
        run, done = newest(), platform.ingest("status")
        assert done.returncode == 0, done.stderr
        github = next(line for line in done.stdout.splitlines() if line.startswith("github"))
        wanted = {platform.image("github").rpartition(":")[2], "loaded", run.job, run.status}
        return wanted <= set(github.split())

    wait_for(told, "the newest run in the table", 60)


@pytest.mark.parametrize("line", ["audit", "analyst ana", "logs", "logs daemon", "deploy host", "deploy github"])
def test_where_nothing_runs_a_command_says_in_one_line_how_to_start_it(platform: Tested, line: str) -> None:
    done = replace(platform, project="ingest-test-none").ingest(*line.split(), INGEST_PORT="1")
    assert done.returncode == 1
    assert done.stderr.endswith("start the platform with `make up`\n")
    assert done.stderr.count("\n") == 1


def test_status_tells_it_to_machines(platform: Tested) -> None:
    told = json.loads(platform.ingest("status", "--json").stdout)
    assert told["problems"] == []
    github = next(one for one in told["locations"] if one["location"] == "github")
    assert (github["image"], github["last_run"]["status"]) == (platform.image("github"), "SUCCESS")
    assert github["rows"] > 0


def test_a_run_that_fails_exits_with_one(platform: Tested) -> None:
    """And says in one line which secret to put where; status names the job until it succeeds."""
    platform.compose("run", "--rm", "-T", "--no-deps", "github-setup")  # leaves the sandbox
    try:
        run = platform.platform.ended(platform.platform.launch("github", "github_catalog_ingest"))
        assert run.status == "FAILURE"
        assert docker("wait", run.container) == "1"
        events = platform.sql("dagster", f"SELECT event FROM public.event_logs WHERE run_id = '{run.id}'")
        assert "sources.github.repositories" in str(events)
        assert "make secret LOCATION=github NAME=sources.github.repositories" in str(events)
        status = platform.ingest("status")
        assert status.returncode == 1
        assert f"github: the last run of github_catalog_ingest failed: {platform.platform.url}/runs/{run.id}" in (
            status.stderr.splitlines()
        )
    finally:
        platform.compose("--profile", "sandbox", "run", "--rm", "-T", "--no-deps", "github-sandbox")
