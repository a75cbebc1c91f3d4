"""What Stripe holds, and its own operations on it: each writes the events that Stripe writes.

Objects are replaced, never altered in place, so whoever holds an old one holds it as it was.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import msgspec

from .. import wire
from ..moment import ChangeRefused
from ..ordered import Key, View
from ..wire import Json
from . import objects
from .objects import Context
from .payloads import billing, payments
from .resources import RESOURCES, Resource

NESTED_SHOWN = 10
"""How many rows of a nested list an object shows."""

EVENTS_KEPT = 30 * objects.DAY
"""Seconds after which an event can no longer be read."""

_VIEWS_KEPT = 200


@dataclass(slots=True, eq=False)
class Row:
    """One object, with its JSON as the API shows it."""

    order: int
    object: Json
    expandable: tuple[str, ...] = ()
    _rendered: wire.Rendered | None = None

    @property
    def key(self) -> Key:
        """Where it stands in lists: by its creation, then in the order of making."""
        return (created(self.object), self.order)

    def replace(self, changed: Json) -> None:
        self.object = self.object | changed
        self._rendered = None

    def rendered(self) -> wire.Rendered:
        if self._rendered is not None:
            return self._rendered
        rendered = wire.render(self.shown())
        # The snapshot in an event is JSON already; keeping it twice would cost more than it saves.
        if self.object["object"] != "event":
            self._rendered = rendered
        return rendered

    def shown(self, expanded: Iterable[str] = ()) -> Json:
        """The object as the API shows it, with these of its expandable fields."""
        hidden = {*self.expandable} - {*expanded}
        return shown(
            {name: value for name, value in self.object.items() if name not in hidden} if hidden else self.object
        )

    def body(self, expanded: Iterable[str]) -> bytes:
        return wire.encode(self.shown(expanded)) if expanded else self.rendered().body


def created(object: Json) -> int:
    """When an object was made; payment links do not tell."""
    at: int = object["created"] if "created" in object else object.get("date", 0)
    return at


def shown(object: Json) -> Json:
    """The object with the first ten rows of its nested lists."""
    cut = {
        name: whole | {"data": whole["data"][:NESTED_SHOWN], "has_more": True}
        for name, whole in object.items()
        if isinstance(whole, dict) and whole.get("object") == "list" and len(whole["data"]) > NESTED_SHOWN
    }
    return object | cut if cut else object


def difference(old: Json, new: Json) -> Json:
    """Stripe's `previous_attributes`: what `new` changes, with the values of before."""
    found: Json = {}
    for name, value in new.items():
        before = old.get(name)
        if before == value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            found[name] = difference(before, value)
        else:
            found[name] = before
    return found


@dataclass(slots=True)
class Table:
    """All rows of one resource, by id."""

    rows: dict[str, Row] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    """Id to the time of deletion, in epoch seconds."""
    _views: dict[Any, View[Row]] = field(default_factory=dict)

    def view(self, name: Any, wanted: Callable[[Json], bool]) -> View[Row]:
        """The rows wanted, by creation; kept under a name until the next change."""
        if name not in self._views:
            if len(self._views) >= _VIEWS_KEPT:
                self._views.clear()
            rows = self.rows.values()
            self._views[name] = View((row.key, row) for row in rows if wanted(row.object))
        return self._views[name]

    def changed(self) -> None:
        self._views.clear()


