"""The keys of the rows that a load has read: there may be millions, and every row is looked up once."""

from array import array
from collections.abc import Collection, Iterator, Mapping
from itertools import repeat
from typing import Any

FEWEST = 1_024
"""Places in an empty set, a power of 2."""


class Keys:
    """A set of keys, each of which takes 12 to 24 bytes however long it is; in Python's own set, some 100.

    It holds a 64-bit digest of each key, in an open-addressing table. The chance that any two of *n* keys have the same
    digest is n² / 2⁶⁵, one in 370,000 for ten million keys; the second one would be taken for known, and its row would
    be missing until an audit. Since Python salts the digests in each process, that is not repeated.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._places = array("q", bytes(8 * FEWEST))  # 0 is a free place
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: Any) -> bool:
        return bool(self.known((key,)))

    def add(self, keys: Mapping[Any, Any], group: object = ()) -> set[Any]:
        """Adds the keys of a mapping; returns those that were known. Equal keys of two groups are different."""
        self._make_room(len(keys))
        places, last, known = self._places, len(self._places) - 1, set()
        for key, digest in _digests(keys, group):
            at = digest & last
            while (found := places[at]) != digest:
                if not found:
                    places[at] = digest
                    break
                at = at + 1 & last
            else:
                known.add(key)
        self._count += len(keys) - len(known)
        return known

    def known(self, keys: Collection[Any], group: object = ()) -> set[Any]:
        """The keys that were added."""
        places, last, known = self._places, len(self._places) - 1, set()
        for key, digest in _digests(keys, group):
            at = digest & last
            while (found := places[at]) and found != digest:
                at = at + 1 & last
            if found:
                known.add(key)
        return known

    def _make_room(self, more: int) -> None:
        """Keeps a third of the places free, or searching would take long."""
        needed = len(self._places)
        while (self._count + more) * 3 > needed * 2:
            needed *= 2
        if needed == len(self._places):
            return
        digests, places, last = self._places, array("q", bytes(8 * needed)), needed - 1
        for digest in filter(None, digests):
            at = digest & last
            while places[at]:
                at = at + 1 & last
            places[at] = digest
        self._places = places


def _digests(keys: Collection[Any], group: object) -> Iterator[tuple[Any, int]]:
    """Each key with the digest of its group's and its own text: Python does not salt the digests of numbers, and has
    the same one for -1 and -2."""
    return zip(keys, map(hash, zip(repeat(str(group)), map(str, keys), strict=False)), strict=True)
