"""Stripe as the sandbox plays it, and how the rows of the mirror follow from what it holds."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ingest_testing
import stripe_location
from ingest_shared.tables import Column
from ingest_shared.views import views_in
from ingest_testing import Held, Json, Location, Mirror, Sample
from stripe_location import source
from stripe_location.source.tables import TABLES

KEY = "sk_test_sandbox"
ACCOUNT = "acct_1SandboxAcme0000"
VIEWS = views_in(Path(stripe_location.__file__).parent / "views")
EVENTS_KEPT = 30 * 86_400
DECIMALS = {"usd": 2, "eur": 2, "gbp": 2, "jpy": 0, "kwd": 3}
"""Of the currencies that the sandbox knows."""


class Origin(ingest_testing.Origin):
    """One account, in test mode."""

    api = "stripe"

    def live_objects(self, collection: str) -> list[Json]:
        """The objects of its live mode."""
        found: list[Json] = self._ask("GET", f"objects/stripe_live/{collection}")
        return found

    def connected_objects(self, collection: str) -> list[Json]:
        """The objects of the account that is connected to it."""
        found: list[Json] = self._ask("GET", f"objects/stripe_connected/{collection}")
        return found

    def kinds(self) -> set[str]:
        """What can happen: ``stripe.coupon.create`` and others."""
        return set(self._ask("GET", "kinds"))

    def deleted(self, collection: str) -> dict[str, int]:
        """When each object was deleted that is gone since the world began, by id."""
        return {gone["id"]: gone["deleted_at"] for gone in self._ask("GET", f"objects/{self.api}/{collection}/deleted")}


class StripeMirror(Mirror):
    """A deleted object is there as the event of its deletion shows it, with ``deleted_at``.

    What may be missing is only what Stripe did not tell of any more when the first load began: what
    was deleted before, payment methods that were detached, events that were over 30 days old and, until the audit,
    reviews that were closed. A deletion without an event is marked too, but nobody knows when it was.
    """

    origin: Origin

    def held(self) -> Iterator[Held]:
        for row in self.origin.objects(self.table.name):
            yield Held(row, {"account_id": ACCOUNT, "livemode": False})

    def gone(self) -> Iterator[Held]:
        deleted = self.origin.deleted(self.table.name)
        last = {}
        for event in self.origin.objects("events") if deleted else ():
            shown = event["data"]["object"]
            if shown.get("id") in deleted and event["type"] == f"{shown['object']}.deleted":
                last[shown["id"]] = shown
        for id_, shown in last.items():
            yield Held(shown, {"account_id": ACCOUNT, "livemode": False, "deleted_at": deleted[id_]})

    def may_be_missing(self, row: dict[str, Any]) -> bool:
        group = self.warehouse.location.group_of(self.table.name)
        since = self.warehouse.loaded_since.get(group, self.origin.now())
        if row["deleted_at"]:
            return bool(row["deleted_at"].timestamp() <= since)
        if self.table.name == "reviews":
            return not self.audited and not row["open"] and row["id"] not in self._told("review.closed", since)
        if self.table.name == "payment_methods":
            told_since = max(since, self.origin.now() - EVENTS_KEPT)
            return row["customer"] is None and row["id"] not in self._told("payment_method.", told_since)
        return self.table.name == "events" and row["created"].timestamp() <= since - EVENTS_KEPT + 5

    def may_remain(self, row: dict[str, Any]) -> bool:
        return row["deleted_at"] is not None and row["id"] in self.origin.deleted(self.table.name)

    def _told(self, types: str, since: int) -> set[str]:
        """The objects of which such events tell that were written after that."""
        return {
            event["data"]["object"]["id"]
            for event in self.origin.objects("events")
            if event["type"].startswith(types) and event["created"] > since
        }

    def derived(self, column: Column, amount: Any, currency: Any) -> Decimal | None:
        return None if amount is None or currency is None else Decimal(amount).scaleb(-DECIMALS[currency])

    def assert_equal(self) -> None:
        """Of a nested list, the event of a deletion shows the first ten: they are there, and there may be more."""
        super().assert_equal()
        if self.table.name == "balance_transactions":
            self._assert_balanced()
        for child in self.table.children:
            here = self._actual(child)
            owners = {_owner(child.merge_key, row) for row in here.values()}
            for item in self.gone():
                shown = [row for row in self.children(child, *item) if _owner(child.merge_key, row) in owners]
                assert {tuple(row[name] for name in child.key) for row in shown} <= here.keys()

    def _assert_balanced(self) -> None:
        """What was earned was paid out, or is in the balance that Stripe shows."""
        own = "account_id = %s AND NOT livemode GROUP BY currency"
        earned = f"SELECT currency, sum(net) FROM {{balance_transactions}} WHERE type <> 'payout' AND {own}"
        paid = f"SELECT currency, sum(amount) FROM {{payouts}} WHERE balance_transaction IS NOT NULL AND {own}"
        balance = self.origin.get("/v1/balance", KEY).json()
        held = Counter({of["currency"]: of["amount"] for of in balance["available"]})
        held.update({of["currency"]: of["amount"] for of in balance["pending"]})
        held.update(dict(self.warehouse.query(paid, ACCOUNT)))
        assert held == Counter(dict(self.warehouse.query(earned, ACCOUNT)))


def _owner(within: tuple[str, ...], row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in within)


STRIPE = Location(
    name="stripe",
    origin=Origin,
    mirror=StripeMirror,
    groups={
        "billing": source.billing,
        "payments": source.payments,
        "checkout": source.checkouts,
        "connect": source.connect,
    },
    tables=TABLES,
    other_assets=(
        "subscription_states",
        "subscription_state_items",
        "subscription_discounts",
        *(view.name for view in VIEWS),
    ),
    address="sources.stripe.api_base",
    credential="sources.stripe.api_key",
    key=KEY,
    numbers=(
        "sources.stripe.calls_per_second",
        "sources.stripe.calls_per_second_per_endpoint",
        "sources.stripe.deletes_believed",
    ),
    size=0.2,  # 60 customers, 300 invoices
    sample=Sample(
        table="prices",
        group="billing",
        path="/v1/prices",
        number="unit_amount",
        changes=("price.create", "customer.create", "product.update", "invoice.create"),
    ),
    refused="Invalid API Key",
    asked_first="/v1/account",
    lists=(
        *("/events", "/customers", "/invoices", "/lines", "/subscription_items", "/charges", "/refunds", "/account"),
        "/payment_methods",
        *("/quotes", "/line_items", "/checkout/sessions", "/coupons", "/invoiceitems", "/payment_intents"),
    ),
    faults=({"kind": "status", "status": 429, "retry_after": 1, "times": 1},),
)
BILLING = STRIPE.tables_of("billing")
PAYMENTS = STRIPE.tables_of("payments")
CHECKOUT = STRIPE.tables_of("checkout")
CONNECT = STRIPE.tables_of("connect")
Warehouse = ingest_testing.Warehouse[Origin]
