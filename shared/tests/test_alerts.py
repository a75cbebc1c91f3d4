"""Alerts: runs on a real instance, seen by Dagster's own sensors, sent to servers that listen."""

import json
import logging
import os
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.test_utils import create_run_for_test, create_test_daemon_workspace_context
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dlt.common.configuration.providers import environ

from ingest_shared import alerts
from ingest_shared.alerts import alerts_for
from tests.conftest import closed_port

FAILURES, CHECKS = "test_run_failures", "test_failed_checks"


class Channel:
    """A service of Apprise's that keeps the texts it is sent; ``status`` is its answer."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.status, self.refusals = 200, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.texts.append(f"{body['title']}\n{body['message']}")
                outer.refusals -= 1
                self.send_response(503 if outer.refusals >= 0 else outer.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"json://dagster:hunter2@127.0.0.1:{self._http.server_port}/hunter2"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        os.environ["ALERTS__TO"] = self.address
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "WAIT_SECONDS", 0.1)


@pytest.fixture
def channel() -> Iterator[Channel]:
    with Channel() as channel:
        yield channel


@dataclass
class Location:
    """A location of two assets, whose next run ends as the test says; its sensors have begun."""

    instance: dg.DagsterInstance
    error: Exception | None = None
    found: list[list[dg.AssetCheckResult]] = field(default_factory=list)
    """What the checks of each try find."""

    def __post_init__(self) -> None:
        specs = [dg.AssetCheckSpec(f"check_{i}", asset="issues") for i in range(30)]
        tries = iter(range(10))

        @dg.multi_asset(
            specs=[dg.AssetSpec("issues", owners=["team:issues"])],
            check_specs=specs,
            can_subset=True,
            retry_policy=dg.RetryPolicy(max_retries=1, delay=0),
        )
        def issues(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield dg.MaterializeResult("issues")
            attempt = next(tries)
            yield from self.found[attempt] if attempt < len(self.found) else ()
            if self.error and len(self.found) < 2:
                raise self.error
            if attempt + 1 < len(self.found):
                raise ValueError

        @dg.asset
        def labels() -> None:
            if self.error:
                raise self.error

        own = dg.Definitions(assets=[issues, labels], jobs=[dg.define_asset_job("test_ingest")])
        self.definitions = dg.Definitions.merge(own, alerts_for("test", ["team:test-ingest"]))
        self.cursors: dict[str, str | None] = {}
        for sensor in (FAILURES, CHECKS):
            self.tick(sensor)

    def run(self, *assets: str, **options: Any) -> str:
        """Runs the job, or some of its assets; gives the run's id."""
        job = self.definitions.resolve_job_def("test_ingest")
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        selection = [dg.AssetKey(asset) for asset in assets] or None
        return job.execute_in_process(
            instance=self.instance, raise_on_error=False, run_config=quiet, asset_selection=selection, **options
        ).run_id

    def fail(self) -> None:
        """A run that fails before its first step."""
        run = create_run_for_test(self.instance, "test_ingest")
        self.instance.report_run_failed(run, "the container did not start")

    def tick(self, sensor: str) -> SensorExecutionData:
        """Evaluates a sensor as Dagster's daemon does, from where it was."""
        context = dg.build_sensor_context(self.instance, self.cursors.get(sensor), definitions=self.definitions)
        data = self.definitions.get_repository_def().get_sensor_def(sensor).evaluate_tick(context)
        self.cursors[sensor] = data.cursor
        return data

    def ticks(self) -> list[str]:
        """The errors of a tick of both sensors, in full."""
        reactions = [reaction for s in (FAILURES, CHECKS) for reaction in self.tick(s).dagster_run_reactions or ()]
        return [reaction.error.to_string() for reaction in reactions if reaction.error]


@pytest.fixture
def location() -> Iterator[Location]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Location(instance)


def failed(name: str, description: str = "wrong", **options: Any) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False, asset_key="issues", check_name=name, description=description or None, **options
    )


