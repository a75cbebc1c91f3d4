"""Alerts: runs on a real instance, seen by Dagster's own sensors, sent to servers that listen."""

import base64
import json
import logging
import os
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import dagster as dg
import pytest
import trustme
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

HOOK = "/services/T0/B0/hunter2"
FAILURES, CHECKS = "test_run_failures", "test_failed_checks"


class Slack:
    """A webhook that keeps what it is sent; ``status``, ``body`` and ``location`` are its answer."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.requests: list[str] = []
        self.status, self.body, self.location = 200, b"ok", ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.requests.append(f"{self.command} {self.path}")
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.texts.append(body["text"])
                self._answer()

            def do_GET(self) -> None:
                outer.requests.append(f"{self.command} {self.path}")
                outer.status, outer.location = 200, ""
                self._answer()

            def _answer(self) -> None:
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}{HOOK}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        os.environ["ALERTS__SLACK_WEBHOOK"] = self.url
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class Mail(socketserver.ThreadingTCPServer):
    """An SMTP server that keeps what it is sent; with ``tls`` it offers STARTTLS."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.tls = tls
        self.password = ""
        self.refused: set[str] = set()
        self.logins: list[str] = []
        self.messages: list[EmailMessage] = []
        self.encrypted: list[bool] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        os.environ["ALERTS__EMAIL_TO"] = "team@example.com, lead@example.com"
        os.environ["ALERTS__EMAIL_FROM"] = "dagster@example.com"
        os.environ["ALERTS__SMTP_HOST"] = "127.0.0.1"
        os.environ["ALERTS__SMTP_PORT"] = str(self.server_address[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that does not trust the certificate hangs up."""


class _MailHandler(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        """https://www.rfc-editor.org/rfc/rfc5321, with what a client needs to send a mail."""
        encrypted = False
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                starttls = ["250-STARTTLS"] if self.server.tls and not encrypted else []
                self._say("250-localhost", *starttls, "250 AUTH PLAIN")
            elif verb == "STARTTLS":
                assert self.server.tls
                self._say("220 go")
                secured: Any = self.server.tls.wrap_socket(self.request, server_side=True)
                self.rfile, self.wfile = secured.makefile("rb"), secured.makefile("wb", 0)
                encrypted = True
            elif verb == "AUTH":
                self.server.logins.append(base64.b64decode(line.split()[2]).decode())
                good = self.server.logins[-1].endswith(f"\0{self.server.password}")
                self._say("235 welcome" if good else "535 wrong")
            elif verb == "RCPT":
                refused = any(address in line for address in self.server.refused)
                self._say("550 unknown" if refused else "250 ok")
            elif verb == "DATA":
                self._say("354 go")
                body = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.messages.append(message_from_bytes(body, EmailMessage, policy=policy.default))
                self.server.encrypted.append(encrypted)
                self._say("250 ok")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as slack:
        yield slack


@pytest.fixture
def mail() -> Iterator[Mail]:
    with Mail() as mail:
        yield mail


@pytest.fixture
def secure_mail(tmp_path: Path) -> Iterator[Mail]:
    """A mail server with a certificate that the client trusts, and a password."""
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    os.environ["SSL_CERT_FILE"] = str(tmp_path / "ca.pem")
    with Mail(tls) as mail:
        mail.password = "hunter2"
        os.environ |= {"ALERTS__SMTP_USER": "dagster", "ALERTS__SMTP_PASSWORD": "hunter2"}
        yield mail


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


def test_a_failed_run_makes_one_alert_that_says_what_where_and_whose(location: Location, slack: Slack) -> None:
    location.error = dg.Failure("the token is not valid", allow_retries=False)
    run = location.run()
    assert location.ticks() == []
    assert slack.texts == [
        f"test: test_ingest failed\nthe token is not valid\n"
        f"run {run}: http://127.0.0.1:3000/runs/{run}\nowner: team:test-ingest"
    ]
    assert slack.requests == [f"POST {HOOK}"]
    location.ticks()
    assert len(slack.texts) == 1


def test_the_link_begins_with_the_address_that_is_set(location: Location, slack: Slack) -> None:
    os.environ["INGEST_UI_URL"] = "https://dagster.example.com/ "
    location.error = ValueError()
    run = location.run()
    location.ticks()
    assert f"run {run}: https://dagster.example.com/runs/{run}\n" in slack.texts[0]


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
def test_the_error_is_one_line(location: Location, slack: Slack, error: Exception, line: str) -> None:
    location.error = error
    location.run("labels")
    location.ticks()
    assert slack.texts[0].splitlines()[1] == line
    assert slack.texts[0].count("\n") == 3


def test_a_run_that_never_began_tells_what_dagster_says(location: Location, slack: Slack) -> None:
    location.fail()
    location.ticks()
    assert slack.texts[0].splitlines()[:2] == ["test: test_ingest failed", "the container did not start"]


def test_a_run_that_dagster_repeats_says_so(location: Location, slack: Slack) -> None:
    location.error = ValueError()
    location.run("labels", tags={"dagster/will_retry": "true"})
    location.run("labels", tags={"dagster/will_retry": "false"})
    location.ticks()
    assert ["Dagster runs it again by itself." in text for text in slack.texts] == [True, False]


def test_the_owner_is_that_of_the_selected_assets(location: Location, slack: Slack) -> None:
    location.error = ValueError()
    for assets in (["issues"], ["labels"], ["issues", "labels"]):
        location.run(*assets)
    location.ticks()
    owners = [text.splitlines()[-1] for text in slack.texts]
    assert owners == ["owner: team:issues", "owner: team:test-ingest", "owner: team:issues"]


def test_a_run_of_an_asset_that_is_no_more_belongs_to_the_location(location: Location, slack: Slack) -> None:
    run = create_run_for_test(location.instance, "test_ingest", asset_selection=frozenset({dg.AssetKey("removed")}))
    location.instance.report_run_failed(run, "broken")
    assert location.ticks() == []
    assert slack.texts[0].splitlines()[-1] == "owner: team:test-ingest"


def test_a_good_run_makes_no_alert(location: Location, slack: Slack) -> None:
    location.found = [[dg.AssetCheckResult(passed=True, asset_key="issues", check_name="check_1")]]
    location.run()
    assert location.ticks() == []
    assert slack.texts == []


def test_failed_checks_make_one_alert_with_what_they_found(location: Location, slack: Slack) -> None:
    location.found = [
        [
            failed("check_1", metadata={"left out": dg.MetadataValue.json({"octo/gone": "no such\nplace"}), "rows": 3}),
            failed("check_2", "", severity=dg.AssetCheckSeverity.WARN),
            dg.AssetCheckResult(passed=True, asset_key="issues", check_name="check_3"),
        ]
    ]
    run = location.run()
    assert location.ticks() == []
    assert slack.texts == [
        "test: 2 checks of test_ingest failed\n"
        r"issues check_1 (ERROR): wrong; left out: {'octo/gone': 'no such\nplace'}; rows: 3"
        "\nissues check_2 (WARN): no details\n"
        f"run {run}: http://127.0.0.1:3000/runs/{run}\nowner: team:issues"
    ]
    location.ticks()
    assert len(slack.texts) == 1


def test_what_a_check_found_is_one_short_line(location: Location, slack: Slack) -> None:
    location.found = [[failed("check_1", "long\n" * 200)]]
    location.run()
    location.ticks()
    assert slack.texts[0].count("\n") == 3
    assert len(slack.texts[0]) < 600


def test_a_check_that_passed_at_the_second_try_makes_no_alert(location: Location, slack: Slack) -> None:
    good = dg.AssetCheckResult(passed=True, asset_key="issues", check_name="check_1")
    location.found = [[failed("check_1"), failed("check_2")], [good, failed("check_2")]]
    location.run()
    location.ticks()
    assert ["1 check of" in text and "check_1" not in text for text in slack.texts] == [True]


def test_failed_checks_of_a_failed_run_stand_in_its_one_alert(location: Location, slack: Slack) -> None:
    location.error = dg.Failure("broken", allow_retries=False)
    location.found = [[failed("check_1")]]
    location.run()
    assert location.ticks() == []
    assert [text.splitlines()[:3] for text in slack.texts] == [
        ["test: test_ingest failed", "broken", "issues check_1 (ERROR): wrong"]
    ]


def test_many_failed_checks_are_counted(location: Location, slack: Slack) -> None:
    location.found = [[failed(f"check_{i}") for i in range(22)]]
    location.run()
    location.ticks()
    lines = slack.texts[0].splitlines()
    assert lines[0] == "test: 22 checks of test_ingest failed"
    assert lines[21] == "and 2 more"
    assert len(lines) == 24


def test_signs_that_slack_reads_are_escaped(location: Location, slack: Slack) -> None:
    location.error = dg.Failure("<!channel> & 'co'", allow_retries=False)
    location.run()
    location.ticks()
    assert slack.texts[0].splitlines()[1] == "&lt;!channel&gt; &amp; 'co'"


def test_without_a_channel_there_is_no_alert_and_no_error(location: Location) -> None:
    location.fail()
    assert location.ticks() == []
    assert not alerts.send("subject", "text")


def test_the_webhook_is_read_from_a_mounted_file(
    location: Location, slack: Slack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del os.environ["ALERTS__SLACK_WEBHOOK"]
    (tmp_path / "alerts--slack-webhook").write_text(f"{slack.url}\n")
    monkeypatch.setattr(environ, "SECRET_STORAGE_PATH", f"{tmp_path}/%s")
    location.fail()
    location.ticks()
    assert len(slack.texts) == 1


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


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, b"no_service", "it answered 404 no_service"),
        (500, b"<h1>hunter2</h1>", "it answered 500"),
        (202, b"ok", "it answered 202 ok"),
    ],
)
def test_a_webhook_that_refuses_fails_the_tick(
    location: Location, slack: Slack, caplog: pytest.LogCaptureFixture, status: int, body: bytes, says: str
) -> None:
    slack.status, slack.body = status, body
    line = failing_tick(location, caplog)
    assert "`alerts.slack_webhook` (environment ALERTS__SLACK_WEBHOOK" in line
    assert line.endswith(says)


