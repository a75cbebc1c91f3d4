"""A set of keys knows what it was given and nothing else, and is small however long the keys are."""

import tracemalloc
from typing import Any

import pytest

from ingest_shared.keys import Keys

MANY = 20_000


def test_a_key_is_known_after_it_was_added() -> None:
    keys = Keys()
    assert keys.add({"a": 1, "b": 1}) == set()
    assert keys.add({"b": 1, "c": 1}) == {"b"}
    assert keys.known(["a", "b", "c", "d"]) == {"a", "b", "c"}


def test_no_key_is_lost_or_invented_while_the_set_grows() -> None:
    keys = Keys()
    for start in range(0, MANY, 100):
        assert keys.add(dict.fromkeys(range(start, start + 100))) == set()
    assert keys.known(range(-MANY, 2 * MANY)) == set(range(MANY))
    assert keys.add(dict.fromkeys(range(MANY))) == set(range(MANY))


@pytest.mark.parametrize(
    ("one", "other"),
    [(-1, -2), (0, 2**61 - 1), ("1 2", "12"), ((-1, 5), (-2, 5)), (("a", "b"), ("ab", ""))],
    ids=["numbers for which Python has one hash", "numbers beyond it", "texts", "tuples of these numbers", "tuples"],
)
def test_different_keys_are_different(one: object, other: object) -> None:
    keys = Keys()
    keys.add({one: None})
    assert keys.known([one, other]) == {one}


@pytest.mark.parametrize(("one", "other"), [((1,), (2,)), ((-1,), (-2,)), (("a", "b"), ("ab", ""))])
def test_equal_keys_of_different_groups_are_different(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    keys = Keys()
    keys.add({"main": None}, one)
    assert keys.known(["main"], other) == set()
    assert keys.add({"main": None}, other) == set()
    assert keys.known(["main"], one) == keys.known(["main"], other) == {"main"}


def test_an_emptied_set_knows_nothing() -> None:
    keys = Keys()
    keys.add(dict.fromkeys(range(MANY)))
    keys.clear()
    assert keys.known(range(MANY)) == set()


def test_a_key_takes_no_more_than_24_bytes_however_long_it_is() -> None:
    keys = Keys()
    tracemalloc.start()
    try:
        for start in range(0, MANY, 100):
            keys.add({f"{number:0100}": None for number in range(start, start + 100)})
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / MANY <= 25