def test_a_failed_run_makes_one_alert_that_says_what_where_and_whose(location: Location, channel: Channel) -> None:
    location.error = dg.Failure("the token is not valid", allow_retries=False)
    run = location.run()
    assert location.ticks() == []
    assert channel.texts == [
        f"test: test_ingest failed\nthe token is not valid\n"
        f"run {run}: http://127.0.0.1:3000/runs/{run}\nowner: team:test-ingest"
    ]
    location.ticks()
    assert len(channel.texts) == 1


def test_the_link_begins_with_the_address_that_is_set(location: Location, channel: Channel) -> None:
    os.environ["INGEST_UI_URL"] = "https://dagster.example.com/ "
    location.error = ValueError()
    run = location.run()
    location.ticks()
    assert f"run {run}: https://dagster.example.com/runs/{run}\n" in channel.texts[0]


def chained() -> Exception:
    outer = RuntimeError("the load failed")
    outer.__cause__ = OSError("disk full")
    return outer


def handled() -> Exception:
    outer = RuntimeError("the load failed")
    outer.__context__ = KeyError("cache")
    return outer


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (dg.Failure("say\n it  plainly", allow_retries=False), "say it plainly"),
        (ValueError("a: first\nsecond"), "ValueError: a: first"),
        (alerts.ChannelError("plain"), "ChannelError: plain"),
        (chained(), "OSError: disk full"),
        (handled(), "RuntimeError: the load failed"),
        (ValueError(), "ValueError"),
        (ValueError("word " * 100), "ValueError:" + " word" * 57 + " …"),
    ],
)
def test_the_error_is_one_line(location: Location, channel: Channel, error: Exception, line: str) -> None:
    location.error = error
    location.run("labels")
    location.ticks()
    assert channel.texts[0].splitlines()[1] == line
    assert channel.texts[0].count("\n") == 3


def test_a_run_that_never_began_tells_what_dagster_says(location: Location, channel: Channel) -> None:
    location.fail()
    location.ticks()
    assert channel.texts[0].splitlines()[:2] == ["test: test_ingest failed", "the container did not start"]


def test_a_run_that_dagster_repeats_says_so(location: Location, channel: Channel) -> None:
    location.error = ValueError()
    location.run("labels", tags={"dagster/will_retry": "true"})
    location.run("labels", tags={"dagster/will_retry": "false"})
    location.ticks()
    assert ["Dagster will retry it automatically." in text for text in channel.texts] == [True, False]


def test_the_owner_is_that_of_the_selected_assets(location: Location, channel: Channel) -> None:
    location.error = ValueError()
    for assets in (["issues"], ["labels"], ["issues", "labels"]):
        location.run(*assets)
    location.ticks()
    owners = [text.splitlines()[-1] for text in channel.texts]
    assert owners == ["owner: team:issues", "owner: team:test-ingest", "owner: team:issues"]


def test_a_run_of_an_asset_that_is_no_more_belongs_to_the_location(location: Location, channel: Channel) -> None:
    run = create_run_for_test(location.instance, "test_ingest", asset_selection=frozenset({dg.AssetKey("removed")}))
    location.instance.report_run_failed(run, "broken")
    assert location.ticks() == []
    assert channel.texts[0].splitlines()[-1] == "owner: team:test-ingest"


def test_a_good_run_makes_no_alert(location: Location, channel: Channel) -> None:
    location.found = [[dg.AssetCheckResult(passed=True, asset_key="issues", check_name="check_1")]]
    location.run()
    assert location.ticks() == []
    assert channel.texts == []


def test_failed_checks_make_one_alert_with_what_they_found(location: Location, channel: Channel) -> None:
    location.found = [
        [
            failed("check_1", metadata={"left out": dg.MetadataValue.json({"octo/gone": "no such\nplace"}), "rows": 3}),
            failed("check_2", "", severity=dg.AssetCheckSeverity.WARN),
            dg.AssetCheckResult(passed=True, asset_key="issues", check_name="check_3"),
        ]
    ]
    run = location.run()
    assert location.ticks() == []
    assert channel.texts == [
        "test: 2 checks of test_ingest failed\n"
        r"issues check_1 (ERROR): wrong; left out: {'octo/gone': 'no such\nplace'}; rows: 3"
        "\nissues check_2 (WARN): no details\n"
        f"run {run}: http://127.0.0.1:3000/runs/{run}\nowner: team:issues"
    ]
    location.ticks()
    assert len(channel.texts) == 1


