"""What breaks under a run is repaired by itself: nothing stays stuck, and the warehouse equals the sandbox."""

import time
from collections.abc import Callable, Iterator

import pytest

from caught import at_work, runs_from
from ingest_tools.dagster_api import Run, wait_for
from ingest_tools.engine import docker
from measured import measured

from .conftest import Tested

pytestmark = pytest.mark.kubernetes

AWAY_SECONDS = 60
LOCK = """
import os, time, psycopg2
from pathlib import Path
password = Path("/run/secrets/destination--postgres--credentials--password").read_text()
host = os.environ["DESTINATION__POSTGRES__CREDENTIALS__HOST"]
opened = psycopg2.connect(host=host, user="github", dbname="warehouse", password=password)
opened.cursor().execute("LOCK TABLE github_raw.issues IN ACCESS EXCLUSIVE MODE")
time.sleep(3600)
"""


@pytest.fixture(scope="module")
def loaded(platform: Tested) -> Tested:
    platform.load("github")
    return platform


@pytest.fixture
def slow(loaded: Tested, request: pytest.FixtureRequest) -> Iterator[Tested]:
    """New things to load, from an API so slow that a run can be caught at it."""
    loaded.origin.change(40, seed=len(request.node.name))
    loaded.origin.slow_down(1000)
    yield loaded
    loaded.origin.slow_down(0)


def failures(platform: Tested, run: Run) -> list[str]:
    """Why the run failed, in the words of its log."""
    events = platform.platform.query(
        """query($id: ID!) { logsForRun(runId: $id) {
          ... on EventConnection { events { ... on RunFailureEvent { message } } } } }""",
        id=run.id,
    )["logsForRun"]["events"]
    return [one["message"] for one in events if one]


def no_job_is_left(platform: Tested) -> bool:
    template = "--output=go-template={{range .items}}{{.status.active}} {{end}}"
    active = platform.in_location("github", "get", "jobs", template)
    return not active.replace("<no value>", "").strip()


def kill_pod(platform: Tested, run: Run) -> None:
    one = f"--selector=job-name=dagster-run-{run.id}"
    platform.in_location("github", "delete", "pod", one, "--grace-period=0", "--force")


def take_postgres_away(platform: Tested, run: Run) -> None:
    platform.kubectl("scale", "statefulset/postgres", "--replicas=0")
    # `kubectl wait` misses a deletion between its look and its watch.
    wait_for(lambda: not platform.kubectl("get", "pod/postgres-0", "--ignore-not-found"), "postgres-0 to be gone", 60)
    time.sleep(AWAY_SECONDS)
    platform.kubectl("scale", "statefulset/postgres", "--replicas=1")
    platform.kubectl("rollout", "status", "statefulset/postgres", "--timeout=120s")


@pytest.mark.parametrize("fault", [kill_pod, take_postgres_away])
def test_a_fault_in_the_middle_of_a_run(slow: Tested, fault: Callable[[Tested, Run], None]) -> None:
    """The run, or its retry, ends well."""
    run = at_work(slow)
    fault(slow, run)
    slow.origin.slow_down(0)
    newest, *_ = runs_from(slow, run)
    assert newest.status == "SUCCESS"
    wait_for(lambda: no_job_is_left(slow), "Jobs to end", 60)


@pytest.fixture
def lost(slow: Tested) -> Iterator[str]:
    """The node that the test stops: it is a container of this machine's Docker engine."""
    name = next(one for one in slow.nodes if one != slow.node_of_host)
    yield name
    docker("start", name)
    slow.kubectl("wait", f"node/{name}", "--for=condition=Ready", "--timeout=120s")


def lockers(platform: Tested) -> int:
    """How many sessions hold the lock of a pod that the node took with it."""
    query = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = {}::regclass"
    return int(platform.warehouse(query.format("'github_raw.issues'")))


def test_a_node_is_lost_in_the_middle_of_a_run(slow: Tested, lost: str) -> None:
    """With the run's pod, its location's code server, and a pod that has locked what the run's successor needs."""
    before = slow.platform.locations()["github"].server_id

    def is_moved() -> bool:
        github = slow.platform.locations()["github"]
        return github.loaded and github.server_id != before

    slow.in_location("github", "rollout", "restart", "deployment/server")
    with slow.only_on(lost):
        slow.in_location("github", "rollout", "status", "deployment/server", "--timeout=120s")
        wait_for(is_moved, "the webserver to see the new server", 60)
        run = at_work(slow)
        holder = slow.run_pod("github", "holder", ["python", "-c", LOCK])
        slow.in_location("github", "wait", holder, "--for=condition=Ready", "--timeout=60s")
        wait_for(lambda: lockers(slow) == 1, "the lock", 60)
    killed = time.time()
    docker("exec", lost, "ip", "link", "set", "eth0", "down")  # or what ends on it would still say so
    docker("kill", lost)
    slow.in_location("github", "delete", "job", "holder", "--wait=false")  # or it makes another pod
    slow.origin.slow_down(0)
    wait_for(lambda: lockers(slow) == 0, "the lock of a lost pod to be given up", 90)
    measured(f"a node lost: what it had locked is free {time.time() - killed:.0f} s later")
    failed = slow.platform.ended(run.id)
    (why,) = failures(slow, run)
    assert why.startswith((f"its node {lost} does not answer", "its pod was lost with its node"))
    measured(f"a node lost: its run has failed {(failed.ended or 0) - killed:.0f} s later")
    newest, *_ = runs_from(slow, run)
    assert (newest.status, newest.id != run.id) == ("SUCCESS", True)
    measured(f"a node lost: the run that was started again has ended {time.time() - killed:.0f} s later")


def test_a_node_that_comes_back_has_nothing_left_to_do(loaded: Tested) -> None:
    wait_for(lambda: no_job_is_left(loaded), "Jobs to end", 120)


def test_no_fault_has_cost_a_row(loaded: Tested) -> None:
    """What one had lost, no run after it would have read again."""
    loaded.load("github")
    loaded.assert_mirrors("github")
