"""The engine under every walk: tasks that may bring further tasks, many in flight, few pages in memory.

A task is a request for a page, or a :class:`Window` of time that can be split while workers are idle.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self, TypeVar


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
            waiting.extendleft(reversed([*more]))  # what was begun comes to its end before another list begins
            yield item
    finally:
        for _ in range(workers):
            todo.put(None)
