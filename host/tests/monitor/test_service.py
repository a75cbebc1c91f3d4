"""The monitor's rounds: which alerts it sends when, over real HTTP; and its pages."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest_host.monitor import __main__ as service
from ingest_host.monitor import alerts
from ingest_host.monitor.__main__ import Watch, serve
from ingest_host.monitor.guard import Guard
from ingest_host.monitor.seen import Instigator, Load, Seen
from tests.monitor.test_problems import NOW, well
from tests.monitor.test_problems import service as container


class Channel:
    """Receives alerts from Apprise's `json://`, unless it is ``away``."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.away = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not outer.away:
                    outer.texts.append(f"{body['title']}\n{body['message']}")
                self.send_response(503 if outer.away else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"json://team:hunter2@127.0.0.1:{self.http.server_port}/"


@pytest.fixture
def channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Channel]]:
    two = [Channel(), Channel()]
    monkeypatch.setattr(alerts, "ADDRESSES", tmp_path / "alerts--to")
    alerts.ADDRESSES.write_text("\n".join(one.address for one in two))
    yield two
    for one in two:
        one.http.shutdown()
        one.http.server_close()


def ill(at: float) -> Seen:
    """The daemon is silent."""
    return _at(well(heartbeats={"SENSOR": NOW - 300}), at)


def _at(seen: Seen, at: float) -> Seen:
    seen.at = at
    return seen


def test_what_lasts_is_told_once_and_so_is_its_end(channels: list[Channel]) -> None:
    watch = Watch()
    for at in (0, 10, 20):
        watch.turn(ill(NOW + at))
    assert channels[0].texts == []
    for at in (30, 40, 50):
        watch.turn(ill(NOW + at))
    line = "daemon: no heartbeat of SENSOR for 330 s"
    assert channels[0].texts == [f"ingest: {line}\n{line}"]
    watch.turn(_at(well(heartbeats={"SENSOR": NOW + 60}), NOW + 60))
    assert channels[0].texts[1:] == [f"ingest: resolved: {line}\nresolved: {line}"]
    assert channels[1].texts == channels[0].texts


def test_what_is_over_at_once_is_not_told(channels: list[Channel]) -> None:
    watch = Watch()
    watch.turn(ill(NOW))
    watch.turn(well())
    watch.turn(ill(NOW + 40))
    assert channels[0].texts == []


def test_an_address_that_was_away_gets_its_alert_later_and_the_others_get_it_once(channels: list[Channel]) -> None:
    watch = Watch()
    channels[1].away = True
    for at in range(0, 60, 10):
        watch.turn(ill(NOW + at))
    assert [len(one.texts) for one in channels] == [1, 0]
    assert len(watch.alerts.waiting) == 1
    channels[1].away = False
    watch.turn(ill(NOW + 60))
    assert [len(one.texts) for one in channels] == [1, 1]
    assert watch.alerts.waiting == []


def test_the_log_names_an_address_that_takes_nothing_without_its_secret(
    channels: list[Channel], caplog: pytest.LogCaptureFixture
) -> None:
    alerts.ADDRESSES.write_text("hunter2 json://team:hunter2@127.0.0.1:9/")
    watch = Watch()
    for at in (0, 30):
        watch.turn(ill(NOW + at))
    assert "an alert of the platform could not be sent to json://; it will be sent again" in caplog.text
    assert "could not be sent to an address without ://" in caplog.text
    assert "hunter2" not in caplog.text
    assert len(watch.alerts.waiting) == 2


def test_without_an_address_the_log_has_it(channels: list[Channel], caplog: pytest.LogCaptureFixture) -> None:
    alerts.ADDRESSES.unlink()
    watch = Watch()
    for at in (0, 30):
        watch.turn(ill(NOW + at))
    assert "daemon: no heartbeat of SENSOR" in caplog.text


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def port(watch: Watch) -> Iterator[int]:
    server = serve(watch, "127.0.0.1", 0)
    yield server.server_port
    server.shutdown()
    server.server_close()


