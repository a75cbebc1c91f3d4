"""Sorted views of rows, so that a page costs its own length and not the collection's."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

R = TypeVar("R")
Key = tuple[Any, ...]


class View(Generic[R]):
    """Rows in ascending order of unique keys, sorted once."""

    def __init__(self, keyed: Iterable[tuple[Key, R]]) -> None:
        pairs = sorted(keyed, key=lambda pair: pair[0])
        self.keys: Sequence[Key] = [key for key, _ in pairs]
        self.rows: Sequence[R] = [row for _, row in pairs]

    def span(self, *, descending: bool = False) -> "Span[R]":
        """All rows, read in one direction."""
        return Span(self, 0, len(self.rows), descending)


@dataclass(frozen=True, slots=True)
class Span(Generic[R]):
    """A stretch of a view, read in one direction. Keys may be given by their first parts."""

    view: View[R]
    start: int
    stop: int
    descending: bool

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def at_least(self, key: Key) -> "Span[R]":
        """Only rows whose key is `key` or greater."""
        start = max(self.start, bisect_left(self.view.keys, key))
        return Span(self.view, start, self.stop, self.descending)

    def less_than(self, key: Key) -> "Span[R]":
        """Only rows whose key is smaller than `key`."""
        stop = min(self.stop, bisect_left(self.view.keys, key))
        return Span(self.view, self.start, stop, self.descending)

    def position_of(self, key: Key) -> int:
        """How many rows are read before the row with this key, whether or not it is there."""
        if self.descending:
            position = self.stop - bisect_right(self.view.keys, key)
        else:
            position = bisect_left(self.view.keys, key) - self.start
        return min(max(position, 0), len(self))

    def position_past(self, key: Key) -> int:
        """How many rows are read up to and with the row with this key."""
        if self.descending:
            position = self.stop - bisect_left(self.view.keys, key)
        else:
            position = bisect_right(self.view.keys, key) - self.start
        return min(max(position, 0), len(self))

    def indexes(self, offset: int, count: int) -> range:
        """Where `count` rows from `offset` on, in reading order, stand in the view."""
        count = max(0, min(count, len(self) - offset))
        if self.descending:
            first = self.stop - 1 - offset
            return range(first, first - count, -1)
        return range(self.start + offset, self.start + offset + count)

    def read(self, offset: int, count: int) -> list[R]:
        """At most `count` rows from `offset` on."""
        rows = self.view.rows
        return [rows[index] for index in self.indexes(offset, count)]

    def keys(self, offset: int, count: int) -> list[Key]:
        """The keys of the rows that `read` gives."""
        keys = self.view.keys
        return [keys[index] for index in self.indexes(offset, count)]
