"""However the rows of a list lie in time, all are read, an audit compares all, and what was lost is mended."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_shared.notes import AUDITS
from ingest_shared.reading.envelopes import HasMore, LinkHeader
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.walks import ByCreated, ChangedSince, FullList, NewestFirst
from tests.conftest import Server, Warehouse
from tests.reading.played import NOW, THINGS, Origin, mirrors, thing

OLDEST_CHANGE = {"sort": "changed", "direction": "asc"}
LISTINGS = {
    "full": Listing(THINGS, "/things", walk=FullList(), envelope=LinkHeader()),
    "changed": Listing(
        THINGS,
        "/things",
        walk=ChangedSince("changed", since=lambda at: {"since": at}),
        envelope=LinkHeader(),
        params=OLDEST_CHANGE,
    ),
    "newest": Listing(
        THINGS,
        "/things",
        walk=NewestFirst(
            "changed",
            whole={"sort": "created", "direction": "asc"},
            changed={"sort": "changed", "direction": "desc"},
        ),
        envelope=LinkHeader(),
    ),
    "created": Listing(
        THINGS,
        "/things",
        walk=ByCreated("created", between=lambda start, end: {"from": start, "to": end}),
        envelope=HasMore(after="after"),
        params={"sort": "created", "direction": "desc"},
    ),
}
GAPS = st.sampled_from([0, 0, 0, 1, 1, 60, 3_600, 86_400, 30 * 86_400])
"""Seconds between two rows: bursts within a second, quiet months."""
_locations = iter(range(10**6))


@pytest.mark.parametrize("walk", LISTINGS)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(gaps=st.lists(GAPS, min_size=1, max_size=60), lost=st.randoms(use_true_random=False))
def test_an_audit_compares_every_row(server: Server, walk: str, gaps: list[int], lost: random.Random) -> None:
    ages = [sum(gaps[:number]) + 100 for number in range(len(gaps))]
    things = [thing(id, at=NOW - age) for id, age in enumerate(ages, 1)]
    origin = Origin(server, things, in_data=walk == "created", in_flight=4)
    warehouse = Warehouse("duckdb", f"dense{next(_locations)}")
    origin.sync(warehouse, LISTINGS[walk])
    assert mirrors(warehouse, origin)
    gone = lost.sample(range(1, len(gaps) + 1), k=(len(gaps) + 1) // 2)
    plant_losses(warehouse, gone)
    origin.sync(warehouse, LISTINGS[walk], audit=True)
    assert mirrors(warehouse, origin)
    (audit,) = warehouse.rows(AUDITS.name, "compared", "missing", "surplus", "stale")
    assert audit == (len(gaps), len(gone), 0, 0)


def plant_losses(warehouse: Warehouse, ids: list[int]) -> None:
    with warehouse.pipeline().sql_client() as client:
        name: Any = client.make_qualified_table_name("things")
        client.execute_sql(f"DELETE FROM {name} WHERE id IN ({', '.join(map(str, ids))})")
