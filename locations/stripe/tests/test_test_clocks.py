"""Objects of test clocks, which some lists of Stripe's hide and its events tell of, are loaded always or never."""

from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from ingest_testing import assert_mirrors

from .origin import Origin, Warehouse

pytestmark = pytest.mark.exhaustive

TABLES = ("customers", "subscriptions", "invoices", "invoiceitems", "quotes")
MADE = ("subscription.create", "invoiceitem.create", "quote.create")


def lived_by_a_clock(origin: Origin, **how: Any) -> str:
    """A customer that lives by a test clock, with one object of each table that can."""
    clock = origin.change("test_clock.create")["changed"][0]["id"]
    customer: str = origin.change("customer.create", set={"test_clock": clock}, **how)["changed"][0]["id"]
    for kind in MADE:
        origin.change(kind, id=customer, **how)
    origin.change("invoice.collect", id=customer, **how)
    return customer


def of_clocks(warehouse: Warehouse) -> dict[str, int]:
    counts = {name: warehouse.query(f"SELECT count(test_clock) FROM {{{name}}}")[0][0] for name in TABLES}
    return {name: count for name, count in counts.items() if count}


def test_never_they_are_left_out(synced: Warehouse) -> None:
    """Of what events tell, of what lists show, and of what was deleted."""
    customer = lived_by_a_clock(synced.origin)
    synced.origin.advance()
    synced.sync("billing", "checkout")
    synced.origin.change("customer.delete", id=customer)
    synced.origin.advance(600)
    synced.audit("billing", "checkout")
    assert of_clocks(synced) == {}


def test_always_the_lists_of_each_clock_are_read_though_no_event_tells(synced: Warehouse) -> None:
    lived_by_a_clock(synced.origin, untold=["*"])
    synced.origin.advance()
    synced.sync("billing", "checkout", SOURCES__STRIPE__TEST_CLOCKS="always")
    assert of_clocks(synced).keys() == set(TABLES)
    assert_mirrors(synced, *TABLES)
    synced.audit("billing")
    living = "SELECT count(*) FROM {customers} WHERE test_clock IS NOT NULL AND deleted_at IS NULL"
    assert synced.query(living) == [(0,)], "an audit that is to load none marks those that are there"


def test_another_word_than_always_or_never(warehouse: Warehouse) -> None:
    with pytest.raises(
        PipelineStepFailed, match=r"sources\.stripe\.test_clocks is 'no'; set it to 'always' or 'never'"
    ):
        warehouse.sync("billing", SOURCES__STRIPE__TEST_CLOCKS="no")