class Books:
    """All tables of one mode. `rng` and `at` are the chance and the time of what is done next."""

    def __init__(self, *, events_since: int, live: bool = False) -> None:
        self.live = live
        self.tables = {name: Table() for name in RESOURCES}
        self.touched: list[Json] = []
        """What the changes so far did; whoever makes a change takes it away."""
        self.rng = Random(0)
        self.at = events_since
        self.late = 0
        """How many seconds after their `created` events show."""
        self.untold: frozenset[str] = frozenset()
        """Types of events that are not written; `*` for all."""
        self.unlisted: set[str] = set()
        """The ids of objects that no list shows: inline prices."""
        self.held: Counter[str] = Counter()
        """The balance of the account, by currency, in smallest units: what is pending too."""
        self._events_since = events_since
        self._made = 0

    def at_moment(self, rng: Random, at: int, late: int = 0, untold: Iterable[str] = ()) -> None:
        """Set the chance and the time of what is done next, how late its events show, and which it does not write."""
        self.rng, self.at, self.late, self.untold = rng, at, late, frozenset(untold)

    def row(self, resource: str, id: str) -> Row:
        return self.tables[resource].rows[id]

    def objects(self, resource: str) -> Iterable[Json]:
        return [row.object for row in self.tables[resource].rows.values()]

    # Writing.

    def insert(self, resource: str, object: Json, *events: str) -> Json:
        self._made += 1
        table, object = self.tables[resource], self._of_mode(object)
        table.rows[object["id"]] = Row(self._made, object, RESOURCES[resource].expandable)
        table.changed()
        self._touch("created", resource, object["id"])
        self._announce(resource, object["id"], events, None)
        return object

    def update(self, resource: str, id: str, changed: Json, *events: str) -> Json:
        """Set fields of an object; the object as it is now."""
        table, row = self.tables[resource], self.row(resource, id)
        before = row.object
        row.replace(self._of_mode(changed))
        table.changed()
        self._touch("updated", resource, id)
        self._announce(resource, id, events, before)
        return row.object

    def delete(self, resource: str, id: str, *events: str) -> None:
        table = self.tables[resource]
        self._announce(resource, id, events, None)
        del table.rows[id]
        table.deleted[id] = self.at
        table.changed()
        self._touch("deleted", resource, id)

    def _of_mode(self, object: Json) -> Json:
        """The object as it is in this mode; all are made for test mode."""
        return objects.in_live_mode(object) if self.live else object

    def _touch(self, action: str, resource: str, id: str, **more: str) -> None:
        self.touched.append({"action": action, "collection": resource, "id": id, **more})

    def _announce(self, resource: str, id: str, types: Iterable[str], before: Json | None) -> None:
        if self.at < self._events_since:
            return
        row = self.row(resource, id)
        for type in types:
            # Only events of updates say what was before.
            previous = None
            if before is not None and type.endswith(("updated", "refunded")):
                previous = difference(before, row.object)
            self.record(type, msgspec.Raw(objects.answered(row.rendered().body, self.at)), previous)

    def record(self, type: str, snapshot: Any, previous: Json | None = None, more: Json | None = None) -> None:
        """Write an event about any object, whether or not it is one of ours, unless it is too old to be read."""
        if self.at < self._events_since or self.untold & {type, "*"}:
            return
        made = self._of_mode(objects.event(self.rng, self.at - self.late, type, snapshot, previous) | (more or {}))
        self._made += 1
        self.tables["events"].rows[made["id"]] = Row(self._made, made)
        self.tables["events"].changed()
        self._touch("created", "events", made["id"], type=type)

    # What happens to objects of which one is like the other.

    @property
    def context(self) -> Context:
        """What a payload may depend on."""
        return Context(self.rng, self.at, self.any)

    def any(self, resource: str, wanted: Callable[[Json], bool] = lambda _: True, of: str | None = None) -> Json:
        """A seeded object, or the one with the id ``of`` if it is of this resource; raises `ChangeRefused`."""
        rows = self.tables[resource].rows
        found = list(filter(wanted, [rows[of].object] if of in rows else self.objects(resource)))
        if not found:
            raise ChangeRefused(f"nothing among the {resource} fits")
        return self.rng.choice(found)

    def create(self, resource: Resource, fields: Json, of: str | None = None) -> Json:
        """A new object, with what it changes of others; ``of`` is the id of one that it belongs to."""
        assert resource.make
        context = Context(self.rng, self.at, partial(self.any, of=of))
        new = resource.make(context) | fields
        if resource.name == "payouts":
            new["balance_transaction"] = self._book(new)
        made = self.insert(resource.name, new, *told(resource.born))
        for parents, field_, mark in resource.marks:
            if row := self.tables[parents].rows.get(made[field_]):
                self.update(parents, row.object["id"], mark(made, row.object))
        return made

    def step(self, resource: Resource, id: str, event: str, fields: Json) -> None:
        """What happens to an object in the step of that event; nothing is refused that changes nothing."""
        what = resource.steps[event]
        changed = what(self.context, self.row(resource.name, id).object) if callable(what) else what
        self.update(resource.name, id, changed | fields, *told(event))

    # The operations of Stripe.

    def create_customer(self, **fields: Any) -> Json:
        made = objects.customer(self.rng, self.at) | fields
        return self.insert("customers", made, "customer.created")

    def delete_customer(self, id: str) -> None:
        """The customer leaves a stub; its subscriptions are canceled, and its payment methods detached.

        Of these, Stripe does not promise an event.
        """
        for found in self.objects("subscriptions"):
            if found["customer"] == id and found["status"] != "canceled":
                self.cancel(found["id"])
        for held in self.objects("payment_methods"):
            if held["customer"] == id:
                self.update("payment_methods", held["id"], {"customer": None})
        self.delete("customers", id, "customer.deleted")

    def subscribe(self, customer: Json, prices: list[Json], period: int, **fields: Any) -> Json:
        """A subscription to prices, with a first period of this many seconds; not yet billed."""
        made = objects.subscription(self.rng, self.at, customer)
        span = (self.at, self.at + period)
        items = [objects.subscription_item(self.rng, self.at, made["id"], price, span) for price in prices]
        made["items"] = objects.nested(items, objects.items_url(made["id"]))
        return self.insert("subscriptions", made | fields, "customer.subscription.created")

    def renew(self, id: str, period: int) -> None:
        """Begin the next period now."""
        whole = self.row("subscriptions", id).object["items"]
        span = {"current_period_start": self.at, "current_period_end": self.at + period}
        self.set_items(id, [item | span for item in whole["data"]])

    def set_items(self, id: str, items: list[Json]) -> None:
        changed = {"items": objects.nested(items, objects.items_url(id))}
        self.update("subscriptions", id, changed, "customer.subscription.updated")

    def cancel(self, id: str) -> None:
        """End a subscription now. Its event is `deleted`, though it stays readable."""
        old = self.row("subscriptions", id).object
        changed = {
            "status": "canceled",
            "canceled_at": self.at,
            "ended_at": self.at,
            "cancellation_details": old["cancellation_details"] | {"reason": "cancellation_requested"},
        }
        self.update("subscriptions", id, changed, "customer.subscription.deleted")

    def bill(self, subscription_id: str) -> Json:
        """A draft invoice over the items of a subscription."""
        of = self.row("subscriptions", subscription_id).object
        id = objects.new_id(self.rng, "in")
        made = self._draft(of["customer"], self._lines(of, id), id, of)
        self.update(
            "subscriptions",
            subscription_id,
            {"latest_invoice": id},
            "customer.subscription.updated",
        )
        return made

    def _lines(self, subscription: Json, invoice_id: str) -> list[Json]:
        return [
            objects.line_item(
                self.rng,
                invoice_id,
                item["price"],
                item["quantity"],
                (item["current_period_start"], item["current_period_end"]),
                item,
            )
            for item in subscription["items"]["data"]
        ]

    def announce_invoice(self, subscription_id: str, *, with_id: bool) -> None:
        """Tell of a subscription's next invoice, which has no id yet, or one that answers to nothing.

        https://docs.stripe.com/api/events/types#event_types-invoice.upcoming
        """
        of = self.row("subscriptions", subscription_id).object
        customer = self.row("customers", of["customer"]).object
        id = objects.new_id(self.rng, "upcoming_in")
        made = objects.invoice(self.rng, self.at, customer, self._lines(of, id), id, of)
        shown_ = shown(made if with_id else {name: value for name, value in made.items() if name != "id"})
        self.record("invoice.upcoming", shown_)

    def bill_once(self, customer_id: str, prices: list[Json]) -> Json:
        """A draft invoice with a line for each price: it takes new invoice items, without an event for them."""
        id, customer = objects.new_id(self.rng, "in"), self.row("customers", customer_id).object
        items = [billing.invoiceitem(self.context, customer, price, self.rng.randint(1, 3)) for price in prices]
        lines = [
            objects.line_item(self.rng, id, price, item["quantity"], (self.at, self.at), item)
            for price, item in zip(prices, items, strict=True)
        ]
        draft = self._draft(customer_id, lines, id, None)
        for item in items:
            self.insert("invoiceitems", item, "invoiceitem.created")
            self.update("invoiceitems", item["id"], {"invoice": id})
        return draft

    def collect(self, customer_id: str) -> Json:
        """A draft invoice of all pending invoice items: only the invoice's own event shows which ones it took."""
        items = [
            item for item in self.objects("invoiceitems") if item["customer"] == customer_id and item["invoice"] is None
        ]
        id = objects.new_id(self.rng, "in")
        lines = []
        for item in items:
            price = self.row("prices", item["pricing"]["price_details"]["price"]).object
            lines.append(objects.line_item(self.rng, id, price, item["quantity"], (self.at, self.at), item))
            self.update("invoiceitems", item["id"], {"invoice": id})
        return self._draft(customer_id, lines, id, None)

    def bill_inline(self, customer_id: str) -> Json:
        """A pending invoice item with an inline price, which no list shows."""
        customer = self.row("customers", customer_id).object
        product = self.any("products")["id"]
        price = objects.price(self.rng, self.at, product, customer["currency"], None) | {"active": False}
        self.unlisted.add(price["id"])
        self.insert("prices", price, "price.created")
        item = billing.invoiceitem(self.context, customer, price)
        return self.insert("invoiceitems", item, "invoiceitem.created")

    def _draft(self, customer_id: str, lines: list[Json], id: str, of: Json | None) -> Json:
        customer = self.row("customers", customer_id).object
        made = objects.invoice(self.rng, self.at, customer, lines, id, of)
        return self.insert("invoices", made, "invoice.created")

    def finalize(self, id: str) -> Json:
        """Make a draft an open invoice with a number, which may change its lines no more."""
        old = self.row("invoices", id).object
        customer = self.row("customers", old["customer"]).object
        sequence = customer["next_invoice_sequence"]
        following = {"next_invoice_sequence": sequence + 1}
        self.update("customers", customer["id"], following, "customer.updated")
        url = f"https://invoice.stripe.com/i/{objects.ACCOUNT['id']}/{'live' if self.live else 'test'}_{id}"
        changed = {
            "status": "open",
            "number": f"{customer['invoice_prefix']}-{sequence:04}",
            "effective_at": self.at,
            "automatically_finalizes_at": None,
            "hosted_invoice_url": f"{url}/{objects.MADE_ANEW}",
            "invoice_pdf": f"{url}/{objects.MADE_ANEW}/pdf",
            "status_transitions": old["status_transitions"] | {"finalized_at": self.at},
        }
        return self.update("invoices", id, changed, "invoice.finalized", "invoice.updated")

    def pay(self, id: str) -> None:
        """Charge an open invoice."""
        old = self.row("invoices", id).object
        customer = self.row("customers", old["customer"]).object
        payments_made = old["payments"]
        if old["total"]:
            intent = self.charge(customer, old["total"], paid=True)
            payment = self._of_mode(billing.invoice_payment(self.context, old, intent))
            payments_made = objects.nested([payment, *payments_made["data"]], payments_made["url"])
            self.record("invoice_payment.paid", payment)
        changed = {
            "status": "paid",
            "payments": payments_made,
            "amount_paid": old["total"],
            "amount_remaining": 0,
            "attempt_count": old["attempt_count"] + 1,
            "attempted": True,
            "next_payment_attempt": None,
            "status_transitions": old["status_transitions"] | {"paid_at": self.at},
        }
        events = ("invoice.updated", "invoice.paid", "invoice.payment_succeeded")
        self.update("invoices", id, changed, *events)

    def fail(self, id: str) -> None:
        """Try to charge an open invoice, without success."""
        old = self.row("invoices", id).object
        customer = self.row("customers", old["customer"]).object
        self.charge(customer, old["total"], paid=False)
        changed = {"attempt_count": old["attempt_count"] + 1, "attempted": True}
        self.update("invoices", id, changed, "invoice.updated", "invoice.payment_failed")

    def void(self, id: str) -> None:
        old = self.row("invoices", id).object
        transitions = old["status_transitions"] | {"voided_at": self.at}
        changed = {
            "status": "void",
            "next_payment_attempt": None,
            "status_transitions": transitions,
        }
        self.update("invoices", id, changed, "invoice.updated", "invoice.voided")

    def charge(self, customer: Json, amount: int, *, paid: bool) -> Json:
        """The payment intent of a charge that succeeds, with its balance transaction, or fails."""
        intent = payments.payment_intent(self.context, customer) | {"amount": amount}
        made = objects.charge(self.rng, self.at, customer, amount, intent["id"], paid=paid)
        if paid:
            made["balance_transaction"] = self._book(made)
            intent |= {"status": "succeeded", "amount_received": amount, "next_action": None}
        self.insert("charges", made, "charge.succeeded" if paid else "charge.failed")
        result = "payment_intent.succeeded" if paid else "payment_intent.payment_failed"
        return self.insert("payment_intents", intent | {"latest_charge": made["id"]}, "payment_intent.created", result)

    def refund(self, charge_id: str, amount: int) -> Json:
        """Give back a part of a charge, or all of it."""
        charge = self.row("charges", charge_id).object
        made = objects.refund(self.rng, self.at, charge, amount)
        made["balance_transaction"] = self._book(made)
        self.insert("refunds", made, "refund.created")
        given_back = charge["amount_refunded"] + amount
        changed = {"amount_refunded": given_back, "refunded": given_back == charge["amount"]}
        self.update("charges", charge_id, changed, "charge.refunded")
        return made

    # What happens to a child changes its parent, and Stripe writes an event of the child only:
    # https://docs.stripe.com/api/events/types

    def give_discount(self, customer_id: str) -> None:
        made = objects.discount(self.rng, self.at, customer_id, self.any("coupons")["id"])
        self.update("customers", customer_id, {"discount": made})
        coupon = self.row("coupons", made["source"]["coupon"]).object
        self.update("coupons", coupon["id"], {"times_redeemed": coupon["times_redeemed"] + 1})
        self.record("customer.discount.created", made)

    def add_tax_id(self, customer_id: str) -> None:
        held = self.row("customers", customer_id).object
        made = self._of_mode(billing.tax_id(self.context, held))
        changed = objects.nested([made, *held["tax_ids"]["data"]], held["tax_ids"]["url"])
        self.update("customers", customer_id, {"tax_ids": changed})
        self.record("customer.tax_id.created", made)

    def remove_tax_id(self, customer_id: str) -> None:
        whole = self.row("customers", customer_id).object["tax_ids"]
        gone, *left = whole["data"]
        self.update("customers", customer_id, {"tax_ids": objects.nested(left, whole["url"])})
        self.record("customer.tax_id.deleted", gone)

    def end_discount(self, customer_id: str) -> None:
        gone = self.row("customers", customer_id).object["discount"]
        self.update("customers", customer_id, {"discount": None})
        self.record("customer.discount.deleted", gone)

    def _book(self, source: Json) -> str:
        """The balance transaction of a charge, refund or payout, about which Stripe writes no event."""
        available_on = self.at + 2 * objects.DAY
        made = objects.balance_transaction(self.rng, self.at, source, available_on=available_on)
        self.held[made["currency"]] += made["net"]
        id: str = self.insert("balance_transactions", made)["id"]
        return id

    def balance(self) -> Json:
        """https://docs.stripe.com/api/balance/balance_object"""
        pending: Counter[str] = Counter()
        for row in self.objects("balance_transactions"):
            if row["status"] == "pending":
                pending[row["currency"]] += row["net"]
        amounts = {
            "available": {currency: amount - pending[currency] for currency, amount in self.held.items()},
            "pending": {currency: pending[currency] for currency in self.held},
        }
        return self._of_mode(
            {"object": "balance", "livemode": False}
            | {
                name: [{"amount": amount, "currency": currency} for currency, amount in sorted(found.items())]
                for name, found in amounts.items()
            }
        )

    def settle(self, id: str) -> None:
        """Make the money of a pending balance transaction available; again without an event."""
        expected = self.row("balance_transactions", id).object["available_on"]
        self.update("balance_transactions", id, {"status": "available", "available_on": min(expected, self.at)})


def told(event: str) -> tuple[str, ...]:
    """The events to write, given the type of one or nothing."""
    return (event,) if event else ()