def test_what_a_check_found_is_one_short_line(location: Location, channel: Channel) -> None:
    location.found = [[failed("check_1", "long\n" * 200)]]
    location.run()
    location.ticks()
    assert channel.texts[0].count("\n") == 3
    assert len(channel.texts[0]) < 600


def test_a_check_that_passed_at_the_second_try_makes_no_alert(location: Location, channel: Channel) -> None:
    good = dg.AssetCheckResult(passed=True, asset_key="issues", check_name="check_1")
    location.found = [[failed("check_1"), failed("check_2")], [good, failed("check_2")]]
    location.run()
    location.ticks()
    assert ["1 check of" in text and "check_1" not in text for text in channel.texts] == [True]


def test_failed_checks_of_a_failed_run_stand_in_its_one_alert(location: Location, channel: Channel) -> None:
    location.error = dg.Failure("broken", allow_retries=False)
    location.found = [[failed("check_1")]]
    location.run()
    assert location.ticks() == []
    assert [text.splitlines()[:3] for text in channel.texts] == [
        ["test: test_ingest failed", "broken", "issues check_1 (ERROR): wrong"]
    ]


def test_many_failed_checks_are_counted(location: Location, channel: Channel) -> None:
    location.found = [[failed(f"check_{i}") for i in range(22)]]
    location.run()
    location.ticks()
    lines = channel.texts[0].splitlines()
    assert lines[0] == "test: 22 checks of test_ingest failed"
    assert lines[21] == "and 2 more"
    assert len(lines) == 24


def test_without_a_channel_there_is_no_alert_and_no_error(location: Location) -> None:
    location.fail()
    assert location.ticks() == []
    assert not alerts.send("subject", "text", "run", set())


