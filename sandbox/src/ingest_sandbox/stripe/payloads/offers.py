"""What customers are offered, and how they take it."""

from ... import prose
from ...wire import Json, nulls
from ..objects import DAY, Context, common, embedded, nested, new_id


def coupon(c: Context) -> Json:
    """https://docs.stripe.com/api/coupons/object: so many percent, or so much of a currency."""
    amount = c.rng.choice((None, c.rng.randint(1, 50) * 100))
    duration = c.rng.choice(("once", "forever", "repeating"))
    return {
        **common(prose.token(c.rng, 8), "coupon", c.at),
        "amount_off": amount,
        "currency": amount and "usd",
        "duration": duration,
        "duration_in_months": 3 if duration == "repeating" else None,
        "max_redemptions": None,
        "name": c.rng.choice((None, "Spring 🌷")),
        "percent_off": None if amount else c.rng.choice((10.0, 12.5, 33.33)),
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    }


def promotion_code(c: Context) -> Json:
    """https://docs.stripe.com/api/promotion_codes/object: a word that gives a coupon."""
    return {
        **common(new_id(c.rng, "promo"), "promotion_code", c.at),
        "active": True,
        "code": prose.token(c.rng, 8).upper(),
        "promotion": {"coupon": c.any("coupons")["id"], "type": "coupon"},
        "restrictions": {"first_time_transaction": False, "minimum_amount": None, "minimum_amount_currency": None},
        "times_redeemed": 0,
        **nulls("customer customer_account expires_at max_redemptions"),
    }


def tax_rate(c: Context) -> Json:
    """https://docs.stripe.com/api/tax_rates/object"""
    percentage = c.rng.choice((7.0, 19.0, 8.875))
    return {
        **common(new_id(c.rng, "txr"), "tax_rate", c.at),
        "active": True,
        "country": "DE",
        "display_name": "VAT",
        "effective_percentage": percentage,
        "inclusive": False,
        "jurisdiction": "DE",
        "jurisdiction_level": "country",
        "percentage": percentage,
        "rate_type": "percentage",
        "tax_type": "vat",
        **nulls("description flat_amount state"),
    }


def shipping_rate(c: Context) -> Json:
    """https://docs.stripe.com/api/shipping_rates/object"""
    amount = c.rng.randint(1, 30) * 100
    return {
        **common(new_id(c.rng, "shr"), "shipping_rate", c.at),
        "active": True,
        "delivery_estimate": {"maximum": {"unit": "day", "value": 5}, "minimum": None},
        "display_name": "Parcel",
        "fixed_amount": {"amount": amount, "currency": "usd"},
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
        **common(id, "checkout.session", c.at),
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "currency": of["currency"],
        "custom_fields": [],
        "custom_text": nulls("after_submit shipping_address submit terms_of_service_acceptance"),
        "customer": of["id"],
        "customer_details": {
            "email": of["email"],
            "tax_exempt": "none",
            **nulls("address business_name individual_name name phone tax_ids"),
        },
        "discounts": [],
        "expires_at": c.at + DAY,
        "line_items": nested(items, f"/v1/checkout/sessions/{id}/line_items"),
        "mode": "payment",
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "shipping_options": [],
        "status": "open",
        "success_url": "https://acme.example.com/thanks",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"https://checkout.stripe.com/c/pay/{id}",
        **nulls(
            "after_expiration allow_promotion_codes billing_address_collection cancel_url client_reference_id "
            "client_secret collected_information consent consent_collection currency_conversion customer_account "
            "customer_creation customer_email invoice invoice_creation locale origin_context payment_intent "
            "payment_link payment_method_collection payment_method_options phone_number_collection recovered_from "
            "redirect_on_completion return_url saved_payment_method_options setup_intent shipping_address_collection "
            "shipping_cost submit_type subscription tax_id_collection"
        ),
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
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_address_collection": "auto",
        "currency": "usd",
        "custom_fields": [],
        "custom_text": nulls("after_submit shipping_address submit terms_of_service_acceptance"),
        "customer_creation": "if_required",
        "line_items": nested(items, f"/v1/payment_links/{id}/line_items"),
        "livemode": False,
        "metadata": {},
        "payment_method_collection": "always",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "submit_type": "auto",
        "tax_id_collection": {"enabled": False, "required": "if_supported"},
        "url": f"https://buy.stripe.com/test_{id}",
        **nulls(
            "application application_fee_amount application_fee_percent consent_collection inactive_message "
            "invoice_creation on_behalf_of payment_intent_data payment_method_types restrictions "
            "shipping_address_collection subscription_data transfer_data"
        ),
    }


def quote(c: Context) -> Json:
    """https://docs.stripe.com/api/quotes/object: a draft for a customer."""
    of = c.any("customers")
    id = new_id(c.rng, "qt")
    items = line_items(c, of["currency"], c.rng.choice((1, 2, 12)))
    total = sum(item["amount_total"] for item in items)
    details = {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}
    return {
        **common(id, "quote", c.at),
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "collection_method": "charge_automatically",
        "computed": {
            "recurring": None,
            "upfront": {"amount_subtotal": total, "amount_total": total, "total_details": details},
        },
        "currency": of["currency"],
        "customer": of["id"],
        "default_tax_rates": [],
        "discounts": [],
        "expires_at": c.at + 30 * DAY,
        "invoice_settings": {"days_until_due": None, "issuer": {"type": "self"}},
        "line_items": nested(items, f"/v1/quotes/{id}/line_items"),
        "status": "draft",
        "status_transitions": {"accepted_at": None, "canceled_at": None, "finalized_at": None},
        "subscription_data": {
            "billing_mode": {"type": "classic"},
            "metadata": {},
            **nulls("description effective_date trial_period_days"),
        },
        "test_clock": of["test_clock"],
        "total_details": details,
        **nulls(
            "application application_fee_amount application_fee_percent customer_account description footer from_quote "
            "header invoice number on_behalf_of subscription subscription_schedule transfer_data"
        ),
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
