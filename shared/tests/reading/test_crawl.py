"""Tasks are done whole and once, many at a time, few results in memory."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from ingest_shared.reading.crawl import Task, crawl
from ingest_shared.reading.windows import Window, cut


@dataclass(frozen=True)
class Numbered(Task):
    number: int


@dataclass(frozen=True)
class Span(Task):
    window: Window

    def split(self, parts: int) -> Sequence["Span"]:
        return [Span(window) for window in self.window.split(parts)]


def numbered(count: int) -> list[Numbered]:
    return [Numbered(number) for number in range(count)]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def crawl_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "crawl"}


def test_each_task_is_yielded_once() -> None:
    assert sorted(crawl(lambda task: (task.number, ()), numbered(50), lambda: 4)) == list(range(50))


def test_no_tasks_yield_nothing() -> None:
    assert list(crawl(lambda task: (task, ()), [], lambda: 4)) == []


def test_a_task_brings_further_tasks() -> None:
    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        children = (2 * task.number + 1, 2 * task.number + 2)
        return task.number, [Numbered(child) for child in children if child < 100]

    assert sorted(crawl(fetch, numbered(1), lambda: 4)) == list(range(100))


def test_what_was_begun_comes_to_its_end_before_another_one_begins() -> None:
    """So that of many lists few are under way when a run has to stop."""

    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        return task.number, [Numbered(task.number + 10)] if task.number < 20 else []

    assert list(crawl(fetch, numbered(3), lambda: 1)) == [0, 10, 20, 1, 11, 21, 2, 12, 22]


def test_so_many_calls_run_at_a_time_as_allowed_and_no_more() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return task.number, ()

    list(crawl(fetch, numbered(40), lambda: 4))
    assert most == 4


def test_results_that_nobody_takes_stop_the_reading() -> None:
    started: list[int] = []

    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        started.append(task.number)
        return task.number, ()

    results = crawl(fetch, numbered(1000), lambda: 4)
    next(results)
    time.sleep(0.2)
    assert len(started) <= 2 * 4
    assert len(list(results)) == 999


def test_one_call_at_a_time_keeps_the_order_of_the_tasks() -> None:
    assert list(crawl(lambda task: (task.number, ()), numbered(20), lambda: 1)) == list(range(20))


def test_the_first_error_is_raised_and_stops_the_reading() -> None:
    started: list[int] = []

    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        started.append(task.number)
        if task.number == 5:
            raise LookupError("page 5 is broken")
        return task.number, ()

    before = crawl_threads()
    with pytest.raises(LookupError, match="page 5 is broken"):
        list(crawl(fetch, numbered(1000), lambda: 4))
    wait_until(lambda: crawl_threads() <= before)
    assert len(started) < 20


def test_closing_the_reader_early_stops_the_reading() -> None:
    started: list[int] = []

    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        started.append(task.number)
        return task.number, ()

    before = crawl_threads()
    results = crawl(fetch, numbered(1000), lambda: 4)
    assert isinstance(results, Iterator)
    next(results)
    results.close()  # type: ignore[attr-defined]
    wait_until(lambda: crawl_threads() <= before)
    assert len(started) < 20


def test_an_error_of_the_one_who_takes_the_results_stops_the_reading() -> None:
    before = crawl_threads()

    def take() -> None:
        for number in crawl(lambda task: (task.number, ()), numbered(1000), lambda: 4):
            raise LookupError(number)

    with pytest.raises(LookupError):
        take()
    wait_until(lambda: crawl_threads() <= before)


def test_a_task_is_split_while_workers_are_idle() -> None:
    windows = list(crawl(lambda task: (task.window, ()), [Span(Window(0, 100, pages=10))], lambda: 4))
    assert sorted((window.start, window.end) for window in windows) == [(0, 25), (25, 50), (50, 75), (75, 100)]


def seconds(read: Callable[[], None]) -> float:
    """How long it takes: the best of up to three, since other processes may hold the processor."""
    best = float("inf")
    for _ in range(3):
        started = time.monotonic()
        read()
        best = min(best, time.monotonic() - started)
        if best <= ONE_BY_ONE / 5:
            break
    return best


ONE_BY_ONE = 200 * 0.05
"""Seconds that 200 pages of 50 ms take one after the other."""


def test_200_pages_that_take_50_ms_each_take_at_most_a_fifth_of_one_by_one() -> None:
    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        time.sleep(0.05)
        return task.number, ()

    def read() -> None:
        assert len(list(crawl(fetch, numbered(200), lambda: 8))) == 200

    assert seconds(read) <= ONE_BY_ONE / 5


def test_200_pages_read_by_windows_take_at_most_a_fifth_of_one_by_one() -> None:
    seconds_of_rows = range(20_000)

    def fetch(task: Span) -> tuple[list[int], Iterable[Span]]:
        time.sleep(0.05)
        inside = seconds_of_rows[task.window.start : task.window.end]
        page = list(inside[:100])
        rows, left = cut(page, page, task.window, ascending=True, more=len(inside) > 100)
        return rows, map(Span, left)

    def read() -> None:
        found = [second for page in crawl(fetch, [Span(Window(0, 20_000))], lambda: 8) for second in page]
        assert sorted(found) == list(seconds_of_rows)

    assert seconds(read) <= ONE_BY_ONE / 5
