"""What was asked of the APIs, and how fast, in the real time of the machine."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from .paths import template

# Paths are of the clients' making, and so without end.
_PATHS_COUNTED = 100
_OTHER_PATHS = "other"

_SECOND, _MINUTE = 1.0, 60.0


class Window:
    """The moments within the last ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moments: deque[float] = deque()

    def count(self, now: float) -> int:
        """How many moments there were until `now`."""
        while self._moments and self._moments[0] <= now - self._seconds:
            self._moments.popleft()
        return len(self._moments)

    def add(self, now: float) -> int:
        """One moment more; how many there are with it."""
        self._moments.append(now)
        return self.count(now)


class Counts(msgspec.Struct):
    """What `Requests` tells, with maxima over any stretch of that length."""

    total: dict[str, int] = {}
    by_status: dict[str, dict[str, int]] = {}
    by_path: dict[str, int] = {}
    """By `ingest_sandbox.paths.template`, up to 100 of them; the rest together as `other`."""
    max_concurrent: dict[str, int] = {}
    max_per_second: dict[str, int] = {}
    max_per_minute: dict[str, int] = {}
    max_per_second_by_path: dict[str, int] = {}
    seconds: dict[str, float] = {}
    """From the first request to the latest."""


class Requests:
    """Requests since the last reset."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts = Counts()
        self._clock = clock
        self._first: dict[str, float] = {}
        self._windows: dict[Any, Window] = {}

    def begin(self, api: str, path: str, running: int) -> None:
        """Count a request that arrives while this many are running, including itself."""
        counts, name, now = self.counts, self._name(path), self._clock()
        counts.total[api] = counts.total.get(api, 0) + 1
        counts.by_path[name] = counts.by_path.get(name, 0) + 1
        counts.seconds[api] = now - self._first.setdefault(api, now)
        _raise(counts.max_concurrent, api, running)
        _raise(counts.max_per_second, api, self._window(api, _SECOND).add(now))
        _raise(counts.max_per_minute, api, self._window(api, _MINUTE).add(now))
        _raise(counts.max_per_second_by_path, name, self._window(name, _SECOND).add(now))

    def end(self, api: str, status: int) -> None:
        counts = self.counts.by_status.setdefault(api, {})
        counts[str(status)] = counts.get(str(status), 0) + 1

    def _name(self, path: str) -> str:
        name, known = template(path), self.counts.by_path
        return name if name in known or len(known) < _PATHS_COUNTED else _OTHER_PATHS

    def _window(self, name: str, seconds: float) -> Window:
        return self._windows.setdefault((name, seconds), Window(seconds))


def _raise(highest: dict[str, int], name: str, value: int) -> None:
    highest[name] = max(highest.get(name, 0), value)
