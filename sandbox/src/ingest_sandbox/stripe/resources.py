"""Every object of the API: where it is listed, and what may happen to it.

A plain object is one `Resource` here and one function in `payloads`: its list, its events, its
changes, its part of the seed and of the oracle follow. What the operations of `books` make by hand
has no `make`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..moment import Fields
from ..wire import Json
from . import objects
from .objects import Context
from .payloads import billing, offers, payments, platform

Step = Json | Callable[[Context, Json], Json]
"""The fields that a step of an object's life sets, or how they follow from the object as it was."""
Mark = tuple[str, str, Callable[[Json, Json], Json]]
"""A collection, the field that names an object of it, and what that object sets there."""

_METADATA: Fields = {"metadata": dict[str, str]}


def _everything(_: Json) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A collection of objects of one type.

    ``steps`` are what happens to an object, by the type of event that tells of it; what Stripe has
    no event for stands under the empty type.
    """

    name: str
    path: str
    filters: frozenset[str] = frozenset()
    by_created: bool = True
    """Whether the list takes spans of `created`."""
    shows: Callable[[Json], bool] = _everything
    """What the list shows that does not ask for a status, or for active or inactive objects."""
    expandable: tuple[str, ...] = ()
    """Fields that are sent only where `expand[]` asks for them."""
    stub: str = ""
    """The type of the stub that a deleted object leaves; without one nothing answers to its id."""
    make: Callable[[Context], Json] | None = None
    born: str = ""
    """The type of the event that tells of a new object, if any does."""
    steps: Mapping[str, Step] = field(default_factory=dict)
    dies: str | None = None
    """The type of the event that tells of a deletion; None: it cannot be deleted."""
    marks: tuple[Mark, ...] = ()
    """What a new object changes of others, of which Stripe writes no event."""
    sets: Fields = field(default_factory=lambda: _METADATA)
    seeded: int = 0
    """How many there are at size 1."""

    @property
    def kind(self) -> str:
        """What its changes are called: `coupon`."""
        return self.name.removesuffix("s")


def _of(name: str, *filters: str, path: str = "", **facts: Any) -> Resource:
    return Resource(name=name, path=path or name, filters=frozenset(filters), **facts)


def _paid(c: Context, row: Json) -> Json:
    return {"status": "succeeded", "amount_received": row["amount"], "next_action": None}


def _reverse(c: Context, row: Json) -> Json:
    part = (row["amount"] - row["amount_reversed"]) // 4
    data = [platform.transfer_reversal(c, row, part), *row["reversals"]["data"]]
    reversals = objects.nested(data, row["reversals"]["url"])
    return {"amount_reversed": row["amount_reversed"] + part, "reversals": reversals}


def _refund_fee(c: Context, row: Json) -> Json:
    part = (row["amount"] - row["amount_refunded"]) // 4
    refunds = objects.nested([platform.fee_refund(c, row, part), *row["refunds"]["data"]], row["refunds"]["url"])
    return {"amount_refunded": row["amount_refunded"] + part, "refunds": refunds}


def _edit_line_items(c: Context, row: Json) -> Json:
    items = offers.line_items(c, row["currency"], c.rng.choice((1, 2, 12)))
    return {"line_items": objects.nested(items, row["line_items"]["url"])}


_RESOURCES = (
    _of(
        "test_clocks",
        path="test_helpers/test_clocks",
        by_created=False,
        make=platform.test_clock,
        born="test_helpers.test_clock.created",
        sets={"name": str},
        seeded=1,
    ),
    _of("customers", "email", "test_clock", expandable=("tax_ids",), stub="customer"),
    _of("products", "active", stub="product"),
    _of(
        *("prices", "active", "currency", "product", "type"),
        shows=lambda row: bool(row["active"]),
        expandable=("currency_options", "tiers"),
    ),
    _of(
        *("subscriptions", "customer", "status", "collection_method", "test_clock"),
        shows=lambda row: row["status"] != "canceled",
    ),
    _of("invoices", "customer", "status", "subscription", "collection_method", expandable=("payments",)),
    _of("charges", "customer", "payment_intent"),
    _of("refunds", "charge", "payment_intent"),
    _of("balance_transactions", "type", "currency", "source"),
    _of("events", "type", "types[]"),
    _of(
        *("payment_intents", "customer"),
        make=payments.payment_intent,
        born="payment_intent.created",
        steps={
            "payment_intent.succeeded": _paid,
            "payment_intent.canceled": lambda c, row: {"status": "canceled", "canceled_at": c.at, "next_action": None},
        },
        sets=_METADATA | {"amount": int},
    ),
    _of(
        "payment_methods",
        by_created=False,
        shows=lambda _: False,  # the list of the account's own: those of customers are listed by customer
        make=payments.payment_method,
        born="payment_method.attached",
        steps={
            "payment_method.updated": {},
            "payment_method.automatically_updated": lambda _, row: {"card": row["card"] | {"exp_year": 2034}},
            "payment_method.detached": {"customer": None},
        },
        seeded=60,
    ),
    _of(
        *("setup_intents", "customer", "payment_method"),
        make=payments.setup_intent,
        born="setup_intent.created",
        steps={
            "setup_intent.succeeded": {"status": "succeeded", "next_action": None},
            "setup_intent.canceled": {"status": "canceled", "next_action": None},
        },
        seeded=20,
    ),
    _of(
        *("disputes", "charge", "payment_intent"),
        make=payments.dispute,
        born="charge.dispute.created",
        steps={"charge.dispute.updated": {}, "charge.dispute.closed": {"status": "lost"}},
        marks=(("charges", "charge", lambda made, _: {"disputed": True, "dispute": made["id"]}),),
        seeded=15,
    ),
    _of(
        *("early_fraud_warnings", "charge", "payment_intent"),
        path="radar/early_fraud_warnings",
        make=payments.early_fraud_warning,
        born="radar.early_fraud_warning.created",
        steps={"radar.early_fraud_warning.updated": {"actionable": False}},
        sets={"actionable": bool},
        seeded=10,
    ),
    _of(
        "reviews",
        shows=lambda row: bool(row["open"]),
        make=payments.review,
        born="review.opened",
        steps={"review.closed": {"open": False, "closed_reason": "approved"}},
        marks=(
            ("charges", "charge", lambda made, _: {"review": made["id"]}),
            ("payment_intents", "payment_intent", lambda made, _: {"review": made["id"]}),
        ),
        sets={"reason": str},
        seeded=10,
    ),
    _of(
        *("payouts", "status", "destination"),
        make=payments.payout,
        born="payout.created",
        steps={
            "payout.updated": {},
            "payout.paid": {"status": "paid"},
            "payout.reconciliation_completed": {"reconciliation_status": "completed"},
        },
        seeded=40,
    ),
    _of(
        "coupons",
        make=offers.coupon,
        born="coupon.created",
        steps={"coupon.updated": {}},
        dies="coupon.deleted",
        sets=_METADATA | {"name": str | None},
        seeded=15,
    ),
    _of(
        *("promotion_codes", "active", "code", "customer"),
        make=offers.promotion_code,
        born="promotion_code.created",
        steps={"promotion_code.updated": {"active": False}},
        seeded=20,
    ),
    _of(
        *("tax_rates", "active", "inclusive"),
        make=offers.tax_rate,
        born="tax_rate.created",
        steps={"tax_rate.updated": {"active": False}},
        seeded=8,
    ),
    _of(
        *("shipping_rates", "active", "currency"),
        make=offers.shipping_rate,
        steps={"": {"active": False}},
        seeded=8,
    ),
    _of(
        *("checkout_sessions", "customer", "payment_intent", "payment_link", "status", "subscription"),
        path="checkout/sessions",
        expandable=("line_items",),
        make=offers.checkout_session,
        steps={
            "checkout.session.completed": {"status": "complete", "payment_status": "paid", "url": None},
            "checkout.session.expired": {"status": "expired", "url": None},
        },
        seeded=25,
    ),
    _of(
        *("payment_links", "active"),
        by_created=False,
        expandable=("line_items",),
        make=offers.payment_link,
        born="payment_link.created",
        steps={"payment_link.updated": {"active": False}},
        seeded=8,
    ),
    _of(
        *("quotes", "customer", "status", "test_clock"),
        by_created=False,
        expandable=("line_items",),
        make=offers.quote,
        born="quote.created",
        steps={
            "quote.finalized": {"status": "open", "number": "QT-0001"},
            "quote.canceled": {"status": "canceled"},
            "": _edit_line_items,
        },
        seeded=12,
    ),
    _of(
        *("invoiceitems", "customer", "invoice", "pending"),
        make=billing.invoiceitem,
        born="invoiceitem.created",
        dies="invoiceitem.deleted",
        seeded=25,
    ),
    _of(
        *("credit_notes", "customer", "invoice"),
        make=billing.credit_note,
        born="credit_note.created",
        steps={
            "credit_note.updated": {},
            "credit_note.voided": lambda c, _: {"status": "void", "voided_at": c.at},
        },
        marks=(
            (
                *("invoices", "invoice"),
                lambda made, of: {
                    "post_payment_credit_notes_amount": of["post_payment_credit_notes_amount"] + made["amount"]
                },
            ),
        ),
        seeded=20,
    ),
    _of(
        *("subscription_schedules", "customer"),
        make=billing.subscription_schedule,
        born="subscription_schedule.created",
        steps={
            "subscription_schedule.updated": {},
            "subscription_schedule.canceled": lambda c, _: {"status": "canceled", "canceled_at": c.at},
        },
        marks=(("subscriptions", "subscription", lambda made, _: {"schedule": made["id"]}),),
        seeded=15,
    ),
    _of("accounts", make=platform.account, steps={"": {"payouts_enabled": False}}, dies="", seeded=12),
    _of(
        *("transfers", "destination", "transfer_group"),
        make=platform.transfer,
        born="transfer.created",
        steps={"transfer.updated": {}, "transfer.reversed": _reverse},
        seeded=25,
    ),
    _of(
        *("application_fees", "charge"),
        make=platform.application_fee,
        born="application_fee.created",
        steps={"application_fee.refunded": _refund_fee},
        sets={"amount": int},
        seeded=15,
    ),
    _of(
        *("topups", "status"),
        make=platform.topup,
        born="topup.created",
        steps={"topup.succeeded": {"status": "succeeded"}},
        seeded=10,
    ),
    _of("files", "purpose", make=platform.file, born="file.created", sets={"title": str}, seeded=15),
)

RESOURCES: Mapping[str, Resource] = {resource.name: resource for resource in _RESOURCES}
"""The collections, each with what it needs of others after them."""
AT: Mapping[str, Resource] = {resource.path: resource for resource in _RESOURCES}
"""The collections by the path of their list."""
