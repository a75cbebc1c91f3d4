"""What rows name is there, also where no list and no event of Stripe's shows it."""

from typing import Any

import pytest

from ingest_shared.references import references
from ingest_testing import assert_mirrors
from ingest_testing.runs import run_job
from stripe_location.source import objects
from stripe_location.source.tables import TABLES

from .origin import Warehouse

pytestmark = pytest.mark.exhaustive

DAY = 86_400


def made(changed: Any, collection: str) -> str:
    return next(str(each["id"]) for each in changed["changed"] if each["collection"] == collection)


def test_every_column_that_names_a_row_names_one_of_a_table() -> None:
    tables = {table.name for root in TABLES.values() for table in root.with_children}
    named = {column.to for root in TABLES.values() for table in root.with_children for column in references(table)}
    assert named <= tables
    assert len(named) > 10


def test_an_inline_price_that_no_list_shows_is_asked_for_by_those_who_name_it(warehouse: Warehouse) -> None:
    origin = warehouse.origin
    customer = origin.objects("customers")[0]["id"]
    price = made(origin.change("invoiceitem.create_inline", id=customer, untold=["*"]), "prices")
    origin.advance(DAY)
    warehouse.sync("billing")
    warehouse.sync("billing")
    assert warehouse.query("SELECT active FROM {prices} WHERE id = %s", price) == [(False,)]
    assert_mirrors(warehouse, "prices", "products")
    assert warehouse.audit("billing") == {}


def test_reviews_that_were_closed_before_the_first_load_are_asked_for_by_the_payments_that_name_them(
    warehouse: Warehouse,
) -> None:
    """Stripe lists open ones only: https://docs.stripe.com/api/radar/reviews/list"""
    made = warehouse.origin.change("review.create")["changed"][0]["id"]
    warehouse.origin.change("review.update", id=made)
    for _ in range(2):
        warehouse.origin.advance(31 * DAY)
        warehouse.sync("payments")
    assert warehouse.query("SELECT open, deleted_at FROM {reviews} WHERE id = %s", made) == [(False, None)]
    assert_mirrors(warehouse, "reviews", audited=True)


def test_inactive_prices_that_no_row_names_are_listed_apart(warehouse: Warehouse) -> None:
    """Without a filter, Stripe lists only active ones: https://docs.stripe.com/api/prices/list"""
    origin = warehouse.origin
    earlier = made(origin.change("price.create", set={"active": False}, untold=["*"]), "prices")
    origin.advance(31 * DAY)
    warehouse.sync("billing")
    later = made(origin.change("price.create", set={"active": False}, untold=["*"]), "prices")
    origin.advance()
    warehouse.sync("billing")
    found = warehouse.query("SELECT id FROM {prices} WHERE NOT active AND deleted_at IS NULL")
    assert {earlier, later} <= {id_ for (id_,) in found}
    assert_mirrors(warehouse, "prices")
    assert warehouse.audit("billing") == {}


def test_what_rows_name_is_there_after_the_sync_that_follows(synced: Warehouse) -> None:
    origin = synced.origin
    synced.sync("billing")
    price = made(
        origin.change("invoiceitem.create_inline", id=origin.objects("customers")[0]["id"], untold=["*"]), "prices"
    )
    for _ in range(2):
        origin.advance()
        synced.sync("billing")
    assert synced.query("SELECT active FROM {prices} WHERE id = %s", price) == [(False,)]


def test_what_a_sync_could_not_ask_for_yet_is_not_lost_in_the_eyes_of_an_audit(synced: Warehouse) -> None:
    origin = synced.origin
    synced.sync("billing")
    customer = origin.objects("customers")[0]["id"]
    price = made(origin.change("invoiceitem.create_inline", id=customer, untold=["*"]), "prices")
    origin.advance()
    synced.sync("billing")
    origin.advance()
    assert synced.audit("billing") == {}
    assert synced.query("SELECT active FROM {prices} WHERE id = %s", price) == [(False,)]


def test_hidden_objects_are_asked_for_in_portions_one_for_each_load(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MOST_ASKED", 2)
    origin = synced.origin
    synced.sync("billing")
    before = synced.query("SELECT count(*) FROM {prices}")[0][0]
    customer = origin.objects("customers")[0]["id"]
    for _ in range(5):
        origin.change("invoiceitem.create_inline", id=customer, untold=["*"])
    found = []
    for _ in range(5):
        origin.advance()
        synced.sync("billing")
        found.append(synced.query("SELECT count(*) FROM {prices}")[0][0] - before)
    assert found == [0, 2, 4, 5, 5]


def test_many_hidden_objects_at_once_are_there_after_the_sync_that_follows(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MOST_IN_VAIN", 2)
    origin = synced.origin
    synced.sync("billing")
    customer = origin.objects("customers")[0]["id"]
    changes = [origin.change("invoiceitem.create_inline", id=customer, untold=["*"]) for _ in range(3)]
    for _ in range(2):
        origin.advance()
        synced.sync("billing")
    found = {id_ for (id_,) in synced.query("SELECT id FROM {prices}")}
    assert {made(change, "prices") for change in changes} <= found


def test_hidden_objects_that_are_not_found_are_looked_for_once_a_day(synced: Warehouse) -> None:
    synced.sync("billing")
    with synced.opened() as database:
        database.execute("UPDATE invoiceitems SET price = 'price_gone' WHERE id = (SELECT min(id) FROM invoiceitems)")
    asked = []
    for pause in (3_600, 3_600, DAY, 3_600):
        synced.origin.advance(pause)
        synced.origin.forget_requests()
        synced.sync("billing")
        asked.append(synced.origin.requests()["by_path"].get("/stripe/v1/prices/{id}", 0))
    assert asked == [1, 0, 1, 0]


def test_a_check_counts_the_rows_that_name_nothing(synced: Warehouse) -> None:
    with synced.opened() as database:
        database.execute("DELETE FROM charges WHERE id = (SELECT min(charge) FROM refunds)")
    synced.origin.advance()
    checks = run_job(synced, "audit", "refunds", "invoices", "invoice_lines").checks
    found = {table: passed for (table, check), passed in checks.items() if check == "references_lead_somewhere"}
    assert found == {"refunds": False, "invoices": True, "invoice_lines": True}
