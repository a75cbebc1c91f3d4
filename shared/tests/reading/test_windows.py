"""A span of time is read to its end, while the rows of the list move."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_shared.errors import PayloadError
from ingest_shared.reading.windows import Window, cut, one_second


@dataclass(frozen=True)
class Row:
    id: int
    at: int


def at(rows: list[Row]) -> list[int]:
    return [row.at for row in rows]


def rows_at(*seconds: int) -> list[Row]:
    return [Row(id, second) for id, second in enumerate(seconds)]


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 50), st.integers(-1, 20))
def test_the_parts_of_a_window_are_the_window(start: int, length: int, pages: float, parts: int) -> None:
    window = Window(start, start + length, pages)
    split = window.split(parts)
    seconds = [second for part in split for second in range(part.start, part.end)]
    assert seconds == list(range(start, start + length))
    assert 1 <= len(split) <= max(1, parts)


def test_a_window_is_split_into_parts_of_at_least_two_pages() -> None:
    assert len(Window(0, 1000, pages=5.4).split(8)) == 2


def test_a_window_of_one_second_is_not_split() -> None:
    assert list(Window(5, 6, pages=9).split(8)) == [Window(5, 6, pages=9)]


def test_the_last_page_is_kept_whole() -> None:
    rows = rows_at(1, 2, 2)
    assert cut(rows, at(rows), Window(0, 10), ascending=True, more=False) == (rows, [])


def test_a_page_without_rows_leaves_nothing_to_read() -> None:
    assert cut([], [], Window(0, 10), ascending=True, more=True) == ([], [])


def test_an_ascending_page_leaves_its_last_second_to_the_next_window() -> None:
    rows = rows_at(1, 3, 5, 5)
    kept, left = cut(rows, at(rows), Window(0, 10), ascending=True, more=True)
    assert kept == rows[:2]
    assert [(window.start, window.end) for window in left] == [(5, 10)]


def test_a_descending_page_leaves_its_last_second_to_the_next_window() -> None:
    rows = rows_at(9, 7, 5, 5)
    kept, left = cut(rows, at(rows), Window(0, 10), ascending=False, more=True)
    assert kept == rows[:2]
    assert [(window.start, window.end) for window in left] == [(0, 6)]


def test_rows_outside_the_window_are_left_to_another() -> None:
    rows = rows_at(1, 4, 6, 9)
    assert cut(rows, at(rows), Window(0, 5), ascending=True, more=True) == (rows[:2], [])


def test_what_is_left_is_guessed_from_how_far_the_page_reached() -> None:
    rows = rows_at(0, 5, 10)
    _, (left,) = cut(rows, at(rows), Window(0, 110), ascending=True, more=True)
    assert left.pages == 10


def test_a_page_of_a_single_second_is_kept_and_left_to_the_apis_own_link() -> None:
    rows = rows_at(5, 5, 5)
    assert cut(rows, at(rows), Window(0, 10), ascending=True, more=True) == (rows, [])
    assert one_second(at(rows))


@pytest.mark.parametrize(("rows", "ascending"), [(rows_at(1, 3, 2), True), (rows_at(9, 5, 6), False)])
def test_a_page_out_of_order_is_refused(rows: list[Row], ascending: bool) -> None:
    order = "oldest" if ascending else "newest"
    with pytest.raises(PayloadError, match=f"not sorted {order} first, as requested: rows could be lost"):
        cut(rows, at(rows), Window(0, 10), ascending=ascending, more=True)


@pytest.mark.parametrize("rows", [[], rows_at(5, 6)])
def test_other_pages_are_not_of_a_single_second(rows: list[Row]) -> None:
    assert not one_second(at(rows))


# A list that changes while it is read

HORIZON = 60
"""When the reading begins: what changes from then on is left to the next one."""
PAGE = 4


class ChangingList:
    """A list ordered by time, like GitHub's issues or Stripe's invoices, that moves between requests."""

    def __init__(self, seconds: list[int], ascending: bool) -> None:
        self.at = dict(enumerate(seconds))
        self.ascending = ascending
        self.clock = HORIZON

    def request(self, window: Window) -> tuple[list[Row], bool]:
        """The first page of the window, and whether there is more."""
        rows = [Row(id, second) for id, second in self.at.items() if second >= window.start]
        if not self.ascending:  # GitHub's `since` has no upper end; Stripe's `created` has both
            rows = [row for row in rows if row.at < window.end]
        rows.sort(key=lambda row: row.at, reverse=not self.ascending)
        return rows[:PAGE], len(rows) > PAGE

    def change(self, row: int) -> None:
        """The row moves to the end, as an issue does that is edited."""
        if row in self.at:
            self.clock += 1
            self.at[row] = self.clock

    def vanish(self, row: int) -> None:
        self.at.pop(row, None)


def few_in_a_second(seconds: list[int]) -> bool:
    """A page cannot hold more than one second of such a list, so windows can always be cut."""
    return all(seconds.count(second) < PAGE for second in seconds)


@given(
    seconds=st.lists(st.integers(0, HORIZON - 1), max_size=30).filter(few_in_a_second),
    ascending=st.booleans(),
    workers=st.integers(1, 4),
    data=st.data(),
)
def test_what_does_not_change_meanwhile_is_read_exactly_once_and_nothing_twice(
    seconds: list[int], ascending: bool, workers: int, data: st.DataObject
) -> None:
    origin = ChangingList(seconds, ascending)
    touched: set[int] = set()
    read: list[int] = []
    todo = [Window(0, HORIZON)]
    while todo:
        window, *others = todo.pop(data.draw(st.integers(0, len(todo) - 1))).split(workers)
        todo += others
        rows, more = origin.request(window)
        kept, left = cut(rows, at(rows), window, ascending=ascending, more=more)
        read += [row.id for row in kept]
        todo += left
        for row in data.draw(st.lists(st.integers(0, 30), max_size=3)):
            touched.add(row)
            if ascending and data.draw(st.booleans()):
                origin.change(row)
            else:
                origin.vanish(row)
    assert len(read) == len(set(read))
    assert set(range(len(seconds))) - touched <= set(read)
