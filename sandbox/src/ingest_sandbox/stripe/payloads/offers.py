"""What customers are offered, and how they take it."""

from ... import prose
from ...wire import Json
from ..objects import DAY, Context, embedded, nested, new_id


def coupon(c: Context) -> Json:
    """https://docs.stripe.com/api/coupons/object: so many percent, or so much of a currency."""
    amount = c.rng.choice((None, c.rng.randint(1, 50) * 100))
    duration = c.rng.choice(("once", "forever", "repeating"))
    return {
        "id": prose.token(c.rng, 8),
        "object": "coupon",
        "amount_off": amount,
        "created": c.at,
        "currency": amount and "usd",
        "duration": duration,
        "duration_in_months": 3 if duration == "repeating" else None,
        "livemode": False,
        "max_redemptions": None,
        "metadata": {},
        "name": c.rng.choice((None, "Spring 🌷")),
        "percent_off": None if amount else c.rng.choice((10.0, 12.5, 33.33)),
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    }


def promotion_code(c: Context) -> Json:
    """https://docs.stripe.com/api/promotion_codes/object: a word that gives a coupon."""
    return {
        "id": new_id(c.rng, "promo"),
        "object": "promotion_code",
        "active": True,
        "code": prose.token(c.rng, 8).upper(),
        "created": c.at,
        "customer": None,
        "customer_account": None,
        "expires_at": None,
        "livemode": False,
        "max_redemptions": None,
        "metadata": {},
        "promotion": {"coupon": c.any("coupons")["id"], "type": "coupon"},
        "restrictions": {"first_time_transaction": False, "minimum_amount": None, "minimum_amount_currency": None},
        "times_redeemed": 0,
    }


def tax_rate(c: Context) -> Json:
    """https://docs.stripe.com/api/tax_rates/object"""
    percentage = c.rng.choice((7.0, 19.0, 8.875))
    return {
        "id": new_id(c.rng, "txr"),
        "object": "tax_rate",
        "active": True,
        "country": "DE",
        "created": c.at,
        "description": None,
        "display_name": "VAT",
        "effective_percentage": percentage,
        "flat_amount": None,
        "inclusive": False,
        "jurisdiction": "DE",
        "jurisdiction_level": "country",
        "livemode": False,
        "metadata": {},
        "percentage": percentage,
        "rate_type": "percentage",
        "state": None,
        "tax_type": "vat",
    }


def shipping_rate(c: Context) -> Json:
    """https://docs.stripe.com/api/shipping_rates/object"""
    amount = c.rng.randint(1, 30) * 100
    return {
        "id": new_id(c.rng, "shr"),
        "object": "shipping_rate",
        "active": True,
        "created": c.at,
        "delivery_estimate": {"maximum": {"unit": "day", "value": 5}, "minimum": None},
        "display_name": "Parcel",
        "fixed_amount": {"amount": amount, "currency": "usd"},
        "livemode": False,
        "metadata": {},
        "tax_behavior": "unspecified",
        "tax_code": None,
        "type": "fixed_amount",
    }


def checkout_session(c: Context) -> Json:
    """https://docs.stripe.com/api/checkout/sessions/object: open, for a customer."""
    of = c.any("customers")
    id = new_id(c.rng, "cs_test")
    items = line_items(c, of["currency"], c.rng.choice((1, 2, 12)))
    total = sum(item["amount_total"] for item in items)
    return {
        "id": id,
        "object": "checkout.session",
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": None,
        "client_reference_id": None,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": c.at,
        "currency": of["currency"],
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": of["id"],
        "customer_account": None,
        "customer_creation": None,
        "customer_details": {
            "address": None,
            "business_name": None,
            "email": of["email"],
            "individual_name": None,
            "name": None,
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": None,
        },
        "customer_email": None,
        "discounts": [],
        "expires_at": c.at + DAY,
        "invoice": None,
        "invoice_creation": None,
        "line_items": nested(items, f"/v1/checkout/sessions/{id}/line_items"),
        "livemode": False,
        "locale": None,
        "metadata": {},
        "mode": "payment",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": None,
        "payment_method_options": None,
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "phone_number_collection": None,
        "recovered_from": None,
        "redirect_on_completion": None,
        "return_url": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": "https://acme.example.com/thanks",
        "tax_id_collection": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"https://checkout.stripe.com/c/pay/{id}",
    }


def payment_link(c: Context) -> Json:
    """https://docs.stripe.com/api/payment_links/object"""
    id = new_id(c.rng, "plink")
    items = line_items(c, "usd", c.rng.choice((1, 3)))
    return {
        "id": id,
        "object": "payment_link",
        "active": True,
        "after_completion": {"hosted_confirmation": {"custom_message": None}, "type": "hosted_confirmation"},
        "allow_promotion_codes": False,
        "application": None,
        "application_fee_amount": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_address_collection": "auto",
        "consent_collection": None,
        "currency": "usd",
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer_creation": "if_required",
        "inactive_message": None,
        "invoice_creation": None,
        "line_items": nested(items, f"/v1/payment_links/{id}/line_items"),
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "payment_intent_data": None,
        "payment_method_collection": "always",
        "payment_method_types": None,
        "phone_number_collection": {"enabled": False},
        "restrictions": None,
        "shipping_address_collection": None,
        "shipping_options": [],
        "submit_type": "auto",
        "subscription_data": None,
        "tax_id_collection": {"enabled": False, "required": "if_supported"},
        "transfer_data": None,
        "url": f"https://buy.stripe.com/test_{id}",
    }


def quote(c: Context) -> Json:
    """https://docs.stripe.com/api/quotes/object: a draft for a customer."""
    of = c.any("customers")
    id = new_id(c.rng, "qt")
    items = line_items(c, of["currency"], c.rng.choice((1, 2, 12)))
    total = sum(item["amount_total"] for item in items)
    details = {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}
    return {
        "id": id,
        "object": "quote",
        "amount_subtotal": total,
        "amount_total": total,
        "application": None,
        "application_fee_amount": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "collection_method": "charge_automatically",
        "computed": {
            "recurring": None,
            "upfront": {"amount_subtotal": total, "amount_total": total, "total_details": details},
        },
        "created": c.at,
        "currency": of["currency"],
        "customer": of["id"],
        "customer_account": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "expires_at": c.at + 30 * DAY,
        "footer": None,
        "from_quote": None,
        "header": None,
        "invoice": None,
        "invoice_settings": {"days_until_due": None, "issuer": {"type": "self"}},
        "line_items": nested(items, f"/v1/quotes/{id}/line_items"),
        "livemode": False,
        "metadata": {},
        "number": None,
        "on_behalf_of": None,
        "status": "draft",
        "status_transitions": {"accepted_at": None, "canceled_at": None, "finalized_at": None},
        "subscription": None,
        "subscription_data": {
            "billing_mode": {"type": "classic"},
            "description": None,
            "effective_date": None,
            "metadata": {},
            "trial_period_days": None,
        },
        "subscription_schedule": None,
        "test_clock": of["test_clock"],
        "total_details": details,
        "transfer_data": None,
    }


def line_items(c: Context, currency: str, count: int) -> list[Json]:
    """https://docs.stripe.com/api/checkout/sessions/line_items"""
    return [
        _line_item(c, c.any("prices", lambda row: row["currency"] == currency or currency == "gbp"))
        for _ in range(count)
    ]


def _line_item(c: Context, price: Json) -> Json:
    amount = price["unit_amount"]
    return {
        "id": new_id(c.rng, "li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": "A plan",
        "price": embedded(price),
        "quantity": 1,
    }
