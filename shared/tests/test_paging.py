"""A list is read whole and once, many pages at a time, few of them in memory."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_shared.paging import Task, Window, crawl, cut, one_second


@dataclass(frozen=True)
class Numbered(Task):
    number: int


def numbered(count: int) -> list[Numbered]:
    return [Numbered(number) for number in range(count)]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def crawl_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "crawl"}


# The engine


def test_each_task_is_yielded_once() -> None:
    assert sorted(crawl(lambda task: (task.number, ()), numbered(50), 4)) == list(range(50))


def test_no_tasks_yield_nothing() -> None:
    assert list(crawl(lambda task: (task, ()), [], 4)) == []


def test_a_task_brings_further_tasks() -> None:
    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        children = (2 * task.number + 1, 2 * task.number + 2)
        return task.number, [Numbered(child) for child in children if child < 100]

    assert sorted(crawl(fetch, numbered(1), 4)) == list(range(100))


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

    list(crawl(fetch, numbered(40), 4))
    assert most == 4


def test_results_that_nobody_takes_stop_the_reading() -> None:
    started: list[int] = []

    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        started.append(task.number)
        return task.number, ()

    results = crawl(fetch, numbered(1000), 4)
    next(results)
    time.sleep(0.2)
    assert len(started) <= 2 * 4
    assert len(list(results)) == 999


def test_one_call_at_a_time_keeps_the_order_of_the_tasks() -> None:
    assert list(crawl(lambda task: (task.number, ()), numbered(20), 1)) == list(range(20))


def test_the_first_error_is_raised_and_stops_the_reading() -> None:
    started: list[int] = []

    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        started.append(task.number)
        if task.number == 5:
            raise LookupError("page 5 is broken")
        return task.number, ()

    before = crawl_threads()
    with pytest.raises(LookupError, match="page 5 is broken"):
        list(crawl(fetch, numbered(1000), 4))
    wait_until(lambda: crawl_threads() <= before)
    assert len(started) < 20


def test_closing_the_reader_early_stops_the_reading() -> None:
    started: list[int] = []

    def fetch(task: Numbered) -> tuple[int, Iterable[Numbered]]:
        started.append(task.number)
        return task.number, ()

    before = crawl_threads()
    results = crawl(fetch, numbered(1000), 4)
    assert isinstance(results, Iterator)
    next(results)
    results.close()  # type: ignore[attr-defined]
    wait_until(lambda: crawl_threads() <= before)
    assert len(started) < 20


def test_an_error_of_the_one_who_takes_the_results_stops_the_reading() -> None:
    before = crawl_threads()

    def take() -> None:
        for number in crawl(lambda task: (task.number, ()), numbered(1000), 4):
            raise LookupError(number)

    with pytest.raises(LookupError):
        take()
    wait_until(lambda: crawl_threads() <= before)


def test_a_task_is_split_while_workers_are_idle() -> None:
    windows: list[Window] = []

    def fetch(task: Window) -> tuple[Window, Iterable[Window]]:
        windows.append(task)
        return task, ()

    list(crawl(fetch, [Window(0, 100, pages=10)], 4))
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
        assert len(list(crawl(fetch, numbered(200), 8))) == 200

    assert seconds(read) <= ONE_BY_ONE / 5


def test_200_pages_read_by_windows_take_at_most_a_fifth_of_one_by_one() -> None:
    rows = [Row(id=second, at=second) for second in range(20_000)]

    def fetch(window: Window) -> tuple[list[Row], Iterable[Window]]:
        time.sleep(0.05)
        inside = rows[window.start : window.end]
        return cut(inside[:100], at, window, ascending=True, more=len(inside) > 100)

    def read() -> None:
        ids = [row.id for page in crawl(fetch, [Window(0, 20_000)], 8) for row in page]
        assert sorted(ids) == list(range(20_000))

    assert seconds(read) <= ONE_BY_ONE / 5


# Windows of time


@dataclass(frozen=True)
class Row:
    id: int
    at: int


def at(row: Row) -> int:
    return row.at


def rows_at(*seconds: int) -> list[Row]:
    return [Row(id, second) for id, second in enumerate(seconds)]


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 50), st.integers(-1, 20))
def test_the_parts_of_a_window_are_the_window(start: int, length: int, pages: float, parts: int) -> None:
    window = Window(start, start + length, pages)
    split = window.split(parts)
    seconds = [second for part in split for second in range(part.start, part.end)]
    assert seconds == list(range(start, start + length))
    assert 1 <= len(split) <= max(1, parts)


def test_a_window_is_split_into_parts_of_at_least_two_pages() -> None:
    assert len(Window(0, 1000, pages=5.4).split(8)) == 2


def test_a_window_of_one_second_is_not_split() -> None:
    assert list(Window(5, 6, pages=9).split(8)) == [Window(5, 6, pages=9)]


def test_the_last_page_is_kept_whole() -> None:
    rows = rows_at(1, 2, 2)
    assert cut(rows, at, Window(0, 10), ascending=True, more=False) == (rows, [])


def test_a_page_without_rows_leaves_nothing_to_read() -> None:
    assert cut([], at, Window(0, 10), ascending=True, more=True) == ([], [])


def test_an_ascending_page_leaves_its_last_second_to_the_next_window() -> None:
    rows = rows_at(1, 3, 5, 5)
    kept, left = cut(rows, at, Window(0, 10), ascending=True, more=True)
    assert kept == rows[:2]
    assert [(window.start, window.end) for window in left] == [(5, 10)]


def test_a_descending_page_leaves_its_last_second_to_the_next_window() -> None:
    rows = rows_at(9, 7, 5, 5)
    kept, left = cut(rows, at, Window(0, 10), ascending=False, more=True)
    assert kept == rows[:2]
    assert [(window.start, window.end) for window in left] == [(0, 6)]


def test_rows_outside_the_window_are_left_to_another() -> None:
    rows = rows_at(1, 4, 6, 9)
    assert cut(rows, at, Window(0, 5), ascending=True, more=True) == (rows[:2], [])


def test_what_is_left_is_guessed_from_how_far_the_page_reached() -> None:
    _, (left,) = cut(rows_at(0, 5, 10), at, Window(0, 110), ascending=True, more=True)
    assert left.pages == 10


def test_a_page_of_a_single_second_is_kept_and_left_to_the_apis_own_link() -> None:
    rows = rows_at(5, 5, 5)
    assert cut(rows, at, Window(0, 10), ascending=True, more=True) == (rows, [])
    assert one_second(rows, at)


@pytest.mark.parametrize("rows", [[], rows_at(5, 6)])
def test_other_pages_are_not_of_a_single_second(rows: list[Row]) -> None:
    assert not one_second(rows, at)


# A list that changes while it is read

HORIZON = 60
"""When the reading begins: what changes from then on is left to the next one."""
PAGE = 4


class ChangingList:
    """A list ordered by time, like GitHub's issues or Stripe's invoices, that moves between requests."""

    def __init__(self, seconds: list[int], ascending: bool) -> None:
        self.at = dict(enumerate(seconds))
        self.ascending = ascending
        self.clock = HORIZON

    def request(self, window: Window) -> tuple[list[Row], bool]:
        """The first page of the window, and whether there is more."""
        rows = [Row(id, second) for id, second in self.at.items() if second >= window.start]
        if not self.ascending:  # GitHub's `since` has no upper end; Stripe's `created` has both
            rows = [row for row in rows if row.at < window.end]
        rows.sort(key=lambda row: row.at, reverse=not self.ascending)
        return rows[:PAGE], len(rows) > PAGE

    def change(self, row: int) -> None:
        """The row moves to the end, as an issue does that is edited."""
        if row in self.at:
            self.clock += 1
            self.at[row] = self.clock

    def vanish(self, row: int) -> None:
        self.at.pop(row, None)


def few_in_a_second(seconds: list[int]) -> bool:
    """A page cannot hold more than one second of such a list, so windows can always be cut."""
    return all(seconds.count(second) < PAGE for second in seconds)


@given(
    seconds=st.lists(st.integers(0, HORIZON - 1), max_size=30).filter(few_in_a_second),
    ascending=st.booleans(),
    workers=st.integers(1, 4),
    data=st.data(),
)
def test_what_does_not_change_meanwhile_is_read_exactly_once_and_nothing_twice(
    seconds: list[int], ascending: bool, workers: int, data: st.DataObject
) -> None:
    origin = ChangingList(seconds, ascending)
    touched: set[int] = set()
    read: list[int] = []
    todo = [Window(0, HORIZON)]
    while todo:
        window, *others = todo.pop(data.draw(st.integers(0, len(todo) - 1))).split(workers)
        todo += others
        rows, more = origin.request(window)
        kept, left = cut(rows, at, window, ascending=ascending, more=more)
        read += [row.id for row in kept]
        todo += left
        for row in data.draw(st.lists(st.integers(0, 30), max_size=3)):
            touched.add(row)
            if ascending and data.draw(st.booleans()):
                origin.change(row)
            else:
                origin.vanish(row)
    assert len(read) == len(set(read))
    assert set(range(len(seconds))) - touched <= set(read)
