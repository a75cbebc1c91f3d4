"""What Stripe itself publishes of the objects that the tables mirror: the annotated classes of its package.

https://github.com/stripe/stripe-python
"""

import inspect
import sys
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import version
from types import NoneType
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import stripe

from ingest_shared.contract import Contract, Schema
from stripe_location.source.tables import TABLES

PUBLISHED: dict[str, Any] = {
    "customers": stripe.Customer,
    "payment_methods": stripe.PaymentMethod,
    "products": stripe.Product,
    "prices": stripe.Price,
    "subscriptions": stripe.Subscription,
    "invoices": stripe.Invoice,
    "charges": stripe.Charge,
    "refunds": stripe.Refund,
    "balance_transactions": stripe.BalanceTransaction,
    "events": stripe.Event,
    "subscription_schedules": stripe.SubscriptionSchedule,
    "invoiceitems": stripe.InvoiceItem,
    "credit_notes": stripe.CreditNote,
    "payment_intents": stripe.PaymentIntent,
    "payouts": stripe.Payout,
    "disputes": stripe.Dispute,
    "early_fraud_warnings": stripe.radar.EarlyFraudWarning,
    "reviews": stripe.Review,
    "checkout_sessions": stripe.checkout.Session,
    "setup_intents": stripe.SetupIntent,
    "payment_links": stripe.PaymentLink,
    "quotes": stripe.Quote,
    "coupons": stripe.Coupon,
    "promotion_codes": stripe.PromotionCode,
    "tax_rates": stripe.TaxRate,
    "shipping_rates": stripe.ShippingRate,
    "accounts": stripe.Account,
    "transfers": stripe.Transfer,
    "application_fees": stripe.ApplicationFee,
    "topups": stripe.Topup,
    "files": stripe.File,
}
"""The objects of each table."""

_UNPUBLISHED = "Sent, though Stripe no longer publishes it."

ACCEPTED = {
    "products.attributes": _UNPUBLISHED,
    "charges.destination": _UNPUBLISHED,
    "charges.dispute": _UNPUBLISHED,
    "charges.order": _UNPUBLISHED,
}
"""Why a table may differ from what Stripe publishes."""

_TYPES = {str: "string", Decimal: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def vendor_event_types() -> frozenset[str]:
    """Every type of event that Stripe has in this version."""
    return frozenset(get_args(stripe.Event.__annotations__["type"]))


class _Definitions:
    """The JSON Schema of Stripe's classes, by name, since they refer to each other."""

    def __init__(self) -> None:
        self.by_name: dict[str, Schema] = {}

    def schema(self, annotation: Any) -> Schema:
        """What an annotation says; every class in it becomes a definition."""
        if isinstance(annotation, ForwardRef):
            annotation = annotation.__forward_arg__
        if isinstance(annotation, str):
            # What is exported by another name, or not at all, is an object of which nothing is known.
            annotation = getattr(stripe, annotation, dict)
        origin, parts = get_origin(annotation) or annotation, get_args(annotation)
        if origin in _TYPES:
            return {"type": _TYPES[origin]}
        if origin is Literal:
            return {"type": _TYPES[type(parts[0])], "enum": list(parts)}
        if origin is Union:
            return {"anyOf": [self.schema(part) for part in _as_sent(parts)]}
        if origin is list:
            return {"type": "array", "items": self.schema(parts[0])}
        if origin is stripe.ListObject:
            return self._object({**inspect.get_annotations(origin), "data": list[parts[0]]})  # type: ignore[valid-type]
        return self._reference(origin) if issubclass(origin, stripe.StripeObject) else {"type": "object"}

    def _reference(self, published: type) -> Schema:
        name = f"{published.__module__}.{published.__qualname__}"
        if name not in self.by_name:
            self.by_name[name] = {}  # it may refer to itself
            self.by_name[name] = self._object(inspect.get_annotations(published))
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, fields: Mapping[str, Any]) -> Schema:
        sent = {name: annotation for name, annotation in fields.items() if name.islower()}  # OBJECT_NAME is not
        return {
            "type": "object",
            "properties": {name: self.schema(annotation) for name, annotation in sent.items()},
            "required": [name for name, annotation in sent.items() if NoneType not in get_args(annotation)],
        }


def _as_sent(alternatives: tuple[Any, ...]) -> list[Any]:
    """Without the object that stands in place of its id only where ``expand`` asks for it."""
    return [part for part in alternatives if part in (str, NoneType)] if str in alternatives else list(alternatives)


def json_schema(published: type[stripe.StripeObject]) -> Schema:
    """The class as JSON Schema. The package does not tell null from left out."""
    definitions = _Definitions()
    return {**definitions.schema(published), "$defs": definitions.by_name}


CONTRACT = Contract(
    vendor=f"stripe {version('stripe')}, API version {stripe.api_version}",
    schemas={table: json_schema(published) for table, published in PUBLISHED.items()},
    accepted=ACCEPTED,
)

if __name__ == "__main__":
    sys.exit(CONTRACT.report(TABLES.values()))
