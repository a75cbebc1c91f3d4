"""Stripe's objects in the shape of API version 2026-10-28.endive.

Pure functions from facts to JSON; nested lists are whole here and cut by the API.
Amounts are integers in the smallest unit of the currency, times are epoch seconds.
See https://docs.stripe.com/api for every field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from .. import prose
from ..wire import Json, nulls

API_VERSION = "2026-10-28.endive"
DAY = 86_400
MADE_ANEW = "MADE_ANEW_AT"
"""Stands in an address for what Stripe writes anew for each answer, so that the address works for some days from then.

https://docs.stripe.com/invoicing/hosted-invoice-page
"""

# Currencies by how often they come. JPY has no decimals, KWD has three.
CURRENCIES = ("usd", "usd", "usd", "usd", "eur", "eur", "gbp", "jpy", "kwd")


class Pick(Protocol):
    """Picks an object of a collection by chance, one that is wanted; raises `ChangeRefused` where there is none."""

    def __call__(self, resource: str, wanted: Callable[[Json], bool] = ...) -> Json: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a payload depends on: chance, the time, and what there is already."""

    rng: Random
    at: int
    any: Pick


def new_id(rng: Random, prefix: str, length: int = 24) -> str:
    return f"{prefix}_{prose.token(rng, length)}"


def answered(body: bytes, number: int) -> bytes:
    """JSON as the answer with this number shows it: no two answers agree on what is made anew for each."""
    told = body.replace(MADE_ANEW.encode(), b"%012d" % number)
    return told.replace(b'"pending_webhooks":0', b'"pending_webhooks":%d' % (number % 10))


def in_live_mode(value: Any) -> Any:
    """The same JSON with `livemode` true, in nested objects too."""
    if isinstance(value, list):
        return [in_live_mode(one) for one in value]
    if isinstance(value, dict):
        return {name: name == "livemode" or in_live_mode(one) for name, one in value.items()}
    return value


def common(id: str, type: str, at: int) -> Json:
    """What nearly every object has, in test mode."""
    return {"id": id, "object": type, "created": at, "livemode": False, "metadata": {}}


def nested(data: list[Json], url: str) -> Json:
    """A whole list inside an object."""
    return {
        "object": "list",
        "data": data,
        "has_more": False,
        "total_count": len(data),
        "url": url,
    }


def customer(rng: Random, at: int) -> Json:
    """https://docs.stripe.com/api/customers/object"""
    name = prose.person(rng)
    number = rng.randrange(10**6)
    id = new_id(rng, "cus", 14)
    return {
        "id": id,
        "object": "customer",
        "address": rng.choice((None, _address(rng))),
        "balance": 0,
        "created": at,
        "currency": rng.choice(CURRENCIES),
        "delinquent": False,
        "description": rng.choice((None, f'"{name}" 💼')),
        "email": rng.choice((f"buyer{number}@example.com", None)),
        "individual_name": name,
        "invoice_prefix": prose.token(rng, 8).upper(),
        "invoice_settings": nulls("custom_fields default_payment_method footer rendering_options"),
        "livemode": False,
        "metadata": rng.choice(({}, {"crm_id": str(number)}, {"note": "líne 1\nline 2"})),
        "name": name,
        "next_invoice_sequence": 1,
        "preferred_locales": rng.choice(([], ["de"], ["ja", "en"])),
        "tax_exempt": "none",
        "tax_ids": nested([], f"/v1/customers/{id}/tax_ids"),
        **nulls("business_name customer_account default_source discount phone shipping test_clock"),
    }


def _address(rng: Random) -> Json:
    city, country = rng.choice((("Köln", "DE"), ("東京", "JP"), ("Kuwait City", "KW"), ("Kyiv", "UA")))
    return {
        "city": city,
        "country": country,
        "line1": f"{rng.randint(1, 200)} Main St",
        "line2": None,
        "postal_code": f"{rng.randrange(10**5):05}",
        "state": None,
    }


