"""However late calls are, the API counts no more than a ceiling in any one second."""

import errno
import fcntl
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from ingest_shared.errors import SettingError
from ingest_shared.reading import ceilings
from ingest_shared.reading.ceilings import MARGIN, Ceiling


@dataclass
class Clock:
    """Clocks that only move when somebody sleeps; one of them is also set."""

    now: float = 1_000.0
    set_to: float = 0.0
    """By how much the clock on the wall is ahead."""
    counted: list[float] = field(default_factory=list)
    """When each call arrived."""

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + self.set_to

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def call(self, ceiling: Ceiling, there: float = 0.01, back: float = 0.02) -> None:
        """A call that is so many seconds on its way to the API, and until its answer begins."""
        with ceiling.call():
            self.sleep(there)
            self.counted.append(self.now)
            self.sleep(back)

    def most_in_a_second(self) -> int:
        return max(sum(at <= other < at + 1 for other in self.counted) for at in self.counted)


@pytest.fixture(autouse=True)
def limits_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_LIMITS_DIR", str(tmp_path))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ceilings, "time", clock)
    return clock


def test_calls_that_are_late_are_made_up_for_by_later_ones(clock: Clock) -> None:
    ceiling, late = Ceiling("things", 5), random.Random(1)
    for _ in range(300):
        clock.call(ceiling, there=0.01 + late.choice([0, 0, 0.05, 0.4]))
    assert clock.most_in_a_second() == 5


def test_calls_that_take_the_same_time_reach_the_ceiling(clock: Clock) -> None:
    ceiling, began = Ceiling("things", 5), clock.now
    for _ in range(51):
        clock.call(ceiling)
    assert clock.most_in_a_second() == 5
    assert clock.now - began == pytest.approx(10 * (1 + MARGIN), abs=0.2)


def test_a_run_whose_calls_were_slow_allows_for_the_quick_ones_of_another(clock: Clock) -> None:
    slow, quick = Ceiling("things", 1), Ceiling("things", 1)
    clock.call(slow, there=0.3, back=0.3)
    clock.call(quick)
    clock.call(slow)
    assert clock.most_in_a_second() == 1


def test_a_call_that_fails_counts_and_is_not_the_fastest(clock: Clock) -> None:
    ceiling = Ceiling("things", 1)
    clock.call(ceiling, there=0.3)
    with pytest.raises(ConnectionError), ceiling.call():
        raise ConnectionError
    for _ in range(3):
        clock.call(ceiling, there=0.3)
    assert [late - early for early, late in pairwise(clock.counted[1:])] == pytest.approx([1 + MARGIN] * 2)


CALLS = """
import time
from ingest_shared.reading.ceilings import ceiling
for number in range({calls}):
    with ceiling("things", 5).call():
        print(time.monotonic(), flush=True)
    {then}
"""


def a_run(calls: int, then: str = "pass") -> "subprocess.Popen[str]":
    """A process that makes so many calls, and says when."""
    code = CALLS.format(calls=calls, then=then)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_runs_side_by_side_are_under_one_ceiling() -> None:
    runs = [a_run(8) for _ in range(2)]
    counted = sorted(float(line) for run in runs for line in run.communicate(timeout=60)[0].split())
    assert len(counted) == 16
    assert all(late - early >= 1 for early, late in zip(counted, counted[5:], strict=False))


def test_what_a_killed_run_sent_counts_and_blocks_nobody() -> None:
    killed = a_run(5, then="number == 4 and time.sleep(60)")
    assert killed.stdout
    sent = [float(killed.stdout.readline()) for _ in range(5)]
    killed.kill()
    killed.wait()
    with Ceiling("things", 5).call():
        assert time.monotonic() - sent[0] >= 1


@pytest.mark.parametrize("seconds", [-500.0, 500.0])
def test_a_clock_that_is_set_lets_no_call_through_and_blocks_none(clock: Clock, seconds: float) -> None:
    ceiling = Ceiling("things", 2)
    for number in range(6):
        clock.set_to = seconds * number
        clock.call(ceiling)
    assert clock.most_in_a_second() == 2
    assert clock.now < 1_000 + 3 * (1 + MARGIN)


def test_a_file_from_before_the_machine_started_blocks_nobody(clock: Clock) -> None:
    clock.call(Ceiling("things", 1))
    clock.now -= 500
    before = clock.now
    clock.call(Ceiling("things", 1))
    assert clock.now - before < 1


def test_no_call_is_sent_while_as_many_are_under_way() -> None:
    ceiling, sent = Ceiling("things", 2), threading.Semaphore(0)
    may_end = threading.Event()

    def call() -> None:
        with ceiling.call():
            sent.release()
            may_end.wait(60)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert [sent.acquire(timeout=30) for _ in range(2)] == [True, True]
    assert not sent.acquire(timeout=0.2)
    may_end.set()
    assert sent.acquire(timeout=30)
    for thread in threads:
        thread.join()


def test_threads_that_begin_together_have_one_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of a process share the locks: neither would see that the other one has a slot."""
    all_there = threading.Barrier(2)

    class Slow(Ceiling):
        def __init__(self, name: str, calls: int) -> None:
            with suppress(threading.BrokenBarrierError):
                all_there.wait(0.2)
            super().__init__(name, calls)

    monkeypatch.setattr(ceilings, "Ceiling", Slow)
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda _: ceilings.ceiling("begun together", 1), range(2))
    assert one is other


def test_a_folder_that_cannot_lock_is_an_error_and_no_endless_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", cannot)
    with pytest.raises(SettingError, match=r"`INGEST_LIMITS_DIR` cannot be locked .*No locks available"):
        Ceiling("things", 1)._take()
