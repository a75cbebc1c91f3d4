"""What no event of Stripe's tells arrives all the same."""

from typing import Any

import pytest

from ingest_testing import assert_mirrors
from stripe_location.source.account import OLDER_PARENTS

from .origin import Origin, Warehouse

pytestmark = pytest.mark.exhaustive

DAY = 86_400


def made(changed: Any, collection: str) -> str:
    """The id of what a change made in a collection."""
    return next(str(each["id"]) for each in changed["changed"] if each["collection"] == collection)


@pytest.mark.parametrize(
    ("group", "kind", "table"),
    [
        ("billing", "customer.create", "customers"),
        ("billing", "invoice.create", "invoices"),
        ("payments", "refund.create", "refunds"),
        ("payments", "payment_intent.create", "payment_intents"),
        ("payments", "dispute.create", "disputes"),
        ("checkout", "setup_intent.create", "setup_intents"),
        ("connect", "transfer.create", "transfers"),
    ],
)
def test_what_is_new_is_there_without_an_event(group: str, kind: str, table: str, mirrored: Warehouse) -> None:
    """Stripe writes some types of events only for a webhook that names them."""
    mirrored.origin.change(kind, untold=["*"])
    mirrored.origin.advance()
    mirrored.sync(group)
    assert_mirrors(mirrored, table)


@pytest.mark.parametrize(
    ("group", "name"), [("payments", "payment_intent"), ("checkout", "setup_intent"), ("checkout", "coupon")]
)
def test_an_edit_that_no_event_tells_of_is_there(group: str, name: str, mirrored: Warehouse) -> None:
    id_ = made(mirrored.origin.change(f"{name}.create"), f"{name}s")
    mirrored.origin.advance(DAY // 2)
    mirrored.sync(group)
    mirrored.origin.change(f"{name}.update", id=id_, untold=["*"], set={"metadata": {"order": "7"}})
    mirrored.origin.advance()
    mirrored.sync(group)
    assert_mirrors(mirrored, f"{name}s")


def test_a_redemption_counts_though_no_event_names_the_coupon(mirrored: Warehouse) -> None:
    customer = next(row["id"] for row in mirrored.origin.objects("customers") if row["discount"] is None)
    mirrored.origin.advance(3 * DAY)
    mirrored.sync("checkout")
    mirrored.origin.change("discount.create", id=customer, untold=["*"])
    mirrored.origin.advance()
    mirrored.sync("checkout")
    assert_mirrors(mirrored, "coupons", "promotion_codes")


def pending_items(origin: Origin, count: int) -> tuple[str, list[str]]:
    """A customer, and so many new invoice items of theirs that no invoice has taken up."""
    price = next(row["id"] for row in origin.objects("prices") if row["active"])
    customer = origin.objects("customers")[0]["id"]
    return customer, [
        made(origin.change("invoiceitem.create", id=customer, seed=seed), "invoiceitems")
        for seed in range(count)
        if price
    ]


def test_an_invoice_item_that_an_invoice_takes_up_beyond_its_tenth_line(mirrored: Warehouse) -> None:
    """The event of the invoice shows ten lines."""
    customer, items = pending_items(mirrored.origin, 13)
    mirrored.origin.advance(3 * DAY)
    mirrored.sync("billing")
    mirrored.origin.change("invoice.collect", id=customer)
    mirrored.origin.advance()
    mirrored.sync("billing")
    taken_up = {row["id"] for row in mirrored.origin.objects("invoiceitems") if row["invoice"]}
    assert taken_up >= set(items)
    assert_mirrors(mirrored, "invoiceitems", "invoices")


def test_an_edit_of_a_pending_invoice_item(mirrored: Warehouse) -> None:
    _, (item,) = pending_items(mirrored.origin, 1)
    mirrored.origin.advance(3 * DAY)
    mirrored.sync("billing")
    mirrored.origin.change("invoiceitem.edit", id=item, set={"description": "as it is now"})
    mirrored.origin.advance()
    mirrored.sync("billing")
    assert mirrored.query("SELECT description FROM {invoiceitems} WHERE id = %s", item) == [("as it is now",)]
    assert_mirrors(mirrored, "invoiceitems")


def test_an_invoice_of_an_older_version_names_its_items(mirrored: Warehouse) -> None:
    """Events are rendered in the version that is the account's own, and not in the one asked for."""
    assert "lines.data.invoice_item" in OLDER_PARENTS["invoice"]
    origin = mirrored.origin
    item = next(row["id"] for row in origin.objects("invoiceitems") if row["invoice"])
    origin.advance(3 * DAY)
    mirrored.sync("billing")
    origin.change("invoiceitem.edit", id=item, set={"description": "as it is now"})
    old = {"id": "in_gone", "object": "invoice", "created": 1, "lines": {"data": [{"invoice_item": item}]}}
    origin.change("event.plant", set={"type": "invoice.updated", "account": None, "object": old})
    origin.advance()
    mirrored.sync("billing")
    assert mirrored.query("SELECT description FROM {invoiceitems} WHERE id = %s", item) == [("as it is now",)]


def test_the_forecast_of_an_invoice_is_not_asked_for(mirrored: Warehouse) -> None:
    mirrored.origin.advance(600)
    mirrored.sync("billing")
    for seed in range(6):
        mirrored.origin.change("invoice.upcoming", seed=seed)
    mirrored.origin.advance()
    mirrored.origin.forget_requests()
    mirrored.sync("billing")
    assert "/stripe/v1/invoices/{id}" not in mirrored.origin.requests()["by_path"]


def test_an_id_of_the_accounts_own_choice_is_asked_for_as_it_is(mirrored: Warehouse) -> None:
    chosen = [row["id"] for row in mirrored.origin.objects("products") if "#" in row["id"]]
    assert chosen
    mirrored.origin.advance(3 * DAY)
    mirrored.sync("billing")
    for id_ in chosen:
        mirrored.origin.change("product.update", id=id_)
    mirrored.origin.advance()
    mirrored.sync("billing")
    assert_mirrors(mirrored, "products")


def test_more_objects_of_one_second_than_a_page(mirrored: Warehouse) -> None:
    made_at = {mirrored.origin.change("customer.create")["at"] for _ in range(250)}
    mirrored.origin.advance()
    mirrored.sync("billing")
    assert len(made_at) < 5
    assert_mirrors(mirrored, "customers")