def test_a_webhook_that_redirects_fails_the_tick(
    location: Location, slack: Slack, caplog: pytest.LogCaptureFixture
) -> None:
    slack.status, slack.location = 302, "/elsewhere"
    assert "it answered 302" in failing_tick(location, caplog)
    assert slack.requests == [f"POST {HOOK}"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}" + HOOK, "hunter2", "http://[hunter2", "http://.hunter2/"])
def test_a_webhook_that_is_not_there_fails_the_tick(
    location: Location, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    os.environ["ALERTS__SLACK_WEBHOOK"] = url.replace("{port}", str(closed_port()))
    line = failing_tick(location, caplog)
    assert "alerts.slack_webhook" in line
    assert "no answer (" in line


def test_a_channel_that_stays_silent_fails_the_tick(
    location: Location, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "TIMEOUT", 0.1)
    started = time.monotonic()
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as silent:
        port = silent.server_address[1]
        os.environ["ALERTS__SLACK_WEBHOOK"] = f"http://127.0.0.1:{port}{HOOK}"
        os.environ |= {"ALERTS__EMAIL_TO": "a@example.com", "ALERTS__EMAIL_FROM": "b@example.com"}
        os.environ |= {"ALERTS__SMTP_HOST": "127.0.0.1", "ALERTS__SMTP_PORT": str(port)}
        line = failing_tick(location, caplog)
    assert "no answer (ReadTimeout)" in line
    assert "`alerts.smtp_host` 127.0.0.1 did not take the alert (SMTPServerDisconnected" in line
    assert "timed out" in line
    assert time.monotonic() - started < 10


def test_a_mail_has_subject_text_and_every_recipient(location: Location, mail: Mail) -> None:
    location.error = dg.Failure("a < b", allow_retries=False)
    run = location.run()
    assert location.ticks() == []
    (message,) = mail.messages
    assert message["Subject"] == "test: test_ingest failed"
    assert (message["From"], message["To"]) == ("dagster@example.com", "team@example.com, lead@example.com")
    assert message["Date"].datetime.tzinfo
    assert message.get_content().splitlines() == [
        "a < b",
        f"run {run}: http://127.0.0.1:3000/runs/{run}",
        "owner: team:test-ingest",
    ]
    assert mail.encrypted == [False]


def test_both_channels_get_the_alert(location: Location, slack: Slack, mail: Mail) -> None:
    location.fail()
    location.ticks()
    assert (len(slack.texts), len(mail.messages)) == (1, 1)


def test_a_channel_gets_the_alert_when_the_other_one_does_not(
    location: Location, slack: Slack, mail: Mail, caplog: pytest.LogCaptureFixture
) -> None:
    slack.status = 500
    assert "alerts.slack_webhook" in failing_tick(location, caplog)
    assert len(mail.messages) == 1


def test_mail_goes_over_tls_where_that_is_offered(location: Location, secure_mail: Mail) -> None:
    location.fail()
    assert location.ticks() == []
    assert secure_mail.encrypted == [True]
    assert secure_mail.logins == ["\0dagster\0hunter2"]


def test_a_mail_server_whose_certificate_is_not_trusted_gets_nothing(
    location: Location, secure_mail: Mail, caplog: pytest.LogCaptureFixture
) -> None:
    del os.environ["SSL_CERT_FILE"]
    line = failing_tick(location, caplog)
    assert "`alerts.smtp_host` 127.0.0.1 did not take the alert (SSLCertVerificationError" in line
    assert (secure_mail.logins, secure_mail.messages) == ([], [])


def test_a_password_is_not_sent_in_the_clear(
    location: Location, secure_mail: Mail, caplog: pytest.LogCaptureFixture
) -> None:
    secure_mail.tls = None
    assert "offers no STARTTLS, and `alerts.smtp_password` is not sent" in failing_tick(location, caplog)
    assert secure_mail.logins == []


def test_a_wrong_password_fails_the_tick(
    location: Location, secure_mail: Mail, caplog: pytest.LogCaptureFixture
) -> None:
    secure_mail.password = "another"
    assert "(SMTPAuthenticationError: (535, b'wrong'))" in failing_tick(location, caplog)


def test_a_user_without_a_password_says_what_is_missing(
    location: Location, secure_mail: Mail, caplog: pytest.LogCaptureFixture
) -> None:
    del os.environ["ALERTS__SMTP_PASSWORD"]
    assert "alerts.smtp_password is not set: alerts.smtp_user is set" in failing_tick(location, caplog)


def test_a_recipient_that_is_refused_fails_the_tick(
    location: Location, mail: Mail, caplog: pytest.LogCaptureFixture
) -> None:
    mail.refused = {"lead@example.com"}
    assert "refused lead@example.com of `alerts.email_to`" in failing_tick(location, caplog)
    assert len(mail.messages) == 1


@pytest.mark.parametrize("missing", ["email_to", "email_from", "smtp_host"])
def test_mail_that_is_set_in_part_says_what_is_missing(
    location: Location, mail: Mail, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    del os.environ[f"ALERTS__{missing.upper()}"]
    assert f"alerts.{missing} is not set" in failing_tick(location, caplog)


@pytest.mark.parametrize("port", ["smtp", "99999", "-1"])
def test_a_port_that_is_none_is_named(
    location: Location, mail: Mail, caplog: pytest.LogCaptureFixture, port: str
) -> None:
    os.environ["ALERTS__SMTP_PORT"] = port
    assert f"alerts.smtp_port is '{port}'" in failing_tick(location, caplog)


def test_an_address_of_two_lines_fails_the_tick(
    location: Location, mail: Mail, caplog: pytest.LogCaptureFixture
) -> None:
    os.environ["ALERTS__EMAIL_FROM"] = "a@example.com\nb@example.com"
    assert "did not take the alert (ValueError" in failing_tick(location, caplog)


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
    slack: Slack, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 30 seconds pass between two ticks of a sensor; here they need not.
    monkeypatch.setattr("dagster._core.remote_representation.external.RemoteSensor.min_interval_seconds", 0)
    platform.tick()
    platform.fail("stripe")
    platform.tick()
    assert [text.splitlines()[:2] for text in slack.texts] == [["stripe: stripe_ingest failed", "broken"]]
    assert platform.last_tick("stripe").status == TickStatus.SUCCESS
    platform.fail("github")
    slack.status = 503
    platform.tick()
    assert [text.splitlines()[0] for text in slack.texts] == [
        "stripe: stripe_ingest failed",
        "github: github_ingest failed",
    ]
    tick = platform.last_tick("github")
    assert tick.status == TickStatus.FAILURE
    assert "`alerts.slack_webhook`" in tick.error.message
    assert "hunter2" not in tick.error.to_string()
