"""The engine under every walk: tasks that may produce further tasks, many in flight, few pages in memory.

A task is a request for a page, or a :class:`Window` of time that can be split while workers are idle.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self, TypeVar, overload

MOMENT = 0.1
"""Most seconds that a crawl waits before others get their turn."""


class Task:
    """A piece of a list that one request reads, or starts to read."""

    def split(self, parts: int) -> Sequence[Self]:
        """The same piece as up to ``parts`` tasks that can be read side by side."""
        return [self]


class Arrived:
    """Counts the results that wait to be taken, over all crawls that share it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def add(self, count: int) -> None:
        with self._condition:
            self._count += count
            self._condition.notify_all()

    def wait(self) -> None:
        """Blocks until there is a result, but only for a moment: dlt checks for signals in between."""
        with self._condition:
            self._condition.wait_for(lambda: self._count > 0, MOMENT)


TTask = TypeVar("TTask", bound=Task)
Item = TypeVar("Item")


@overload
def crawl(
    fetch: Callable[[TTask], tuple[Item, Iterable[TTask]]], tasks: Iterable[TTask], in_flight: Callable[[], int]
) -> Iterator[Item]: ...
@overload
def crawl(
    fetch: Callable[[TTask], tuple[Item, Iterable[TTask]]],
    tasks: Iterable[TTask],
    in_flight: Callable[[], int],
    arrived: Arrived | None,
) -> Iterator[Item | None]: ...
def crawl(
    fetch: Callable[[TTask], tuple[Item, Iterable[TTask]]],
    tasks: Iterable[TTask],
    in_flight: Callable[[], int],
    arrived: Arrived | None = None,
) -> Iterator[Item | None]:
    """Yields what ``fetch`` returns for each task, and for the tasks that it returns, as it arrives.

    At most ``in_flight`` calls of ``fetch`` run at a time, in threads, and at most that many results wait to be taken,
    so memory does not grow with the list. The number may change along the way. The first error stops everything and is
    raised here.

    If one thread alternates between several crawls that share ``arrived``, each yields None while it has no result, and
    waits only after the others have had their turn.
    """
    todo: queue.SimpleQueue[TTask | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Item, Iterable[TTask]] | BaseException] = queue.SimpleQueue()

    def work() -> None:
        while (task := todo.get()) is not None:
            try:
                done.put(fetch(task))
            except BaseException as error:  # noqa: BLE001, it is raised in the reader's thread
                done.put(error)
            if arrived:
                arrived.add(1)

    waiting = deque(tasks)
    running = 0
    workers = 0
    gave_way = False
    try:
        while waiting or running:
            while waiting and running < (most := in_flight()):
                task = waiting.popleft()
                free = most - running - len(waiting)
                first, *others = task.split(free) if free > 1 else [task]
                waiting.extendleft(reversed(others))
                todo.put(first)
                running += 1
                if workers < running:
                    threading.Thread(target=work, daemon=True, name="crawl").start()
                    workers += 1
            if arrived:
                if done.empty() and gave_way:
                    arrived.wait()
                gave_way = done.empty()
                if gave_way:
                    yield None
                    continue
                arrived.add(-1)
            result = done.get()
            running -= 1
            if isinstance(result, BaseException):
                raise result
            item, more = result
            waiting.extendleft(reversed([*more]))  # finish what was started before another list begins
            yield item
    finally:
        for _ in range(workers):
            todo.put(None)
