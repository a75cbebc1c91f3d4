"""Rates of an API, kept by all threads and all runs that share a credential.

A file holds the time of the next call, so that two runs of a location on one machine together stay under the rate: each
run reserves a short span of time, and the next run reserves the span after it. ``INGEST_LIMITS_DIR`` names its folder,
by default one of the user's in the system's folder for temporary files. On the platform, a location's run containers
share the folder.
"""

import fcntl
import hashlib
import os
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path

_NOTE = struct.Struct("dd")
"""The end of the reserved time, and the end of a pause in which no call may be sent.

The first is in the monotonic clock, which starts with the machine; the second is a date, as APIs state it.
"""
SPAN = 0.02
"""Seconds that a run reserves at once (at least one call), so that not every call reads the file."""
LONGEST_PAUSE = 3700.0
"""Furthest end of a pause, in seconds from now; one further ahead was written with a different clock."""
MOST_RUNS = 100
"""Most reserved spans that may be ahead; more were written before the machine started."""


class Limit:
    """A number of calls per second, evenly spaced, over all limits with the same ``name``."""

    def __init__(self, name: str, calls_per_second: float) -> None:
        self._interval = 1.0 / calls_per_second
        self._span = max(1, int(SPAN * calls_per_second)) * self._interval
        self._next = self._until = 0.0
        self._lock = threading.Lock()
        self._file = file_of(name)
        if os.fstat(self._file).st_size < _NOTE.size:
            os.ftruncate(self._file, _NOTE.size)
        # Mapped, because reading a file several times a call would let other threads go first each time.
        self._noted = mmap(self._file, _NOTE.size)

    def wait(self) -> None:
        """Blocks until the next call may be sent."""
        while True:
            if seconds := self.paused_for:
                time.sleep(seconds)
            self.take_turn()
            if not self.paused_for:
                return

    def take_turn(self) -> None:
        """Blocks only for the pace: a pause may have begun in the meantime."""
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            if at + self._interval > self._until:
                with self._alone():
                    following, paused = self._read()
                    now = time.monotonic()
                    at = max(now, following)
                    self._until = at + self._span
                    self._note(self._until, paused)
            if at > now:
                time.sleep(at - now)  # in turn: a call that wakes late delays the next, so no second has too many
            self._next = max(at, time.monotonic()) + self._interval

    def pause(self, seconds: float) -> None:
        """Sends no call for this many seconds."""
        with self._lock, self._alone():
            following, paused = self._read()
            self._until = 0.0
            self._note(following, max(paused, time.time() + seconds))

    @property
    def paused_for(self) -> float:
        """Seconds for which no run sends a call; 0 if only the pace applies."""
        _, paused = self._read()
        return max(0.0, paused - time.time())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Locked against other runs."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read(self) -> tuple[float, float]:
        """The end of the time that all runs have reserved, and the end of a pause."""
        following, paused = _NOTE.unpack_from(self._noted)
        latest = time.monotonic() + MOST_RUNS * self._span
        return following if following < latest else 0.0, paused if paused < time.time() + LONGEST_PAUSE else 0.0

    def _note(self, following: float, paused: float) -> None:
        _NOTE.pack_into(self._noted, 0, following, paused)

    def __del__(self) -> None:
        os.close(self._file)


def pace_of_each(calls_per_second: float, shards: int) -> float:
    """The pace of each of several shards that run at the same time, so that together they keep to this pace.

    On one machine, all runs share the pace itself. On Kubernetes they share nothing, so each gets a part of it:
    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """
    return calls_per_second / shards if "KUBERNETES_SERVICE_HOST" in os.environ else calls_per_second


def file_of(name: str) -> int:
    """Opens the file that all runs on a machine share under a name."""
    return os.open(_folder() / hashlib.sha256(name.encode()).hexdigest()[:32], os.O_RDWR | os.O_CREAT, 0o600)


def _folder() -> Path:
    default = Path(tempfile.gettempdir()) / f"ingest-limits-{os.getuid()}"
    folder = Path(os.environ.get("INGEST_LIMITS_DIR", "").strip() or default)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
