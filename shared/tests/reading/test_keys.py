"""Whatever a key is made of, what is gone is found by it, and nothing else is."""

import json
from email.utils import formatdate
from typing import Any

import pytest

from ingest_shared.reading.envelopes import LinkHeader
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.walks import FullList
from ingest_shared.tables import Column, Table, bigint, boolean, date, epoch, text, timestamp
from tests.conftest import Reply, Server, Warehouse
from tests.reading.played import NOW, Origin

DATE = {"Date": formatdate(NOW)}


def listing(*key: Column) -> Listing:
    table = Table(
        name="days",
        description="Days.",
        docs="https://example.com",
        key=tuple(column.name for column in key),
        columns=(*key, epoch("deleted_at", "When it was found to be deleted.", origin="reader")),
    )
    return Listing(table, "/days", walk=FullList(), envelope=LinkHeader())


KEYS: dict[str, tuple[Column, list[Any]]] = {
    "timestamp": (timestamp("day", "When."), ["2024-05-01T00:00:00Z", "2024-05-02T02:00:00+02:00"]),
    "epoch": (epoch("day", "When."), [1_714_521_600, 1_714_608_000]),
    "date": (date("day", "When."), ["2024-05-01", "2024-05-02"]),
    "text": (text("day", "When."), ["one", "two"]),
    "boolean": (boolean("day", "Whether."), [True, False]),
}


@pytest.mark.parametrize(("column", "values"), KEYS.values(), ids=KEYS)
def test_what_is_gone_is_marked_and_what_stays_is_not(
    server: Server, warehouse: Warehouse, column: Column, values: list[Any]
) -> None:
    there, origin = list(values), Origin(server, [])
    server.answers(lambda _: Reply(200, json.dumps([{"day": day} for day in there]).encode(), DATE))
    for _ in range(2):
        origin.sync(warehouse, listing(column))
    assert [deleted_at for _, deleted_at in warehouse.rows("days", "day", "deleted_at")] == [None, None]
    gone = there.pop()
    origin.sync(warehouse, listing(column))
    living = [day for day, deleted_at in warehouse.rows("days", "day", "deleted_at") if deleted_at is None]
    assert len(living) == 1
    assert living != [gone]


@pytest.mark.parametrize("key", [(bigint("id", "Id."), text("kind", "Kind.")), (text("id", "Id.", origin="reader"),)])
def test_one_column_of_the_rows_is_the_key(key: tuple[Column, ...]) -> None:
    with pytest.raises(ValueError, match="table days: its key needs exactly one column of the rows"):
        listing(*key)
