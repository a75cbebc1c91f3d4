"""Changes to Stripe, each by the operations of `books` and with the events Stripe writes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import prose
from ..moment import ChangeRefused, Fields, Kind, Moment
from ..wire import Json
from . import objects
from .books import Books, told
from .resources import RESOURCES, Resource

_METADATA: Fields = {"metadata": dict[str, str]}
_CUSTOMER: Fields = _METADATA | {
    "name": str | None,
    "email": str | None,
    "description": str | None,
    "delinquent": bool,
    "test_clock": str | None,
}
_PRODUCT: Fields = _METADATA | {"name": str, "description": str | None, "active": bool}
_PRICE: Fields = _METADATA | {"nickname": str | None, "active": bool}
_TIERS: Fields = {"billing_scheme": str, "tiers_mode": str, "tiers": list}
_SUBSCRIPTION: Fields = _METADATA | {"cancel_at_period_end": bool, "description": str | None}
_INVOICE: Fields = _METADATA | {"description": str | None, "footer": str | None}
_CHARGE: Fields = {"amount": int, "paid": bool}
_REFUND: Fields = {"amount": int}
_EVENT: Fields = {"type": str, "account": str | None, "object": dict[str, Any]}

_MONTH = 30 * objects.DAY

# Stripe takes 20 items in a subscription at most.
_ITEMS_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class _Hand:
    """One change at work."""

    books: Books
    moment: Moment

    def pick(self, resource: str, wanted: Callable[[Json], bool] = lambda _: True) -> Json:
        """The object that the change names, if it fits, or a seeded one."""
        id = self.moment.change.id
        return self.moment.choose(
            row for row in self.books.objects(resource) if (id is None or row["id"] == id) and wanted(row)
        )

    def any(self, resource: str, wanted: Callable[[Json], bool] = lambda _: True) -> Json:
        """A seeded object that the change needs but is not about."""
        return self.moment.choose(filter(wanted, self.books.objects(resource)))

    def update(self, resource: str, wanted: Callable[[Json], bool], *events: str) -> None:
        """Set what the change sets, or else a metadata value."""
        row = self.pick(resource, wanted)
        given = self.moment.change.set
        # A key of metadata is kept unless it is given anew, as at Stripe.
        metadata = given.get("metadata", {} if given else {"touched": prose.slug(self.moment.rng)})
        changed = given | {"metadata": row["metadata"] | metadata}
        if resource == "products":
            changed["updated"] = self.moment.at
        self.books.update(resource, row["id"], changed, *events)

    def prices(self, currency: str, taken: frozenset[str] = frozenset()) -> list[Json]:
        return [
            row
            for row in self.books.objects("prices")
            if row["currency"] == currency
            and row["active"]
            and row["id"] not in taken
            and row["recurring"]
            and row["recurring"]["interval"] == "month"
        ]


def _anything(_: Json) -> bool:
    return True


def _is(status: str) -> Callable[[Json], bool]:
    return lambda row: row["status"] == status


def _updates(resource: str, *events: str, wanted: Callable[[Json], bool] = _anything) -> Callable[[_Hand], None]:
    """Sets fields of an object."""
    return lambda hand: hand.update(resource, wanted, *events)


def _does(
    operation: Callable[[Books, str], Any], resource: str, wanted: Callable[[Json], bool] = _anything
) -> Callable[[_Hand], None]:
    """An operation of Stripe on an object; `id` names it."""
    return lambda hand: operation(hand.books, hand.pick(resource, wanted)["id"])


def _customer_create(hand: _Hand) -> None:
    hand.books.create_customer(**hand.moment.change.set)


def _product_create(hand: _Hand) -> None:
    made = objects.product(hand.moment.rng, hand.moment.at) | hand.moment.change.set
    hand.books.insert("products", made, "product.created")


def _product_delete(hand: _Hand) -> None:
    # Stripe refuses to delete a product that has prices, and has no way to delete a price.
    priced = {price["product"] for price in hand.books.objects("prices")}
    row = hand.pick("products", lambda row: row["id"] not in priced)
    hand.books.delete("products", row["id"], "product.deleted")


def _price_create(hand: _Hand) -> None:
    rng = hand.moment.rng
    product = hand.any("products", lambda row: bool(row["active"]))
    currency = rng.choice(objects.CURRENCIES)
    interval = rng.choice(("month", "month", "year", None))
    made = objects.price(rng, hand.moment.at, product["id"], currency, interval)
    hand.books.insert("prices", made | hand.moment.change.set, "price.created")


def _subscription_create(hand: _Hand) -> None:
    """A subscription of a customer: `id` names the customer."""
    id = hand.moment.change.id
    customer = hand.any("customers", lambda row: id in (None, row["id"]) and bool(hand.prices(row["currency"])))
    choice = hand.prices(customer["currency"])
    chosen = hand.moment.rng.sample(choice, k=min(len(choice), hand.moment.rng.randint(1, 12)))
    made = hand.books.subscribe(customer, chosen, _MONTH, **hand.moment.change.set)
    invoice = hand.books.bill(made["id"])
    hand.books.finalize(invoice["id"])
    hand.books.pay(invoice["id"])


def _free_prices(hand: _Hand, row: Json) -> list[Json]:
    """What could still be added: monthly like the rest, and each price once."""
    items = row["items"]["data"]
    if len(items) >= _ITEMS_AT_MOST or items[0]["price"]["recurring"]["interval"] != "month":
        return []
    return hand.prices(row["currency"], frozenset(item["price"]["id"] for item in items))


def _subscription_add_item(hand: _Hand) -> None:
    row = hand.pick("subscriptions", lambda row: row["status"] == "active" and bool(_free_prices(hand, row)))
    items = row["items"]["data"]
    period = (items[0]["current_period_start"], items[0]["current_period_end"])
    price = hand.moment.rng.choice(_free_prices(hand, row))
    added = objects.subscription_item(hand.moment.rng, hand.moment.at, row["id"], price, period)
    hand.books.set_items(row["id"], [*items, added])


def _subscription_remove_item(hand: _Hand) -> None:
    row = hand.pick("subscriptions", lambda row: row["status"] == "active" and row["items"]["total_count"] > 1)
    items = row["items"]["data"]
    gone = hand.moment.rng.choice(items)
    hand.books.set_items(row["id"], [item for item in items if item is not gone])


def _invoice_create(hand: _Hand) -> None:
    prices = hand.books.objects("prices")
    currencies = {price["currency"] for price in prices}
    customer = hand.any("customers", lambda row: row["currency"] in currencies)
    choice = [price for price in prices if price["currency"] == customer["currency"]]
    chosen = hand.moment.rng.choices(choice, k=hand.moment.rng.choice((1, 2, 10, 11, 35)))
    made = hand.books.bill_once(customer["id"], chosen)
    if hand.moment.change.set:
        hand.books.update("invoices", made["id"], hand.moment.change.set, "invoice.updated")


def _billable(hand: _Hand, *statuses: str) -> Json:
    """An invoice in one of these states whose customer is still there."""
    customers = hand.books.tables["customers"].rows
    return hand.pick("invoices", lambda row: row["status"] in statuses and row["customer"] in customers)


def _invoice_finalize(hand: _Hand) -> None:
    hand.books.finalize(_billable(hand, "draft")["id"])


def _invoice_pay(hand: _Hand) -> None:
    row = _billable(hand, "draft", "open")
    if row["status"] == "draft":
        hand.books.finalize(row["id"])
    hand.books.pay(row["id"])


def _invoice_delete_draft(hand: _Hand) -> None:
    # The draft of a subscription cannot be deleted at Stripe.
    row = hand.pick("invoices", lambda row: row["status"] == "draft" and row["parent"] is None)
    hand.books.delete("invoices", row["id"], "invoice.deleted")


def _charge_create(hand: _Hand) -> None:
    amount = hand.moment.value("amount", hand.moment.rng.randint(1, 500) * 100)
    paid = hand.moment.value("paid", hand.moment.rng.random() < 0.9)
    hand.books.charge(hand.any("customers"), amount, paid=paid)


def _refund_create(hand: _Hand) -> None:
    """A refund of a charge: `id` names the charge."""
    row = hand.pick("charges", lambda row: row["paid"] and not row["refunded"])
    left = row["amount"] - row["amount_refunded"]
    part = left // 20 * 10 or left
    amount = hand.moment.value("amount", hand.moment.rng.choice((left, part)))
    if not 0 < amount <= left:
        raise ChangeRefused(f"stripe.refund.create: {left} is left to refund, not {amount}")
    hand.books.refund(row["id"], amount)


def _invoice_upcoming(hand: _Hand) -> None:
    """The next invoice of a subscription is announced: `id` names the subscription."""
    hand.books.announce_invoice(hand.pick("subscriptions", _is("active"))["id"], with_id=hand.moment.rng.random() < 0.5)


def _invoice_collect(hand: _Hand) -> None:
    """A draft of the pending invoice items of a customer: `id` names the customer."""
    pending = {item["customer"] for item in hand.books.objects("invoiceitems") if item["invoice"] is None}
    hand.books.collect(hand.pick("customers", lambda row: row["id"] in pending)["id"])


def _event_plant(hand: _Hand) -> None:
    """Any event, by default of a connected account and so about an object that is not ours."""
    given, rng, at = hand.moment.value, hand.moment.rng, hand.moment.at
    account = given("account", objects.CONNECTED_ACCOUNT)
    more: Json = {} if account is None else {"account": account}
    hand.books.record(given("type", "customer.updated"), given("object", objects.customer(rng, at)), more=more)


# What happens to objects of which one is like the other.


def _create(resource: Resource) -> Kind[_Hand]:
    """A new object; `id` may name one that it belongs to, as the charge of a dispute."""

    def make(hand: _Hand) -> None:
        of = hand.moment.change.id
        hand.books.create(resource, hand.moment.change.set, None if of is None else str(of))

    return Kind(make, 1, resource.sets)


def _update(resource: Resource) -> Kind[_Hand]:
    """A step of an object's life; its metadata changes too, where it has any."""

    def make(hand: _Hand) -> None:
        event = hand.moment.choose(resource.steps)
        step = resource.steps[event]

        def would_change(row: Json) -> bool:
            return "metadata" in row or callable(step) or any(row[name] != value for name, value in step.items())

        row = hand.pick(resource.name, would_change)
        given = hand.moment.change.set
        if "metadata" in row:
            touched = given.get("metadata", {"touched": prose.slug(hand.moment.rng)})
            given = given | {"metadata": row["metadata"] | touched}
        hand.books.step(resource, row["id"], event, given)

    return Kind(make, 1, resource.sets)


