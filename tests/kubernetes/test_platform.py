"""The same locations on a real cluster: a run is a Job of its location, and the warehouse equals the sandbox."""

import json

import pytest

from measured import measured

from .conftest import LOCATIONS, Tested

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="module")
def loaded(platform: Tested) -> Tested:
    """Both locations, loaded at the same time."""
    for run in platform.load(*LOCATIONS):
        measured(f"{run.job}: {(run.ended or 0) - run.created:.0f} s from launch to end")
    return platform


@pytest.mark.parametrize("location", LOCATIONS)
def test_the_warehouse_equals_the_sandbox(location: str, loaded: Tested) -> None:
    loaded.assert_mirrors(location)


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_run_is_a_job_in_the_namespace_of_its_location(location: str, loaded: Tested) -> None:
    (run,) = loaded.platform.runs(1, pipelineName=f"{location}_ingest")
    job = json.loads(loaded.in_location(location, "get", "job", f"dagster-run-{run.id}", "--output=json"))
    image = loaded.values(location)["image"]
    assert job["status"]["succeeded"] == 1
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (0, 3600)
    assert [one["image"] for one in job["spec"]["template"]["spec"]["containers"]] == [image]
    assert run.image == image


def test_status_tells_of_locations_and_pods(loaded: Tested) -> None:
    done = loaded.ingest("status", "--on=kubernetes", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["problems"]) == (0, [])
    assert {one["location"]: one["last_run"]["status"] for one in told["locations"]} == dict.fromkeys(
        LOCATIONS, "SUCCESS"
    )
    services = {one["service"] for one in told["services"]}
    assert {"webserver", "daemon", "postgres", "github server", "stripe server"} <= services
