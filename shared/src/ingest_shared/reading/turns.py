"""Whose turn it is: the lists of one run are read side by side, and some only after others.

A list that is read per row of another begins when that one was read completely. If the other one is read in several
parts, each of which is loaded before the next, the list waits for the last part, even across loads.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingest_shared.loading import Load
from ingest_shared.reading.listings import Listing

LISTS_AT_ONCE = 6
"""Lists read side by side: more of them use more of the API's rate, if each endpoint is limited, but rows of each are
held in memory."""


class Turns:
    """The tables of a run, by progress."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        """Tables that the run reads or has read."""
        self.reading: set[str] = set()
        """Tables that it is reading now."""
        self.was_killed: set[str] = set()
        """Tables that were waiting when an earlier run was killed: it read none of their lists."""
        self._unread: set[str] = set()
        self._incomplete: set[str] = set()
        """Tables of which the run reads more after a load."""
        self.waited: set[str] = set()
        """Tables that could not begin in a part of this run, since another must be read further first."""

    @contextmanager
    def of(self, table: str) -> Iterator[None]:
        """Wraps everything that the run does for a table in one part."""
        self.read.add(table)
        self._unread.add(table)
        try:
            yield
        finally:
            self._unread.discard(table)
            self.reading.discard(table)

    def may_begin(self, listing: Listing) -> bool:
        """Whether only few others are being read, and all that must come first are done."""
        return len(self.reading) < LISTS_AT_ONCE and self._unread.isdisjoint(listing.after)

    def begin(self, listing: Listing, load: Load) -> bool:
        """Whether the list is read in this part: it waits for the next part if another list must be read further first.

        That it waits is recorded in the state that is loaded with this part, in case the run is killed before the next.
        """
        table = listing.table.name
        if load.state.pop("waits", False) and table not in self.waited:
            self.was_killed.add(table)
        load.waits = not self._incomplete.isdisjoint(listing.after)
        if load.waits:
            load.state["waits"] = True
            self._incomplete.add(table)
            self.waited.add(table)
            return False
        self.reading.add(table)
        load.started = time.monotonic()
        return True

    def end(self, listing: Listing, *, is_part: bool) -> None:
        """Called after the list was read, or a part of it."""
        (self._incomplete.add if is_part else self._incomplete.discard)(listing.table.name)
