"""However late calls are, the API counts no more than a ceiling in any one second."""

import random
import threading
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from ingest_shared.reading import ceilings
from ingest_shared.reading.ceilings import MARGIN, Ceiling


@dataclass
class Clock:
    """A clock that only moves when somebody sleeps."""

    now: float = 1_000.0
    counted: list[float] = field(default_factory=list)
    """When each call arrived."""

    def monotonic(self) -> float:
        return self.now

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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ceilings, "time", clock)
    return clock


def test_calls_that_are_late_are_made_up_for_by_later_ones(clock: Clock) -> None:
    ceiling, late = Ceiling(5), random.Random(1)
    for _ in range(300):
        clock.call(ceiling, there=0.01 + late.choice([0, 0, 0.05, 0.4]))
    assert clock.most_in_a_second() == 5


def test_calls_that_take_the_same_time_reach_the_ceiling(clock: Clock) -> None:
    ceiling, began = Ceiling(5), clock.now
    for _ in range(51):
        clock.call(ceiling)
    assert clock.most_in_a_second() == 5
    assert clock.now - began == pytest.approx(10 * (1 + MARGIN), abs=0.2)


def test_a_call_that_fails_counts_and_is_not_the_fastest(clock: Clock) -> None:
    ceiling = Ceiling(1)
    clock.call(ceiling, there=0.3)
    with pytest.raises(ConnectionError), ceiling.call():
        raise ConnectionError
    for _ in range(3):
        clock.call(ceiling, there=0.3)
    assert [late - early for early, late in pairwise(clock.counted[1:])] == pytest.approx([1 + MARGIN] * 2)


def test_no_call_is_sent_while_as_many_are_under_way() -> None:
    ceiling, sent = Ceiling(2), threading.Semaphore(0)
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
