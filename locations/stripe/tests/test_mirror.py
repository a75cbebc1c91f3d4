"""The warehouse holds what Stripe holds: after the first load, and after whatever happened since."""

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ingest_testing import Json, assert_mirrors
from stripe_location.source import LISTINGS
from stripe_location.source.objects import Objects
from stripe_location.source.tables import TABLES

from .origin import STRIPE, Origin, Warehouse

DAY = 86_400


def nested(origin: Origin, collection: str, name: str) -> Json:
    """The object with the longest nested list."""
    return max(origin.objects(collection), key=lambda row: len(row[name]["data"]))


@pytest.mark.parametrize(
    ("collection", "name", "table", "owner"),
    [
        ("invoices", "lines", "invoice_lines", "invoice_id"),
        ("subscriptions", "items", "subscription_items", "subscription_id"),
    ],
)
def test_nested_lists_are_followed_to_their_end(
    collection: str, name: str, table: str, owner: str, mirrored: Warehouse
) -> None:
    longest = nested(mirrored.origin, collection, name)
    ids = {row["id"] for row in longest[name]["data"]}
    assert len(ids) > 10
    assert set(mirrored.query(f"SELECT id FROM {{{table}}} WHERE {owner} = %s", longest["id"])) == {
        (id_,) for id_ in ids
    }


@pytest.mark.parametrize(("currency", "units"), [("usd", 100), ("jpy", 1), ("kwd", 1000)])
def test_an_amount_is_kept_in_minor_units_and_as_a_decimal(currency: str, units: int, mirrored: Warehouse) -> None:
    amounts = mirrored.query(
        "SELECT unit_amount, unit_amount_decimal, unit_amount_exact FROM {prices} WHERE currency = %s", currency
    )
    assert amounts
    assert all(money == Decimal(minor) / units and exact == minor for minor, money, exact in amounts)


def test_the_tiers_of_a_price_and_the_fees_of_a_movement_keep_their_order(mirrored: Warehouse) -> None:
    first = {"flat_amount": None, "flat_amount_decimal": None, "unit_amount": 500, "unit_amount_decimal": "500"}
    rest = {"flat_amount": 1_000, "flat_amount_decimal": "1000", "unit_amount": None, "unit_amount_decimal": "0.25"}
    tiers = [first | {"up_to": 10}, rest | {"up_to": None}]
    set_ = {"billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": tiers}
    change = mirrored.origin.change("price.create", set=set_)
    mirrored.origin.advance()
    mirrored.sync("billing")
    columns = "position, up_to, unit_amount, unit_amount_exact, flat_amount"
    id_ = change["changed"][0]["id"]
    assert mirrored.query(f"SELECT {columns} FROM {{price_tiers}} WHERE price_id = %s ORDER BY 1", id_) == [
        (0, 10, 500, Decimal(500), None),
        (1, None, None, Decimal("0.25"), 1_000),
    ]
    assert mirrored.query("SELECT DISTINCT position, type FROM {balance_transaction_fees}") == [(0, "stripe_fee")]
    assert_mirrors(mirrored, "prices", "balance_transactions")


@pytest.mark.parametrize(
    ("group", "kinds"),
    [
        ("billing", "customer.create customer.update customer.delete"),
        ("billing", "product.create product.update product.delete price.create price.update"),
        ("billing", "subscription.create subscription.update subscription.add_item subscription.cancel"),
        ("billing", "subscription.remove_item subscription.remove_item"),
        ("billing", "invoice.create invoice.update invoice.finalize invoice.pay invoice.void"),
        ("billing", "invoice.create invoice.delete_draft"),
        ("payments", "charge.create refund.create refund.update"),
        ("payments", "balance_transaction.settle balance_transaction.settle"),
    ],
)
def test_the_warehouse_equals_the_origin_after(group: str, kinds: str, mirrored: Warehouse) -> None:
    for seed, kind in enumerate(kinds.split()):
        mirrored.origin.change(kind, seed=seed)
    mirrored.origin.advance()
    mirrored.sync(group)
    assert_mirrors(mirrored, *STRIPE.tables_of(group))


