import pytest

from ingest_sandbox.ordered import View

VIEW = View(((n, 0), f"row {n}") for n in (5, 1, 4, 2, 3))


@pytest.mark.parametrize(("descending", "first"), [(False, "row 1"), (True, "row 5")])
def test_a_span_is_read_in_its_direction(descending: bool, first: str) -> None:
    span = VIEW.span(descending=descending)
    assert span.read(0, 1) == [first]
    assert len(span.read(3, 100)) == 2
    assert span.read(5, 10) == []


def test_bounds_take_the_lower_and_leave_the_upper_key() -> None:
    span = VIEW.span().at_least((2,)).less_than((4,))
    assert span.read(0, 10) == ["row 2", "row 3"]


@pytest.mark.parametrize("descending", [False, True])
def test_a_cursor_keeps_its_place_when_its_row_is_gone(descending: bool) -> None:
    span = View(((n,), n) for n in (1, 2, 4)).span(descending=descending)
    assert span.position_of((3,)) == span.position_past((3,)) == (1 if descending else 2)
    assert span.position_past((2,)) == span.position_of((2,)) + 1
