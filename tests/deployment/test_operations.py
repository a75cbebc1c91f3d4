"""What alerts the platform's operators get, and how soon; and how an analyst connects."""

import json
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ingest_tools.dagster_api import wait_for
from ingest_tools.engine import EngineError, docker
from ingest_tools.projects import ROOT
from measured import measured

from .conftest import Tested, free_port

pytestmark = pytest.mark.docker

SEEN_SECONDS = 20
"""The longest from the end of a run's container to the run's failure."""
TOLD_SECONDS = 60
SQL = re.compile(r"```sql\n(.*?)```", re.DOTALL)
FAILURES = """query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection(limit: 500) { events {
  __typename ... on MessageEvent { message } } } } } }"""


class Channel:
    """An address that keeps what it receives, and when."""

    def __init__(self, host: str) -> None:
        self.texts: list[tuple[float, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.texts.append((time.monotonic(), body["message"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer((host, 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"json://{host}:{self.http.server_port}/"

    def with_line(self, line: str) -> float | None:
        """Returns when a text with the line arrived."""
        return next((at for at, text in self.texts if line in text), None)


@pytest.fixture(scope="module")
def channel(platform: Tested) -> Iterator[Channel]:
    """The address that the platform alerts: this machine, as its containers see it."""
    gateway = platform.inspect("monitor")["NetworkSettings"]["Networks"][f"{platform.project}_default"]["Gateway"]
    channel = Channel(gateway)
    stored = platform.ingest("secret", "platform", "alerts.to", text=channel.address)
    assert stored.returncode == 0, stored.stderr
    yield channel
    channel.http.shutdown()
    channel.http.server_close()


@pytest.fixture(scope="module")
def gone(platform: Tested, channel: Channel) -> Iterator[float]:
    """Since when the purge is gone."""
    docker("stop", "--time", "1", platform.container("purge"))
    yield time.monotonic()
    docker("start", platform.container("purge"))


def launch(platform: Tested, location: str, job: str) -> tuple[str, str]:
    """Launches a run; returns it with its container, as soon as there is one."""
    run_id = platform.platform.launch(location, job)
    wanted = ["ps", "--all", "--quiet", f"--filter=label=dagster/run_id={run_id}"]
    return run_id, wait_for(lambda: docker(*wanted), "the run's container", 60, 0.1)


def starve(container: str) -> int:
    """Gives a container less memory than its run needs, but no less than it already uses; returns how many MiB."""
    for limit in (50, 80, 110):
        with suppress(EngineError):
            docker("update", f"--memory={limit}m", f"--memory-swap={limit}m", container)
            return limit
    raise AssertionError("the run has taken its memory before it could be limited")


def why(platform: Tested, run_id: str) -> str:
    """Returns the message with which the run failed."""
    events = platform.platform.query(FAILURES, id=run_id)["runOrError"]["eventConnection"]["events"]
    (failure,) = [event["message"] for event in events if event["__typename"] == "RunFailureEvent"]
    return str(failure)


def test_a_run_whose_container_dies_fails_at_once_and_says_why(platform: Tested, gone: float) -> None:
    """One during its imports, one for lack of memory; both are retried."""
    killed, container = launch(platform, "stripe", "stripe_connect_ingest")
    docker("kill", container)
    starved, container = launch(platform, "github", "github_catalog_ingest")
    limit = starve(container)
    began = time.monotonic()
    for run_id, line in (
        (killed, "exit code 137 (killed by SIGKILL)"),
        (starved, f"out of memory: {limit / 1024:.3g} GB"),
    ):
        run = platform.platform.ended(run_id, 60)
        measured(f"a run that died failed within {time.monotonic() - began:.0f} s: {line}")
        assert run.status == "FAILURE"
        assert line in why(platform, run_id)
    assert time.monotonic() - began < SEEN_SECONDS + 5  # the starved one has to touch its limit first
    for run_id in (killed, starved):
        retry = platform.wait_for_run("dagster/parent_run_id", run_id, 30)
        assert platform.platform.ended(retry.id, 120).status == "SUCCESS"


def test_status_says_what_is_ill_and_whoever_runs_it_is_told(platform: Tested, channel: Channel, gone: float) -> None:
    line = "purge: exited, exit code"
    status = platform.ingest("status")
    assert status.returncode == 1
    assert line in status.stderr
    at = wait_for(lambda: channel.with_line(line), "the alert", TOLD_SECONDS)
    measured(f"told that the purge is gone after {at - gone:.0f} s")
    assert at - gone < TOLD_SECONDS
    docker("start", platform.container("purge"))
    wait_for(lambda: channel.with_line(f"resolved: {line}"), "the end of it", TOLD_SECONDS)
    wait_for(lambda: platform.ingest("status").returncode == 0, "all to be well", TOLD_SECONDS)


def test_prometheus_scrapes_the_platform(platform: Tested) -> None:
    url = f"http://127.0.0.1:{platform.setting('INGEST_METRICS_PORT')}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    for sample in (
        'ingest_service_up{service="daemon"} 1.0',
        'ingest_daemon_heartbeat_timestamp_seconds{daemon="SCHEDULER"}',
        'ingest_job_success_timestamp_seconds{job="github_ingest",location="github"}',
        'ingest_schedule_overdue_seconds{location="stripe",schedule="stripe_ingest_schedule"} 0.0',
        'ingest_quota_left{location="github"}',
    ):
        assert sample in text
    assert float(re.findall(r'^ingest_rows\{location="github"\} (\S+)$', text, re.MULTILINE)[0]) > 1000
    if shutil.which("promtool"):
        command = ["promtool", "check", "metrics"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def analyst(platform: Tested) -> Iterator[str]:
    """The address that `make analyst` prints, in the platform's own network."""
    settings = {"INGEST_WAREHOUSE": f"127.0.0.1:{free_port()}"}
    platform.compose("--profile=warehouse", "up", "--detach", "--wait", "--no-deps", "warehouse", **settings)
    made = platform.ingest("analyst", "ana", **settings)
    assert made.returncode == 0, made.stderr
    yield made.stdout.strip().replace(settings["INGEST_WAREHOUSE"], "warehouse:5432")
    platform.compose("--profile=warehouse", "rm", "--stop", "--force", "warehouse", **settings)


def psql(platform: Tested, address: str, statement: str) -> list[str]:
    command = ["exec", "-T", "postgres", "psql", address, "--no-psqlrc", "--tuples-only", "--csv"]
    return platform.compose(*command, "--command", statement).splitlines()


def test_the_five_queries_of_the_document_answer(platform: Tested, analyst: str) -> None:
    queries = SQL.findall((ROOT / "docs" / "analyst.md").read_text())
    assert len(queries) == 5
    for query in queries:
        assert psql(platform, analyst, query), query


def test_the_warehouses_port_lets_in_analysts_alone(platform: Tested, analyst: str) -> None:
    with pytest.raises(EngineError, match="SSL required"):
        psql(platform, analyst.replace("sslmode=require", "sslmode=disable"), "SELECT 1")
    password = re.findall(r":([^:@]+)@", analyst)[0]
    for user, secret, database in (
        ("postgres", platform.secret("postgres-password"), "warehouse"),
        ("dagster", platform.secret("dagster-password"), "warehouse"),
        ("analyst-ana", password, "dagster"),
        ("analyst-ana", password, "pgbouncer"),
        ("analyst-ana", "wrong", "warehouse"),
    ):
        with pytest.raises(EngineError, match=r"FATAL"):
            psql(platform, f"postgresql://{user}:{secret}@warehouse:5432/{database}?sslmode=require", "SELECT 1")
    assert platform.ingest("analyst", "ana", "--revoke").returncode == 0
    with pytest.raises(EngineError, match="FATAL"):
        psql(platform, analyst, "SELECT 1")