def get(port: int, path: str) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(one.name, *sorted(one.labels.values(), key=str.lower)): one.value for one in found}


def test_prometheus_gets_the_numbers(port: int, watch: Watch) -> None:
    watch.last = well(
        runs=[("github", "SUCCESS", 3)],
        successes=[("github", "github_ingest", NOW - 60)],
        queued=[NOW - 30],
        waiting=[("github_activity", NOW - 20, 2)],
        instigators=[
            Instigator(
                "github",
                "hourly",
                "SCHEDULE",
                ("0 * * * *",),
                NOW - 9000,
                failing=True,
                failures=2,
                ticks=(NOW - 9000,),
            ),
            Instigator("github", "odd", "SCHEDULE", ("not a cron",), NOW, failing=False, failures=0),
        ],
        loads={"github": Load(10, 2, 4000), "stripe": Load(5, 1)},
        services=[container("github", restarts=4), container("setup", keeps=False)],
    )
    found = samples(get(port, "/metrics")[1])
    expected = {
        ("ingest_runs", "github", "SUCCESS"): 3,
        ("ingest_job_success_timestamp_seconds", "github", "github_ingest"): NOW - 60,
        ("ingest_queue_runs",): 1,
        ("ingest_queue_oldest_seconds",): 30,
        ("ingest_daemon_heartbeat_timestamp_seconds", "SENSOR"): NOW - 30,
        ("ingest_schedule_overdue_seconds", "github", "hourly"): 4800,
        ("ingest_ticks_failed", "github", "hourly"): 2,
        ("ingest_ticks_missed", "github", "hourly"): 2,
        ("ingest_pool_waiting_runs", "github_activity"): 2,
        ("ingest_pool_wait_seconds", "github_activity"): 20,
        ("ingest_rows", "github"): 10,
        ("ingest_rows_loaded", "stripe"): 1,
        ("ingest_quota_left", "github"): 4000,
        ("ingest_disk_free_bytes",): 50,
        ("ingest_service_up", "github"): 1,
        ("ingest_service_restarts", "github"): 4,
        ("ingest_problems", "daemon: gone"): 1,
        ("ingest_seen_timestamp_seconds",): NOW,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert ("ingest_quota_left", "stripe") not in found
    assert ("ingest_service_up", "setup") not in found


def test_what_could_not_be_asked_has_no_numbers(port: int, watch: Watch) -> None:
    watch.last = well(faults={"storage": "refused"})
    found = samples(get(port, "/metrics")[1])
    assert ("ingest_problems", "storage: fault") in found
    assert ("ingest_queue_runs",) not in found


def test_the_status_says_what_is_ill(port: int, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(get(port, "/status")[1]) == {
        "problems": ["monitor: it has not checked the platform in the last minute"]
    }
    assert get(port, "/healthz")[0] == 503
    monkeypatch.setattr(time, "time", lambda: NOW + 70)
    watch.turn(ill(NOW))
    assert get(port, "/healthz")[0] == 503
    watch.turn(ill(NOW + 60))
    assert get(port, "/healthz")[0] == 200
    assert json.loads(get(port, "/status")[1])["problems"] == ["daemon: no heartbeat of SENSOR for 360 s"]
    assert get(port, "/")[0] == 404


def test_whose_sessions_the_guard_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, told = threading.Event(), []

    def run(guard: Guard) -> None:
        guard.ended["stripe"] = time.time(), "they held 12345 locks"
        ended.set()

    def look() -> Seen:
        assert ended.wait(10)
        return well()

    def turn(_watch: Watch, seen: Seen) -> None:
        told.append(seen.ended)
        raise InterruptedError

    monkeypatch.setattr(Guard, "run", run)
    monkeypatch.setattr(service, "look", look)
    monkeypatch.setattr(service, "serve", lambda *_: None)
    monkeypatch.setattr(Watch, "turn", turn)
    with pytest.raises(InterruptedError):
        service.main()
    assert told == [{"stripe": "they held 12345 locks"}]
