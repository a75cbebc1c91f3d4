"""What stands in a JSON column is loaded, compared and kept as it was sent, whatever it is."""

from typing import Any

import pytest

from ingest_shared.loading import mirror
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.sync import Sync
from ingest_shared.reading.walks import FullList
from ingest_shared.tables import Table, bigint, epoch, json
from tests.conftest import Reply, Server, Warehouse

EVENTS = Table(
    name="events",
    description="All events.",
    docs="https://example.com",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        json("payload", "Whatever was sent with it."),
        epoch("deleted_at", "When it was found to be deleted.", origin="reader"),
    ),
)
LISTING = Listing(EVENTS, "/events", walk=FullList())
VALUES = (
    '""',
    '"hello"',
    '"null"',
    r'"{\"a\": 1}"',
    r'"\\N"',
    "false",
    "5",
    '{"n": 123456789012345678901234567890, "x": 0.12345678901234567890123}',
    '{"k": 1, "k": 2}',
)


def sync(server: Server, warehouse: Warehouse, body: str, *, audit: bool = False) -> None:
    server.answers(lambda request: Reply(200, body.encode(), {"Date": "Sun, 29 Nov 2026 12:00:00 GMT"}))
    warehouse.load(mirror(Reader(LISTING, Sync(server.api, audit))))


def held(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows("events", "id", "payload", "_undeclared")


@pytest.mark.parametrize("value", VALUES)
def test_it_stays_as_it_was_sent(value: str, server: Server, warehouse: Warehouse) -> None:
    """An audit calls it the same, and a row that is marked as deleted keeps it: one reads, the other also writes it."""
    sent = f'[{{"id": 1, "payload": {value}, "new": {value}}}]'
    sync(server, warehouse, sent)
    before = held(warehouse)
    sync(server, warehouse, sent, audit=True)
    assert warehouse.rows("audits", "compared", "missing", "stale", "surplus") == [(1, 0, 0, 0)]
    sync(server, warehouse, "[]")
    assert held(warehouse) == before
    assert warehouse.rows("events", "deleted_at") != [(None,)]


def test_a_number_that_no_float_can_hold_ends_no_audit(server: Server, warehouse: Warehouse) -> None:
    sent = '[{"id": 1, "payload": {"n": 1e400}}]'
    sync(server, warehouse, sent)
    sync(server, warehouse, sent, audit=True)
    assert warehouse.rows("events", "id") == [(1,)] or warehouse.rows("load_gaps", "resource")