def test_an_invoice_that_was_updated_and_paid(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    invoice = origin.change("invoice.create", set={"footer": "as it was"})["changed"][0]["id"]
    origin.change("invoice.update", id=invoice, set={"footer": "as it is"})
    origin.change("invoice.pay", id=invoice)
    origin.advance()
    mirrored.sync()
    assert mirrored.query("SELECT status, footer FROM {invoices} WHERE id = %s", invoice) == [("paid", "as it is")]
    assert_mirrors(mirrored)


def test_a_deleted_customer_keeps_the_columns_it_had(mirrored: Warehouse) -> None:
    customer = mirrored.query("SELECT id FROM {customers} WHERE deleted_at IS NULL AND email IS NOT NULL")[0][0]
    columns = "id, name, email, currency, metadata, created"
    before = mirrored.query(f"SELECT {columns} FROM {{customers}} WHERE id = %s", customer)
    at = mirrored.origin.change("customer.delete", id=customer)["at"]
    mirrored.origin.advance()
    mirrored.sync("billing")
    assert mirrored.query(f"SELECT {columns} FROM {{customers}} WHERE id = %s", customer) == before
    (deleted_at,) = mirrored.query("SELECT deleted_at FROM {customers} WHERE id = %s", customer)[0]
    assert deleted_at == datetime.fromtimestamp(at, UTC)


def test_a_deleted_draft_keeps_all_its_lines(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    draft = None
    for seed in range(20):
        made = origin.change("invoice.create", seed=seed)["changed"][0]["id"]
        if len(nested(origin, "invoices", "lines")["lines"]["data"]) > 10:
            draft = next(row for row in origin.objects("invoices") if row["id"] == made)
            if len(draft["lines"]["data"]) > 10:
                break
    assert draft
    origin.advance()
    mirrored.sync("billing")
    origin.change("invoice.delete_draft", id=draft["id"])
    origin.advance()
    mirrored.sync("billing")
    lines = mirrored.query("SELECT count(*) FROM {invoice_lines} WHERE invoice_id = %s", draft["id"])
    assert lines == [(len(draft["lines"]["data"]),)]
    assert_mirrors(mirrored, "invoices")


def test_what_was_made_and_deleted_between_two_syncs_is_there_with_deleted_at(mirrored: Warehouse) -> None:
    customer = mirrored.origin.change("customer.create")["changed"][0]["id"]
    mirrored.origin.change("customer.delete", id=customer)
    mirrored.origin.advance()
    mirrored.sync("billing")
    assert mirrored.query("SELECT deleted_at IS NOT NULL FROM {customers} WHERE id = %s", customer) == [(True,)]
    assert_mirrors(mirrored, "customers")


def test_more_new_objects_than_a_page_are_listed_and_not_fetched_one_by_one(mirrored: Warehouse) -> None:
    for _ in range(130):
        mirrored.origin.change("customer.create")
    mirrored.origin.advance()
    mirrored.origin.forget_requests()
    mirrored.sync("billing")
    assert mirrored.origin.requests()["by_path"].get("/stripe/v1/customers/{id}", 0) < 50
    assert_mirrors(mirrored, "customers")


def test_a_customer_who_was_deleted_while_many_were_made(mirrored: Warehouse) -> None:
    made = [mirrored.origin.change("customer.create")["changed"][0]["id"] for _ in range(130)]
    mirrored.origin.change("customer.delete", id=made[7])
    mirrored.origin.change("customer.update", id=made[9])
    mirrored.origin.advance()
    mirrored.sync("billing")
    assert_mirrors(mirrored, "customers")


@pytest.mark.exhaustive
def test_events_too_old_to_be_read_force_a_new_list_and_the_run_says_so(
    mirrored: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    mirrored.sync()
    mirrored.origin.change_at_random(seed=5, count=30)
    mirrored.origin.advance(26 * DAY)
    with caplog.at_level(logging.WARNING, "ingest"):
        mirrored.sync()
    said = [record.getMessage() for record in caplog.records if "listing all" in record.getMessage()]
    told = {list_.table.name for list_ in LISTINGS if isinstance(list_.walk, Objects)}
    assert {line.split(":")[0] for line in said} == told
    assert all("26 days" in line for line in said)
    assert_mirrors(mirrored)


def test_events_are_kept_when_stripe_has_forgotten_them(mirrored: Warehouse) -> None:
    mirrored.sync("payments")
    before = mirrored.query("SELECT count(*) FROM {events}")
    mirrored.origin.advance(31 * DAY)
    mirrored.sync("payments")
    assert mirrored.query("SELECT count(*) FROM {events}") == before
    assert_mirrors(mirrored, "events")


def test_the_history_begins_at_the_start_date(warehouse: Warehouse) -> None:
    start = datetime.fromtimestamp(warehouse.origin.now() - 100 * DAY, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    warehouse.sync("billing", SOURCES__STRIPE__START_DATE=start.date().isoformat())
    held = {row["id"] for row in warehouse.origin.objects("invoices") if row["created"] >= start.timestamp()}
    assert 0 < len(held) < len(warehouse.origin.objects("invoices"))
    assert {row["id"] for row in warehouse.rows(TABLES["invoices"])} == held


@pytest.mark.exhaustive
def test_a_start_date_that_is_moved_back_brings_what_lies_between(warehouse: Warehouse) -> None:
    origin = warehouse.origin
    now = datetime.fromtimestamp(origin.now(), UTC)
    late, early = ((now - timedelta(days)).date().isoformat() for days in (50, 100))
    warehouse.sync(SOURCES__STRIPE__START_DATE=late)
    for seed in range(30):
        origin.change("invoice.update", seed=seed)
    origin.advance()
    warehouse.sync(SOURCES__STRIPE__START_DATE=early)
    start = datetime.fromisoformat(early).replace(tzinfo=UTC).timestamp()
    for table in ("invoices", "balance_transactions"):
        held = {row["id"] for row in origin.objects(table) if row["created"] >= start}
        assert held <= {row["id"] for row in warehouse.rows(TABLES[table])}
    warehouse.sync()
    assert_mirrors(warehouse)


def test_a_start_date_that_is_moved_on_takes_nothing_away(synced: Warehouse) -> None:
    later = datetime.fromtimestamp(synced.origin.now() - 50 * DAY, UTC).date().isoformat()
    synced.origin.advance()
    synced.sync(SOURCES__STRIPE__START_DATE=later)
    synced.origin.forget_requests()
    synced.sync("billing")
    assert synced.origin.requests()["by_path"]["/stripe/v1/invoices"] == 1  # what is new
    assert_mirrors(synced)
