"""What differs between two sides is found, whatever order, zone or spelling they have."""

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from ingest_shared.reading.compare import Comparison, comparison
from ingest_shared.tables import Column, bigint, double, json, text, timestamp
from tests.conftest import Warehouse

COLUMNS = (text("file", "File."), bigint("id", "Id."), double("n", "Number."), json("of", "Whatever."))
Row = tuple[Any, ...]


@pytest.fixture
def compared(duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    """Keeps what it needs on the pipeline's disk: on the platform, other temporary files are in memory."""
    duckdb_warehouse.pipeline().activate()
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with comparison(("file", "id"), COLUMNS) as compared:
        yield compared


def table(*rows: Row, columns: tuple[Column, ...] = COLUMNS) -> pa.Table:
    schema = pa.schema([(column.name, column.type.arrow) for column in columns])
    return pa.table(list(zip(*rows, strict=True)), schema=schema) if rows else schema.empty_table()


def test_rows_that_are_missing_surplus_and_stale(compared: Comparison) -> None:
    compared.fill("held", [table(("a", 3, 3.0, None), ("b", 1, 1.0, "1")), table(("a", 1, None, None))])
    compared.fill("origin", [table(("a", 1, 1.0, None), ("a", 2, 2.0, None), ("a", 3, 3.0, None))])
    found = compared.find()
    assert (found.compared, found.missing, found.surplus, found.stale, found.changed) == (3, 1, 1, 1, 0)
    assert sorted(key for some in compared.keys("wanted") for key in some) == [("a", 1), ("a", 2)]
    assert list(compared.keys("surplus")) == [[("b", 1)]]
    (rows,) = compared.only("wanted", [table(("a", 1, 1.0, None)), table(("a", 3, 3.0, None))])
    assert rows.to_pylist() == [{"file": "a", "id": 1, "n": 1.0, "of": None}]


def test_values_that_mean_the_same_are_equal(compared: Comparison) -> None:
    texts = {'{"a": 1, "b": [1.50]}': '{"b":[1.5],"a":1.0}', "1e2": "100", '"\\u00e4"': '"ä"', "{": "{"}
    nan = float("nan")
    compared.fill("origin", [table(*(("a", i, nan, text) for i, text in enumerate(texts)))])
    compared.fill("held", [table(*(("a", i, nan, text) for i, text in enumerate(texts.values())))])
    assert compared.find().stale == 0


def test_what_is_volatile_is_not_compared(duckdb_warehouse: Warehouse) -> None:
    duckdb_warehouse.pipeline().activate()
    columns = (bigint("id", "Id."), text("name", "Name."), text("link", "Link.", volatile=True))
    with comparison(("id",), columns) as compared:
        compared.fill("origin", [table((1, "a", "new"), (2, "b", "new"), columns=columns)])
        compared.fill("held", [table((1, "a", "old"), (2, "a", "old"), columns=columns)])
        assert compared.find().stale == 1


def test_what_was_found_by_file(compared: Comparison) -> None:
    """A row that the warehouse has twice is one too many."""
    compared.fill("origin", [table(("a", 1, 1.0, None), ("b", 1, 1.0, None), ("b", 2, 2.0, None))])
    compared.fill("held", [table(("b", 2, 0.0, None), ("b", 2, 0.0, None), ("c", 1, 1.0, None))])
    compared.find()
    assert sorted(compared.by("file")) == [("a", 1, 1, 0, 0), ("b", 2, 1, 2, 1), ("c", 0, 0, 0, 1)]


def test_an_instant_in_a_key_is_given_in_utc(duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    duckdb_warehouse.pipeline().activate()
    at, columns = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), (timestamp("at", "When."),)
    with comparison(("at",), columns) as compared:
        compared.fill("origin", [table((at,), columns=columns)])
        compared.find()
        (((found,),),) = compared.keys("wanted")
    assert found.replace(tzinfo=None) == at.replace(tzinfo=None)
    monkeypatch.undo()
    time.tzset()