def product(rng: Random, at: int) -> Json:
    """https://docs.stripe.com/api/products/object"""
    token = prose.token(rng, 14)
    return {
        # An account may give a product an id of its own choice.
        **common(f"Seats 50%25 #{token}?" if token[0].islower() else f"prod_{token}", "product", at),
        "active": True,
        "description": rng.choice((None, "Everything in it, and “more” ✨")),
        "images": [],
        "marketing_features": [],
        "name": f"{prose.slug(rng)} plan",
        "type": "service",
        "unit_label": rng.choice((None, "seat")),
        "updated": at,
        **nulls("default_price package_dimensions shippable statement_descriptor tax_code url"),
    }


def price(rng: Random, at: int, product_id: str, currency: str, interval: str | None) -> Json:
    """https://docs.stripe.com/api/prices/object; without an interval it is paid once."""
    # Three-decimal amounts must end in 0, as the networks round them.
    amount = {"jpy": 100, "kwd": 10}.get(currency, 1) * rng.randint(500, 20_000)
    recurring = {
        "interval": interval,
        "interval_count": 1,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
    return {
        **common(new_id(rng, "price"), "price", at),
        "active": True,
        "billing_scheme": "per_unit",
        "currency": currency,
        "currency_options": {
            currency: {
                "custom_unit_amount": None,
                "tax_behavior": "unspecified",
                "unit_amount": amount,
                "unit_amount_decimal": str(amount),
            }
        },
        "nickname": rng.choice((None, "Early bird 🐦")),
        "product": product_id,
        "recurring": recurring if interval else None,
        "tax_behavior": "unspecified",
        "type": "recurring" if interval else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
        **nulls("custom_unit_amount lookup_key tiers tiers_mode transform_quantity"),
    }


def embedded(price: Json) -> Json:
    """A price as other objects show it."""
    return {name: value for name, value in price.items() if name not in ("currency_options", "tiers")}


def subscription_item(rng: Random, at: int, subscription_id: str, of_price: Json, period: tuple[int, int]) -> Json:
    """https://docs.stripe.com/api/subscription_items/object; the period is here since basil."""
    recurring = of_price["recurring"]
    return {
        "id": new_id(rng, "si", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": at,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discounts": [],
        "metadata": {},
        "plan": {
            **common(of_price["id"], "plan", of_price["created"]),
            "active": of_price["active"],
            "amount": of_price["unit_amount"],
            "amount_decimal": of_price["unit_amount_decimal"],
            "billing_scheme": "per_unit",
            "currency": of_price["currency"],
            "interval": recurring["interval"],
            "interval_count": 1,
            "nickname": of_price["nickname"],
            "product": of_price["product"],
            "usage_type": "licensed",
            **nulls("meter tiers_mode transform_usage trial_period_days"),
        },
        "price": embedded(of_price),
        "quantity": rng.choice((1, 1, 1, 5, 25)),
        "subscription": subscription_id,
        "tax_rates": [],
    }


def items_url(subscription_id: str) -> str:
    return f"/v1/subscription_items?subscription={subscription_id}"


def lines_url(invoice_id: str) -> str:
    return f"/v1/invoices/{invoice_id}/lines"


def subscription(rng: Random, at: int, of_customer: Json) -> Json:
    """https://docs.stripe.com/api/subscriptions/object, without items yet."""
    id = new_id(rng, "sub")
    return {
        **common(id, "subscription", at),
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": at,
        "billing_mode": {"flexible": None, "type": "classic"},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "currency": of_customer["currency"],
        "customer": of_customer["id"],
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": nested([], items_url(id)),
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "start_date": at,
        "status": "active",
        "test_clock": of_customer["test_clock"],
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        **nulls(
            "application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at "
            "customer_account days_until_due default_payment_method default_source description ended_at latest_invoice "
            "next_pending_invoice_item_invoice on_behalf_of pause_collection pending_invoice_item_interval "
            "pending_setup_intent pending_update schedule transfer_data trial_end trial_start"
        ),
    }


def line_item(
    rng: Random,
    invoice_id: str,
    of_price: Json,
    quantity: int,
    period: tuple[int, int],
    item: Json,
) -> Json:
    """https://docs.stripe.com/api/invoice-line-item/object, of a subscription item or an invoice item."""
    amount = of_price["unit_amount"] * quantity
    if item["object"] == "invoiceitem":
        parent: Json = {
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": None,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    else:
        parent = {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        }
    return {
        "id": new_id(rng, "il"),
        "object": "line_item",
        "amount": amount,
        "currency": of_price["currency"],
        "description": f"{quantity} × {of_price['nickname'] or 'plan'} (at {amount})",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": {},
        "parent": parent,
        "period": {"end": period[1], "start": period[0]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": of_price["id"], "product": of_price["product"]},
            "type": "price_details",
            "unit_amount_decimal": of_price["unit_amount_decimal"],
        },
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": item.get("subscription"),
        "subtotal": amount,
        "taxes": rng.choice(
            (
                [],
                [
                    {
                        "amount": 0,
                        "tax_behavior": "exclusive",
                        "tax_rate_details": {"tax_rate": "txr_1SandboxZeroRated"},
                        "taxability_reason": "zero_rated",
                        "taxable_amount": amount,
                        "type": "tax_rate_details",
                    }
                ],
            )
        ),
    }


def invoice(rng: Random, at: int, of_customer: Json, lines: list[Json], id: str, of: Json | None) -> Json:
    """https://docs.stripe.com/api/invoices/object: a draft, of a subscription or alone."""
    total = sum(line["amount"] for line in lines)
    return {
        **common(id, "invoice", at),
        "account_country": "US",
        "account_name": "Acme Sandbox",
        "amount_due": total,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": total,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "enabled": False,
            **nulls("disabled_reason liability provider status"),
        },
        "automatically_finalizes_at": at + 3_600,
        "billing_reason": "subscription_cycle" if of else "manual",
        "collection_method": "charge_automatically",
        "currency": of_customer["currency"],
        "customer": of_customer["id"],
        "customer_address": of_customer["address"],
        "customer_email": of_customer["email"],
        "customer_name": of_customer["name"],
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "lines": nested(lines, lines_url(id)),
        "next_payment_attempt": at + 3_600,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": of["id"]},
            "type": "subscription_details",
        }
        if of
        else None,
        "payments": nested([], f"/v1/invoice_payments?invoice={id}"),
        "payment_settings": nulls("default_mandate payment_method_options payment_method_types"),
        "period_end": at,
        "period_start": at,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": nulls("finalized_at marked_uncollectible_at paid_at voided_at"),
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": of_customer["test_clock"],
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        **nulls(
            "account_tax_ids application custom_fields customer_account customer_phone customer_shipping "
            "default_payment_method default_source description due_date effective_at ending_balance footer "
            "from_invoice hosted_invoice_url invoice_pdf last_finalization_error latest_revision number on_behalf_of "
            "receipt_number rendering shipping_cost shipping_details statement_descriptor webhooks_delivered_at"
        ),
    }


def charge(rng: Random, at: int, of_customer: Json, amount: int, intent_id: str, *, paid: bool) -> Json:
    """https://docs.stripe.com/api/charges/object; basil has no `invoice` here any more."""
    id = new_id(rng, "ch")
    return {
        **common(id, "charge", at),
        "amount": amount,
        "amount_captured": amount if paid else 0,
        "amount_refunded": 0,
        "billing_details": {
            "address": of_customer["address"],
            "email": of_customer["email"],
            "name": of_customer["name"],
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "ACME SANDBOX",
        "captured": paid,
        "currency": of_customer["currency"],
        "customer": of_customer["id"],
        "description": rng.choice((None, "Subscription update", "Zahlung – danke! 🙏")),
        "disputed": False,
        "failure_code": None if paid else "card_declined",
        "failure_message": None if paid else "Your card was declined.",
        "fraud_details": {},
        "outcome": {
            "network_status": "approved_by_network" if paid else "declined_by_network",
            "reason": None if paid else "generic_decline",
            "risk_level": "normal",
            "risk_score": rng.randrange(65),
            "seller_message": "Payment complete." if paid else "The bank declined.",
            "type": "authorized" if paid else "issuer_declined",
            **nulls("advice_code network_advice_code network_decline_code"),
        },
        "paid": paid,
        "payment_intent": intent_id,
        "payment_method": new_id(rng, "pm"),
        "payment_method_details": {
            "card": {
                "amount_authorized": amount if paid else None,
                "brand": "visa",
                "checks": {
                    "address_line1_check": None,
                    "address_postal_code_check": None,
                    "cvc_check": "pass",
                },
                "country": "US",
                "exp_month": rng.randint(1, 12),
                "exp_year": 2030,
                "extended_authorization": {"status": "disabled"},
                "fingerprint": prose.token(rng, 16),
                "funding": "credit",
                "incremental_authorization": {"status": "unavailable"},
                "last4": f"{rng.randrange(10_000):04}",
                "multicapture": {"status": "unavailable"},
                "network": "visa",
                "network_token": {"used": False},
                "network_transaction_id": f"{rng.randrange(10**15):015}",
                "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
                "regulated_status": "unregulated",
                **nulls("authorization_code installments mandate three_d_secure wallet"),
            },
            "type": "card",
        },
        "radar_options": {},
        "receipt_email": of_customer["email"],
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{id}/{MADE_ANEW}" if paid else None,
        "refunded": False,
        "status": "succeeded" if paid else "failed",
        **nulls(
            "application application_fee application_fee_amount balance_transaction destination dispute "
            "failure_balance_transaction on_behalf_of order receipt_number review shipping source source_transfer "
            "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
        ),
    }


def refund(rng: Random, at: int, of_charge: Json, amount: int) -> Json:
    """https://docs.stripe.com/api/refunds/object"""
    return {
        "id": new_id(rng, "re"),
        "object": "refund",
        "amount": amount,
        "charge": of_charge["id"],
        "created": at,
        "currency": of_charge["currency"],
        "customer": of_charge["customer"],
        "destination_details": {
            "card": {
                "reference": f"{rng.randrange(10**12):012}",
                "reference_status": "available",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": {},
        "payment_intent": of_charge["payment_intent"],
        "payment_method": of_charge["payment_method"],
        "reason": rng.choice((None, "requested_by_customer", "duplicate")),
        "status": "succeeded",
        **nulls("balance_transaction customer_account receipt_number source_transfer_reversal transfer_reversal"),
    }


def discount(rng: Random, at: int, customer_id: str, coupon_id: str) -> Json:
    """https://docs.stripe.com/api/discounts/object, of a customer for good."""
    return {
        "id": new_id(rng, "di"),
        "object": "discount",
        "customer": customer_id,
        "source": {"coupon": coupon_id, "type": "coupon"},
        "start": at,
        **nulls("checkout_session end invoice invoice_item promotion_code subscription subscription_item"),
    }


def balance_transaction(rng: Random, at: int, source: Json, *, available_on: int) -> Json:
    """https://docs.stripe.com/api/balance_transactions/object, of a charge, a refund or a payout."""
    incoming = source["object"] == "charge"
    amount = source["amount"] if incoming else -source["amount"]
    fee = amount * 29 // 1_000 + 30 if incoming else 0
    detail = {
        "amount": fee,
        "application": None,
        "currency": source["currency"],
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    return {
        "id": new_id(rng, "txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": at,
        "currency": source["currency"],
        "description": source.get("description"),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [detail] if fee else [],
        "net": amount - fee,
        "reporting_category": source["object"],
        "source": source["id"],
        "status": "pending",
        "type": source["object"],
    }


def event(rng: Random, at: int, type: str, snapshot: Any, previous: Json | None) -> Json:
    """https://docs.stripe.com/api/events/object; `snapshot` is the object as the API shows it."""
    data = {"object": snapshot}
    if previous is not None:
        data["previous_attributes"] = previous
    return {
        "id": new_id(rng, "evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": at,
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": new_id(rng, "req", 14), "idempotency_key": None},
        "type": type,
    }


CONNECTED_ACCOUNT = "acct_1SandboxConnected"
"""An account whose objects are not ours, though we see events of them."""

ACCOUNT: Json = {
    "id": "acct_1SandboxAcme0000",
    "object": "account",
    "business_profile": {"name": "Acme Sandbox", "url": "https://acme.example.com"},
    "business_type": "company",
    "capabilities": {"card_payments": "active", "transfers": "active"},
    "charges_enabled": True,
    "country": "US",
    "created": 1_577_836_800,
    "default_currency": "usd",
    "details_submitted": True,
    "email": "billing@acme.example.com",
    "metadata": {},
    "payouts_enabled": True,
    "settings": {"dashboard": {"display_name": "Acme Sandbox", "timezone": "Etc/UTC"}},
    "type": "standard",
}
"""The account that owns the key, https://docs.stripe.com/api/accounts/object."""
