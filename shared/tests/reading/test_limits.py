"""The rate of an API is kept by all threads and all processes together."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from ingest_shared.reading import limits
from ingest_shared.reading.limits import Limit, pace_of_each

TEN_CALLS = """
import time
from ingest_shared.reading.limits import Limit, pace_of_each

limit = Limit("api", 50)
for _ in range(10):
    limit.wait()
    print(time.monotonic())
"""


def test_calls_of_all_threads_keep_the_distance_of_the_rate() -> None:
    limit = Limit("api", 50)
    times: list[float] = []

    def call() -> None:
        for _ in range(5):
            limit.wait()
            times.append(time.monotonic())

    threads = [threading.Thread(target=call) for _ in range(4)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 20
    for number, moment in enumerate(sorted(times)):
        assert moment - started >= number / 50 - 0.005
    assert max(times) - started <= 1


def test_an_idle_limit_saves_up_no_calls() -> None:
    limit = Limit("api", 20)
    limit.wait()
    time.sleep(0.2)
    started = time.monotonic()
    for _ in range(3):
        limit.wait()
    assert time.monotonic() - started >= 0.095


def test_a_pause_holds_every_thread() -> None:
    limit = Limit("api", 1e6)
    limit.pause(0.3)
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: limit.wait(), range(4)))
    assert time.monotonic() - started >= 0.29


def test_a_long_pause_holds_up_no_turn_and_no_other_pause() -> None:
    """Who has its turn looks for another credential; who is told to wait as well must not wait for that."""
    limit = Limit("api", 1e6)
    started = time.monotonic()
    for _ in range(2):
        limit.pause(1000)
        limit.take_turn()
    assert time.monotonic() - started < 1


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    limit = Limit("api", 1e6)
    limit.pause(0.3)
    limit.pause(0.01)
    started = time.monotonic()
    limit.wait()
    assert time.monotonic() - started >= 0.29


def test_two_processes_keep_the_distance_of_the_rate_together() -> None:
    Limit("api", 50).pause(1)  # until both are there
    started = time.monotonic()
    processes = [
        subprocess.Popen([sys.executable, "-c", TEN_CALLS], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    calls = sorted(float(line) for process in processes for line in process.communicate()[0].split())
    assert len(calls) == 20
    for number, call in enumerate(calls):
        assert call - started >= 1 + number / 50 - 0.01


def test_what_does_not_share_a_name_shares_no_rate() -> None:
    Limit("api", 1e6).pause(5)
    started = time.monotonic()
    Limit("another", 1e6).wait()
    assert time.monotonic() - started < 1


def test_a_note_from_before_the_last_start_of_the_machine_holds_nobody() -> None:
    limit = Limit("api", 1e6)
    limit.pause(10 * 24 * 3600)
    started = time.monotonic()
    limit.wait()
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("seconds", [-600.0, 600.0])
def test_a_clock_that_is_set_holds_nobody_and_lets_no_call_through(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    now, ahead = [1_000.0], [0.0]

    def sleep(span: float) -> None:
        now[0] += span

    clocks = SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0] + ahead[0], sleep=sleep)
    monkeypatch.setattr(limits, "time", clocks)
    limit, other = Limit("api", 10), Limit("api", 10)
    for number in range(10):
        ahead[0] = number * seconds
        limit.take_turn()
        other.take_turn()
    assert now[0] == pytest.approx(1_000 + 19 / 10)


def test_time_that_was_reserved_before_the_machine_started_holds_nobody() -> None:
    limit = Limit("api", 1e6)
    limit._note(time.monotonic() + 100, 0.0)
    started = time.monotonic()
    limit.take_turn()
    assert time.monotonic() - started < 1


def test_on_kubernetes_where_runs_share_no_folder_each_shard_has_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pace_of_each(14, 4) == 14
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert pace_of_each(14, 4) == 3.5
    assert pace_of_each(14, 1) == 14
