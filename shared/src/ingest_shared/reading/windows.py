"""Spans of time in which a sorted list is read: pages that continue by time stay put while rows move."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from ingest_shared.errors import PayloadError

Row = Any
FOREVER = 253_000_000_000
"""Later than any instant, in the year 9987: the end of a window that is still open by the API's clock."""


@dataclass(frozen=True)
class Window:
    """A half-open span of time, in whole seconds since 1970, with an estimate of its pages."""

    start: int
    end: int
    pages: float = 1.0
    begins_with_row: bool = False
    """Whether a row of its first second was seen."""

    def split(self, parts: int) -> Sequence[Self]:
        """Windows of at least two pages each: every edge wastes about half a page."""
        parts = max(1, min(parts, math.floor(self.pages / 2), self.end - self.start))
        edges = [self.start + (self.end - self.start) * i // parts for i in range(parts + 1)]
        return [
            type(self)(a, b, self.pages / parts, self.begins_with_row and a == self.start) for a, b in pairwise(edges)
        ]


def cut(
    rows: list[Row], instants: list[int], window: Window, *, ascending: bool, more: bool
) -> tuple[list[Row], list[Window]]:
    """The rows of a page that are in ``window``, and the part of the window still to be read.

    The list is sorted by its ``instants``; a page that is not raises :class:`PayloadError`. While there is
    more, the rows of the page's last second are left to the next window, which starts with that
    second. So no row is lost or read twice, even if rows move or disappear while the list is read. A
    page of a single second cannot be divided; the rest is empty and the caller must follow the
    API's own link.
    """
    check_sorted(instants, ascending=ascending)
    inside = [(row, at) for row, at in zip(rows, instants, strict=True) if window.start <= at < window.end]
    if more and rows and not one_second(instants) and window.start <= (last := instants[-1]) < window.end:
        left = (last, window.end) if ascending else (window.start, last + 1)
        rest = Window(*left, max(1.0, (left[1] - left[0]) / abs(last - instants[0])), begins_with_row=ascending)
        return [row for row, at in inside if at != last], [rest]
    return [row for row, _ in inside], []


def one_second(instants: list[int]) -> bool:
    """Whether every row of a page has the same second, which :func:`cut` cannot divide."""
    return bool(instants) and instants[0] == instants[-1]


def check_sorted(instants: list[int], *, ascending: bool) -> None:
    """Raises :class:`PayloadError` for a page that is not in the order that its reader relies on."""
    if instants != sorted(instants, reverse=not ascending):
        order = "oldest" if ascending else "newest"
        raise PayloadError(f"a page is not sorted {order} first, as requested: rows could be lost")
