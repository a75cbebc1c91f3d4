"""Ceilings of an API: a number of calls in any one second, as the API counts their arrivals.

A ceiling of 25 is 25 slots in a file that all runs on a machine share, as they share a rate
(:mod:`ingest_shared.reading.limits`). A call holds the lock of a slot from when it is sent until its response begins.
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
"""Seconds by which latency may vary anyway, beyond what the fastest call shows."""
MOST_SLOTS = 1_000
"""The highest ceiling that is enforced: a run makes fewer calls than this in a second."""
LOOK_SECONDS = 0.01
"""Seconds between two looks for a slot that another run has released."""
_SLOT = struct.Struct("dd")
"""When its latest call was answered, and the fewest seconds that a call took the process that made it."""
_ceilings: dict[tuple[str, int], "Ceiling"] = {}
_making = threading.Lock()


def ceiling(name: str, calls: int) -> "Ceiling":
    """The ceiling of that name; a process has only one, since file locks belong to the process.

    Two would share their slots, and the first to close its file would release the locks of both:
    https://man7.org/linux/man-pages/man2/F_SETLK.2const.html
    """
    with _making:
        key = (name, calls)
        if key not in _ceilings:
            _ceilings[key] = Ceiling(name, calls)
        return _ceilings[key]


class Ceiling:
    """At most ``calls`` calls arrive in any one second, however long each is in transit.

    A pace alone cannot guarantee that: calls that leave evenly arrive together if the network, the API or this machine
    stalls for a moment. The arrival itself is not known, only when a call was sent and answered. So its slot is reused
    one second after the response, minus the time of the fastest call of either process, because the call may have been
    held up on its way there. Use :func:`ceiling` to get one.
    """

    def __init__(self, name: str, calls: int) -> None:
        self._slots = range(calls)
        self._file = file_of(f"{name} {calls} in any second")
        self._taken: set[int] = set()
        """The slots that this process holds."""
        self._fastest = 0.0
        """Fewest seconds between sending a call and the beginning of its response; 0 before the first."""
        self._changed = threading.Condition()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Blocks until a call may be sent; the block lasts until its response begins."""
        if len(self._slots) > MOST_SLOTS:
            yield
            return
        slot, answered, fastest = self._take()
        try:
            time.sleep(max(0.0, answered + 1.0 + MARGIN - min(fastest, self._fastest) - time.monotonic()))
            sent = time.monotonic()
            self._note(slot, sent)  # in case this process is killed before the response
            try:
                yield
                took = time.monotonic() - sent
                self._fastest = min(took, self._fastest or took)
            finally:
                self._note(slot, time.monotonic())
        finally:
            with self._changed:
                self._taken.remove(slot)
                fcntl.lockf(self._file, fcntl.LOCK_UN, _SLOT.size, slot * _SLOT.size)
                self._changed.notify()

    def _take(self) -> tuple[int, float, float]:
        """The free slot that was answered first, and what is noted in it; blocks until there is one."""
        with self._changed:
            while True:
                noted = self._noted()
                for slot in sorted(self._slots, key=noted.__getitem__):
                    if slot not in self._taken and self._has_locked(slot):
                        self._taken.add(slot)
                        return slot, *noted[slot]
                self._changed.wait(LOOK_SECONDS)

    def _has_locked(self, slot: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SLOT.size, slot * _SLOT.size)
        except (BlockingIOError, PermissionError):  # held by another process: EAGAIN or EACCES
            return False
        except OSError as error:
            raise SettingError(
                f"files in the folder `INGEST_LIMITS_DIR` cannot be locked ({error}); "
                "set it to a folder on a disk of this machine"
            ) from None
        return True

    def _noted(self) -> list[tuple[float, float]]:
        """What is noted in each slot; a time in the future was written before this machine started.

        In the monotonic clock, which starts with the machine and is shared by all its processes and containers.
        """
        size = len(self._slots) * _SLOT.size
        noted = os.pread(self._file, size, 0).ljust(size, b"\0")
        now = time.monotonic()
        return [(at if at <= now else 0.0, fastest) for at, fastest in _SLOT.iter_unpack(noted)]

    def _note(self, slot: int, at: float) -> None:
        os.pwrite(self._file, _SLOT.pack(at, self._fastest), slot * _SLOT.size)
