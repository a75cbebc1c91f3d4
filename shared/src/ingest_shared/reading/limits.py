"""Rates of an API, kept by every thread and by every run that shares a credential.

When the next call may be sent stands in a file, so that two runs of a location on one machine stay
under the rate together: each run takes a short span of time for itself, and the next one what
follows. ``INGEST_LIMITS_DIR`` names the folder, by default one of the user's in the system's folder
for temporary files. On the platform it is a folder that a location's run containers share.
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
from pathlib import Path

_NOTE = struct.Struct("dd")
"""Up to when the time is taken, and until when no call may be sent at all."""
SPAN = 0.02
"""Seconds that a run takes for itself at once, at least one call: so the file is not asked for every call."""
LONGEST_PAUSE = 3700.0
"""Seconds that a note in the file may lie ahead; one that is further was made under another clock."""


class Limit:
    """So many calls a second, evenly spaced, over all that carry the same ``name``."""

    def __init__(self, name: str, calls_per_second: float) -> None:
        self._interval = 1.0 / calls_per_second
        self._span = max(1, int(SPAN * calls_per_second)) * self._interval
        self._next = self._until = 0.0
        self._lock = threading.Lock()
        self._file = os.open(_folder() / hashlib.sha256(name.encode()).hexdigest()[:32], os.O_RDWR | os.O_CREAT, 0o600)

    def wait(self) -> None:
        """Blocks until the next call may be sent."""
        while True:
            time.sleep(self.paused_for)
            self.take_turn()
            if not self.paused_for:
                return

    def take_turn(self) -> None:
        """Blocks for the pace alone: a pause may have begun meanwhile."""
        with self._lock:
            now = time.time()
            at = max(now, self._next)
            if at + self._interval > self._until:
                with self._noted() as (now, following, paused):
                    at = max(now, following)
                    self._until = at + self._span
                    self._note(self._until, paused)
            if at > now:
                time.sleep(at - now)  # in turn: a call that wakes late holds up the next, and no second has too many
            self._next = max(at, time.time()) + self._interval

    def pause(self, seconds: float) -> None:
        """No call is sent for so many seconds."""
        with self._lock, self._noted() as (now, following, paused):
            self._until = 0.0
            self._note(following, max(paused, now + seconds))

    @property
    def paused_for(self) -> float:
        """Seconds for which no call is sent, by this run or another; 0 where only the pace is kept."""
        now, _, paused = self._read()
        return max(0.0, paused - now)

    @contextmanager
    def _noted(self) -> Iterator[tuple[float, float, float]]:
        """Now, up to when other runs have taken the time, and the end of a pause; held against them meanwhile."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield self._read()
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read(self) -> tuple[float, float, float]:
        now = time.time()  # the same for all processes and containers, also after a restart of the machine
        noted = os.pread(self._file, _NOTE.size, 0)
        following, paused = _NOTE.unpack(noted) if len(noted) == _NOTE.size else (0.0, 0.0)
        latest = now + LONGEST_PAUSE
        return now, following if following < latest else 0.0, paused if paused < latest else 0.0

    def _note(self, following: float, paused: float) -> None:
        os.pwrite(self._file, _NOTE.pack(following, paused), 0)

    def __del__(self) -> None:
        os.close(self._file)


def _folder() -> Path:
    default = Path(tempfile.gettempdir()) / f"ingest-limits-{os.getuid()}"
    folder = Path(os.environ.get("INGEST_LIMITS_DIR", "").strip() or default)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
