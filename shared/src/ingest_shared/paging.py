"""How a list is read: tasks that may bring further tasks, many in flight, few pages in memory.

:func:`crawl` is the only engine. What differs between APIs is the task: a page number, a ``next``
link, or a :class:`Window` of time that can be split while workers are idle.
"""

import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, TypeVar

Row = Any


class Task:
    """A piece of a list that one request reads, or begins to read."""

    def split(self, parts: int) -> Sequence[Self]:
        """The same piece as up to ``parts`` tasks that can be read side by side."""
        return [self]


TTask = TypeVar("TTask", bound=Task)
Item = TypeVar("Item")


def crawl(
    fetch: Callable[[TTask], tuple[Item, Iterable[TTask]]], tasks: Iterable[TTask], in_flight: int
) -> Iterator[Item]:
    """Yields what ``fetch`` brings for each task and for the tasks that it brings, as it arrives.

    At most ``in_flight`` calls of ``fetch`` run at a time, in threads, and at most that many
    results wait to be taken, so memory does not grow with the list. The first error stops all and
    is raised here.
    """
    todo: queue.SimpleQueue[TTask | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Item, Iterable[TTask]] | BaseException] = queue.SimpleQueue()

    def work() -> None:
        while (task := todo.get()) is not None:
            try:
                done.put(fetch(task))
            except BaseException as error:  # noqa: BLE001, it is raised in the reader's thread
                done.put(error)

    waiting = deque(tasks)
    running = 0
    workers = 0
    try:
        while waiting or running:
            while waiting and running < in_flight:
                task = waiting.popleft()
                free = in_flight - running - len(waiting)
                first, *others = task.split(free) if free > 1 else [task]
                waiting.extendleft(reversed(others))
                todo.put(first)
                running += 1
                if workers < running:
                    threading.Thread(target=work, daemon=True, name="crawl").start()
                    workers += 1
            result = done.get()
            running -= 1
            if isinstance(result, BaseException):
                raise result
            item, more = result
            waiting.extend(more)
            yield item
    finally:
        for _ in range(workers):
            todo.put(None)


@dataclass(frozen=True)
class Window(Task):
    """A half-open span of time, in whole seconds since 1970, with a guess of its pages."""

    start: int
    end: int
    pages: float = 1.0

    def split(self, parts: int) -> Sequence[Self]:
        """Windows of at least two pages each: every edge costs about half a page read in vain."""
        parts = max(1, min(parts, math.floor(self.pages / 2), self.end - self.start))
        edges = [self.start + (self.end - self.start) * i // parts for i in range(parts + 1)]
        return [type(self)(a, b, self.pages / parts) for a, b in pairwise(edges)]


def cut(
    rows: list[Row], instant: Callable[[Row], int], window: Window, *, ascending: bool, more: bool
) -> tuple[list[Row], list[Window]]:
    """The rows of a page that lie in ``window``, and the part of the window still to be read.

    The list is sorted by ``instant``. While there is more, the rows of the page's last second are
    left to the next window, which starts with that second: so no row is lost or read twice, even
    when rows move or vanish while the list is read. A page of a single second cannot be left so;
    its window stays empty and the caller must follow the API's own link.
    """
    inside = [row for row in rows if window.start <= instant(row) < window.end]
    if not more or not rows:
        return inside, []
    first, last = instant(rows[0]), instant(rows[-1])
    if not window.start <= last < window.end:
        return inside, []
    if first == last:
        return inside, []
    kept = [row for row in inside if instant(row) != last]
    left = (last, window.end) if ascending else (window.start, last + 1)
    return kept, [Window(*left, pages=max(1.0, (left[1] - left[0]) / abs(last - first)))]


def one_second(rows: list[Row], instant: Callable[[Row], int]) -> bool:
    """Whether every row of a page carries the same second, which :func:`cut` cannot divide."""
    return bool(rows) and instant(rows[0]) == instant(rows[-1])