def _delete(resource: Resource) -> Kind[_Hand]:
    def make(hand: _Hand) -> None:
        row = hand.pick(resource.name)
        hand.books.delete(resource.name, row["id"], *told(resource.dies or ""))

    return Kind(make, 1)


def _plain_kinds() -> dict[str, Kind[_Hand]]:
    plain = [resource for resource in RESOURCES.values() if resource.make]
    return (
        {f"stripe.{resource.kind}.create": _create(resource) for resource in plain}
        | {f"stripe.{resource.kind}.update": _update(resource) for resource in plain if resource.steps}
        | {f"stripe.{resource.kind}.delete": _delete(resource) for resource in plain if resource.dies is not None}
    )


KINDS: dict[str, Kind[_Hand]] = _plain_kinds() | {
    "stripe.customer.create": Kind(_customer_create, 6, _CUSTOMER),
    "stripe.customer.update": Kind(_updates("customers", "customer.updated"), 8, _CUSTOMER),
    "stripe.customer.delete": Kind(_does(Books.delete_customer, "customers"), 2),
    "stripe.product.create": Kind(_product_create, 1, _PRODUCT),
    "stripe.product.update": Kind(_updates("products", "product.updated"), 2, _PRODUCT),
    "stripe.product.delete": Kind(_product_delete, 1),
    "stripe.price.create": Kind(_price_create, 1, _PRICE | _TIERS),
    "stripe.price.update": Kind(_updates("prices", "price.updated"), 2, _PRICE),
    "stripe.subscription.create": Kind(_subscription_create, 5, _SUBSCRIPTION),
    "stripe.subscription.update": Kind(
        _updates("subscriptions", "customer.subscription.updated", wanted=_is("active")), 4, _SUBSCRIPTION
    ),
    "stripe.subscription.cancel": Kind(_does(Books.cancel, "subscriptions", _is("active")), 2),
    "stripe.subscription.add_item": Kind(_subscription_add_item, 3),
    "stripe.subscription.remove_item": Kind(_subscription_remove_item, 2),
    "stripe.invoice.create": Kind(_invoice_create, 5, _INVOICE),
    "stripe.invoice.update": Kind(_updates("invoices", "invoice.updated"), 5, _INVOICE),
    "stripe.invoice.finalize": Kind(_invoice_finalize, 3),
    "stripe.invoice.pay": Kind(_invoice_pay, 5),
    "stripe.invoice.void": Kind(_does(Books.void, "invoices", _is("open")), 1),
    "stripe.invoice.delete_draft": Kind(_invoice_delete_draft, 1),
    "stripe.charge.create": Kind(_charge_create, 5, _CHARGE),
    "stripe.refund.create": Kind(_refund_create, 3, _REFUND),
    "stripe.refund.update": Kind(_updates("refunds", "refund.updated", "charge.refund.updated"), 2, _METADATA),
    "stripe.balance_transaction.settle": Kind(_does(Books.settle, "balance_transactions", _is("pending")), 4),
    "stripe.discount.create": Kind(_does(Books.give_discount, "customers", lambda row: row["discount"] is None), 0),
    "stripe.discount.delete": Kind(_does(Books.end_discount, "customers", lambda row: row["discount"] is not None), 0),
    "stripe.invoice.upcoming": Kind(_invoice_upcoming, 0),
    "stripe.invoice.collect": Kind(_invoice_collect, 2),
    # Of which Stripe writes no event.
    "stripe.invoiceitem.edit": Kind(_updates("invoiceitems"), 0, _METADATA | {"description": str | None}),
    "stripe.invoiceitem.create_inline": Kind(_does(Books.bill_inline, "customers"), 1),
    "stripe.customer.add_tax_id": Kind(_does(Books.add_tax_id, "customers"), 2),
    "stripe.customer.remove_tax_id": Kind(
        _does(Books.remove_tax_id, "customers", lambda row: bool(row["tax_ids"]["data"])), 1
    ),
    "stripe.event.plant": Kind(_event_plant, 0, _EVENT),
}
"""Every kind of change. What one may set goes by the names of the fields."""


def apply(books: Books, moment: Moment) -> None:
    """Make one change; raises `ChangeRefused` where nothing fits it, and then nothing changed."""
    books.at_moment(moment.rng, moment.at, moment.change.late, moment.change.untold)
    KINDS[moment.change.kind].apply(_Hand(books, moment), moment)
