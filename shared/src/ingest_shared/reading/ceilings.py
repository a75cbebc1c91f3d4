"""Ceilings of an API: so many calls in a second, as the API counts them where they arrive.

A ceiling of 25 is 25 slots in a file that all runs on a machine share, as they share a rate
(:mod:`ingest_shared.reading.limits`). A call has a slot, which is locked, from when it is sent until its answer begins.
"""

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingest_shared.errors import SettingError
from ingest_shared.reading.limits import file_of

MARGIN = 0.02
"""Seconds by which the way to the API and the way back may vary, in which the fastest call says little."""
MOST_SLOTS = 1_000
"""Beyond which no ceiling is kept: a run makes fewer calls in a second."""
LOOK_SECONDS = 0.01
"""How often a call that finds no slot looks for one that another run gave back."""
_TIME = struct.Struct("d")
_ceilings: dict[tuple[str, int], "Ceiling"] = {}
_making = threading.Lock()


def ceiling(name: str, calls: int) -> "Ceiling":
    """The ceiling of that name, of which a process has one alone: its locks are the process'.

    Two would share their slots, and the first one to close its file would give up the locks of both:
    https://man7.org/linux/man-pages/man2/F_SETLK.2const.html
    """
    with _making:
        key = (name, calls)
        if key not in _ceilings:
            _ceilings[key] = Ceiling(name, calls)
        return _ceilings[key]


class Ceiling:
    """No more than ``calls`` calls arrive in any one second, however long each is on its way.

    A pace alone cannot promise that: calls that leave evenly arrive together when the network, the API or this
    machine stood still for a moment. When a call arrived is not known, only when it was sent and answered. So its
    slot is used again a second after it was answered, less what the fastest call took: it may have waited on its
    way there. Use :func:`ceiling` to get one.
    """

    def __init__(self, name: str, calls: int) -> None:
        self._slots = range(calls)
        self._file = file_of(f"{name} {calls} in a second")
        self._taken: set[int] = set()
        """The slots of this process' own calls."""
        self._fastest = 0.0
        """Seconds between sending a call and the beginning of its answer, at best; 0 before the first."""
        self._changed = threading.Condition()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Blocks until a call may be sent, which lasts until its answer begins."""
        if len(self._slots) > MOST_SLOTS:
            yield
            return
        slot, answered = self._take()
        try:
            time.sleep(max(0.0, answered + 1.0 + MARGIN - self._fastest - time.monotonic()))
            sent = time.monotonic()
            self._note(slot, sent)  # in case that this process is killed before the answer
            try:
                yield
                took = time.monotonic() - sent
                self._fastest = min(took, self._fastest or took)
            finally:
                self._note(slot, time.monotonic())
        finally:
            with self._changed:
                self._taken.remove(slot)
                fcntl.lockf(self._file, fcntl.LOCK_UN, _TIME.size, slot * _TIME.size)
                self._changed.notify()

    def _take(self) -> tuple[int, float]:
        """The free slot that was answered first, and when; blocks until there is one."""
        with self._changed:
            while True:
                answered = self._answered()
                for slot in sorted(self._slots, key=answered.__getitem__):
                    if slot not in self._taken and self._has_locked(slot):
                        self._taken.add(slot)
                        return slot, answered[slot]
                self._changed.wait(LOOK_SECONDS)

    def _has_locked(self, slot: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _TIME.size, slot * _TIME.size)
        except (BlockingIOError, PermissionError):  # another process has it: EAGAIN or EACCES
            return False
        except OSError as error:
            raise SettingError(
                f"files in the folder `INGEST_LIMITS_DIR` cannot be locked ({error}); "
                "set it to a folder on a disk of this machine"
            ) from None
        return True

    def _answered(self) -> list[float]:
        """When the call in each slot was answered; one in the future was written before this machine started.

        By the clock that starts with the machine and that nobody sets, which all its processes and containers share.
        """
        noted = os.pread(self._file, len(self._slots) * _TIME.size, 0).ljust(len(self._slots) * _TIME.size, b"\0")
        now = time.monotonic()
        return [at if at <= now else 0.0 for (at,) in _TIME.iter_unpack(noted)]

    def _note(self, slot: int, at: float) -> None:
        os.pwrite(self._file, _TIME.pack(at), slot * _TIME.size)
