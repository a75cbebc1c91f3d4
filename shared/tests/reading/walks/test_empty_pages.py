"""A page without rows is not the end of a list while it names a next one: an API may hide rows after it has paged."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ingest_shared.reading.envelopes import LinkHeader
from tests.conftest import Server, Warehouse
from tests.reading.played import Origin, gaps, living, thing
from tests.reading.walks import test_any_density

LISTINGS = {
    walk: replace(test_any_density.LISTINGS[walk], envelope=LinkHeader()) for walk in ("changed", "created", "newest")
}
SPANS = (range(100, 106), range(40, 80), range(1, 6))


class Hiding(Origin):
    hidden: range = range(0)

    def _page(self, query: Mapping[str, str]) -> tuple[list[Any], bool]:
        rows, more = super()._page(query)
        return [row for row in rows if row["id"] not in self.hidden], more


def ids(warehouse: Warehouse) -> set[int]:
    assert not gaps(warehouse)
    return {id for id, _ in living(warehouse)}


@pytest.mark.parametrize("walk", LISTINGS)
@pytest.mark.parametrize("hidden", SPANS, ids=str)
def test_a_first_load_reads_what_follows(walk: str, hidden: range, server: Server, duckdb_warehouse: Warehouse) -> None:
    origin = Hiding(server, [thing(id) for id in range(1, 106)])
    origin.in_flight, origin.hidden = 4, hidden
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    assert ids(duckdb_warehouse) == set(range(1, 106)) - set(hidden)


@pytest.mark.parametrize("walk", ["changed", "created"])
@pytest.mark.parametrize("hidden", SPANS, ids=str)
def test_an_audit_deletes_nothing_that_follows(
    walk: str, hidden: range, server: Server, duckdb_warehouse: Warehouse
) -> None:
    origin = Hiding(server, [thing(id) for id in range(1, 106)])
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    origin.in_flight, origin.hidden = 4, hidden
    origin.sync(duckdb_warehouse, LISTINGS[walk], audit=True)
    assert ids(duckdb_warehouse) >= set(range(1, 106)) - set(hidden)


@pytest.mark.parametrize("walk", ["changed", "newest"])
def test_a_sync_reads_what_follows(walk: str, server: Server, duckdb_warehouse: Warehouse) -> None:
    origin = Hiding(server, [thing(id) for id in range(1, 31)])
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    origin.things += [thing(100 + i, origin.now + i) for i in range(12)]
    origin.now += 100
    origin.hidden = range(100, 107)
    origin.sync(duckdb_warehouse, LISTINGS[walk])
    assert ids(duckdb_warehouse) >= {*range(1, 31), *range(107, 112)}


def test_a_first_load_asks_for_no_time_when_it_follows_a_page_without_rows(
    server: Server, duckdb_warehouse: Warehouse
) -> None:
    """An API may refuse a time before it existed."""
    origin = Hiding(server, [thing(id) for id in range(1, 106)])
    origin.in_flight, origin.hidden = 4, range(100, 106)
    origin.sync(duckdb_warehouse, LISTINGS["changed"])
    assert len(ids(duckdb_warehouse)) == 99
    assert "0" not in [call.query.get("since") for call in origin.calls]