def test_the_address_is_read_from_a_mounted_file(
    location: Location, channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del os.environ["ALERTS__TO"]
    (tmp_path / "alerts--to").write_text(f"{channel.address}\n")
    monkeypatch.setattr(environ, "SECRET_STORAGE_PATH", f"{tmp_path}/%s")
    location.fail()
    location.ticks()
    assert len(channel.texts) == 1


def failing_tick(location: Location, caplog: pytest.LogCaptureFixture) -> str:
    """The one-line error of the tick that could not send; neither it nor a log has the secret."""
    location.fail()
    with caplog.at_level(logging.INFO):
        (error,) = location.ticks()
    assert "hunter2" not in error
    assert "hunter2" not in caplog.text
    assert "exception" not in error.partition("Stack Trace")[2]  # no chain of errors behind it
    line = error.partition("\nStack Trace:")[0].strip()
    assert "\n" not in line
    return line


def test_a_service_that_refuses_fails_the_tick(
    location: Location, channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    channel.status = 500
    line = failing_tick(location, caplog)
    assert "address 1 of `alerts.to` (environment ALERTS__TO" in line
    assert line.endswith("error=500.")


def test_a_service_that_is_away_for_a_moment_is_tried_again(location: Location, channel: Channel) -> None:
    channel.refusals = 1
    location.fail()
    assert location.ticks() == []
    assert len(channel.texts) == 2


def test_a_service_that_is_not_there_fails_the_tick(location: Location, caplog: pytest.LogCaptureFixture) -> None:
    os.environ["ALERTS__TO"] = f"json://127.0.0.1:{closed_port()}/hunter2"
    assert "A Connection error occurred" in failing_tick(location, caplog)


def test_a_service_that_stays_silent_fails_the_tick(location: Location, caplog: pytest.LogCaptureFixture) -> None:
    started = time.monotonic()
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as silent:
        os.environ["ALERTS__TO"] = f"json://127.0.0.1:{silent.server_address[1]}/hunter2?rto=0.1"
        assert "A Connection error occurred" in failing_tick(location, caplog)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("address", ["hunter2", "https://[hunter2", "mail://team:hunter2@example.com"])
def test_an_address_that_is_none_fails_the_tick(
    location: Location, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    os.environ["ALERTS__TO"] = address
    assert "not an address that Apprise supports" in failing_tick(location, caplog)


def test_every_address_gets_the_alert_also_when_another_does_not(
    location: Location, channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    os.environ["ALERTS__TO"] = f"{channel.address} json://127.0.0.1:{closed_port()}\n{channel.address}"
    assert "address 2 of `alerts.to`" in failing_tick(location, caplog)
    assert len(channel.texts) == 1


def test_an_alert_that_could_not_be_sent_is_sent_again_to_whom_it_could_not(location: Location) -> None:
    """And what comes after it waits for nobody."""
    with Channel() as away, Channel() as there:
        os.environ["ALERTS__TO"] = f"{away.address} {there.address}"
        away.status = 503
        for error in ("first", "second"):
            location.error = dg.Failure(error, allow_retries=False)
            location.run("labels")
            assert location.ticks() != []
        assert [text.splitlines()[1] for text in there.texts] == ["first", "second"]
        away.status, away.texts = 200, []
        assert location.ticks() == []
        assert [text.splitlines()[1] for text in away.texts] == ["first", "second"]
        assert location.ticks() == []
        assert [len(one.texts) for one in (away, there)] == [2, 2]


def test_it_is_given_up_after_an_hour(location: Location, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    channel.status = 503
    location.fail()
    assert location.ticks() != []
    monkeypatch.setattr(alerts, "RESEND_SECONDS", 0)
    assert location.ticks() != []
    assert location.ticks() == []


TEAM = """
import dagster as dg
from ingest_shared.alerts import alerts_for

@dg.op
def load() -> None: ...

@dg.job(name="{name}_ingest")
def ingest() -> None:
    load()

defs = dg.Definitions.merge(dg.Definitions(jobs=[ingest]), alerts_for("{name}", ["team:{name}"]))
"""


class Platform:
    """Two code locations in processes of their own, and the daemon that evaluates their sensors."""

    def __init__(self, workspace: WorkspaceProcessContext) -> None:
        self._workspace = workspace

    def tick(self) -> None:
        log = logging.getLogger("test")
        list(execute_sensor_iteration(self._workspace, log, None, None))

    def fail(self, location: str) -> None:
        """A run of the location that fails."""
        job = self._repository(location).get_full_job(f"{location}_ingest")
        run = create_run_for_test(
            self._workspace.instance,
            job.name,
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
        )
        self._workspace.instance.report_run_failed(run, "broken")

    def last_tick(self, location: str) -> Any:
        sensor = self._repository(location).get_sensor(f"{location}_run_failures")
        origin = sensor.get_remote_origin_id()
        return self._workspace.instance.get_ticks(origin, sensor.selector_id, limit=1)[0]

    def _repository(self, location: str) -> Any:
        code = self._workspace.create_request_context().get_code_location(location)
        return code.get_repository("__repository__")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    entries = []
    for name in ("github", "stripe"):
        (tmp_path / f"{name}_team.py").write_text(TEAM.format(name=name))
        entries.append({"python_file": {"relative_path": f"{name}_team.py", "location_name": name}})
    (tmp_path / "workspace.yaml").write_text(json.dumps({"load_from": entries}))
    target = WorkspaceFileTarget([str(tmp_path / "workspace.yaml")])
    with (
        dg.instance_for_test(temp_dir=str(tmp_path)) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        yield Platform(workspace)


def test_a_location_is_told_of_its_own_runs_only_and_the_tick_shows_what_went_wrong(
    channel: Channel, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 30 seconds pass between two ticks of a sensor; here they need not.
    monkeypatch.setattr("dagster._core.remote_representation.external.RemoteSensor.min_interval_seconds", 0)
    platform.tick()
    platform.fail("stripe")
    platform.tick()
    assert [text.splitlines()[:2] for text in channel.texts] == [["stripe: stripe_ingest failed", "broken"]]
    assert platform.last_tick("stripe").status == TickStatus.SUCCESS
    platform.fail("github")
    channel.status = 503
    platform.tick()
    assert [text.splitlines()[0] for text in channel.texts] == [
        "stripe: stripe_ingest failed",
        "github: github_ingest failed",
        "github: github_ingest failed",  # once more
    ]
    tick = platform.last_tick("github")
    assert tick.status == TickStatus.FAILURE
    assert "`alerts.to`" in tick.error.message
    assert "hunter2" not in tick.error.to_string()
