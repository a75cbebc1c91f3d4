"""Ceilings of an API: so many calls in a second, as the API counts them where they arrive."""

import heapq
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

MARGIN = 0.02
"""Seconds by which the way to the API and the way back may vary, in which the fastest call says little."""


class Ceiling:
    """No more than ``calls`` calls arrive in any one second, however long each is on its way.

    A pace alone cannot promise that: calls that leave evenly arrive together when the network, the API or this
    machine stood still for a moment. When a call arrived is not known, only when it was sent and answered. So a
    call counts from when it is sent until a second later, and for as much longer as its answer took longer than
    the fastest one: it may have waited on its way there. This holds for one run; the pace of
    :class:`~ingest_shared.reading.limits.Limit` is shared by all.
    """

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._under_way = 0
        self._answered: list[float] = []
        """When the latest calls were answered that another may follow, the oldest first."""
        self._fastest = 0.0
        """Seconds between sending a call and the beginning of its answer, at best; 0 before the first."""
        self._changed = threading.Condition()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Blocks until a call may be sent, which lasts until its answer begins."""
        time.sleep(max(0.0, self._begin() + 1.0 + MARGIN - self._fastest - time.monotonic()))
        sent = time.monotonic()
        try:
            yield
            took = time.monotonic() - sent
            self._fastest = min(took, self._fastest or took)
        finally:
            with self._changed:
                self._under_way -= 1
                heapq.heappush(self._answered, time.monotonic())
                self._changed.notify()

    def _begin(self) -> float:
        """When the call was answered that this one follows; 0 where there is room for one more."""
        with self._changed:
            self._changed.wait_for(lambda: self._answered or self._under_way < self._calls)
            is_full = self._under_way + len(self._answered) >= self._calls
            self._under_way += 1
            return heapq.heappop(self._answered) if is_full else 0.0
