"""The money that moves, and what may come in its way."""

from ... import prose
from ...wire import Json, nulls
from ..objects import DAY, MADE_ANEW, Context, common, new_id

_EVIDENCE = nulls(
    "access_activity_log appeal billing_address cancellation_policy cancellation_policy_disclosure "
    "cancellation_rebuttal customer_communication customer_email_address customer_name customer_purchase_ip "
    "customer_signature duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id "
    "product_description receipt refund_policy refund_policy_disclosure refund_refusal_explanation service_date "
    "service_documentation shipping_address shipping_carrier shipping_date shipping_documentation "
    "shipping_tracking_number uncategorized_file uncategorized_text"
)


def _next_action(at: int, currency: str) -> Json | None:
    """What the customer must do: those who pay in dollars are to pay with Cash App."""
    if currency != "usd":
        return None
    type = "cashapp_handle_redirect_or_display_qr_code"
    url = f"https://payments.stripe.com/cashapp/instructions/{MADE_ANEW}"
    qr_code = {"expires_at": at + DAY, "image_url_png": f"{url}/qr.png", "image_url_svg": f"{url}/qr.svg"}
    return {"type": type, type: {"hosted_instructions_url": url, "mobile_auth_url": url, "qr_code": qr_code}}


def payment_intent(c: Context, of_customer: Json | None = None) -> Json:
    """https://docs.stripe.com/api/payment_intents/object: not yet paid."""
    of = of_customer or c.any("customers")
    id = new_id(c.rng, "pi")
    amount = c.rng.randint(1, 500) * 100
    return {
        **common(id, "payment_intent", c.at),
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "capture_method": "automatic",
        "client_secret": f"{id}_secret_{prose.token(c.rng, 24)}",
        "confirmation_method": "automatic",
        "currency": of["currency"],
        "customer": of["id"],
        "next_action": _next_action(c.at, of["currency"]),
        "payment_method_options": {
            "card": {
                "request_three_d_secure": "automatic",
                **nulls("installments mandate_options network"),
            }
        },
        "payment_method_types": ["card"],
        "status": "requires_action" if of["currency"] == "usd" else "requires_payment_method",
        **nulls(
            "application application_fee_amount canceled_at cancellation_reason customer_account description "
            "excluded_payment_method_types last_payment_error latest_charge on_behalf_of payment_method "
            "payment_method_configuration_details processing receipt_email review setup_future_usage shipping source "
            "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
        ),
    }


def payment_method(c: Context) -> Json:
    """https://docs.stripe.com/api/payment_methods/object: a card that is attached to a customer."""
    of = c.any("customers")
    return {
        **common(new_id(c.rng, "pm"), "payment_method", c.at),
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": nulls("city country line1 line2 postal_code state"),
            "email": of["email"],
            "name": of["name"],
            "phone": None,
            "tax_id": None,
        },
        "card": {
            "brand": "visa",
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "display_brand": "visa",
            "exp_month": c.rng.randint(1, 12),
            "exp_year": 2030,
            "fingerprint": prose.token(c.rng, 16),
            "funding": "credit",
            "generated_from": None,
            "last4": f"{c.rng.randrange(10_000):04}",
            "networks": {"available": ["visa"], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "customer": of["id"],
        "customer_account": None,
        "type": "card",
    }


def setup_intent(c: Context) -> Json:
    """https://docs.stripe.com/api/setup_intents/object: a payment method to be kept for later."""
    of = c.any("customers")
    id = new_id(c.rng, "seti")
    return {
        **common(id, "setup_intent", c.at),
        "client_secret": f"{id}_secret_{prose.token(c.rng, 24)}",
        "customer": of["id"],
        "next_action": _next_action(c.at, of["currency"]),
        "payment_method_types": ["card"],
        "status": "requires_action" if of["currency"] == "usd" else "requires_payment_method",
        "usage": "off_session",
        **nulls(
            "application automatic_payment_methods cancellation_reason customer_account description "
            "excluded_payment_method_types flow_directions last_setup_error latest_attempt mandate "
            "on_behalf_of payment_method payment_method_configuration_details payment_method_options "
            "single_use_mandate"
        ),
    }


def dispute(c: Context) -> Json:
    """https://docs.stripe.com/api/disputes/object: of a charge that was paid."""
    of = c.any("charges", lambda row: row["paid"] and not row["disputed"])
    return {
        **common(new_id(c.rng, "du"), "dispute", c.at),
        "amount": of["amount"],
        "balance_transactions": [],
        "charge": of["id"],
        "currency": of["currency"],
        "enhanced_eligibility_types": [],
        "evidence": _EVIDENCE | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": c.at + 9 * DAY,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "manual",
        },
        "intended_submission_method": None,
        "is_charge_refundable": False,
        "network_reason_code": None,
        "payment_intent": of["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": c.rng.choice(("fraudulent", "product_not_received", "duplicate")),
        "status": "needs_response",
    }


def early_fraud_warning(c: Context) -> Json:
    """https://docs.stripe.com/api/radar/early_fraud_warnings/object: the issuer suspects fraud in a charge."""
    of = c.any("charges", lambda row: bool(row["paid"]))
    return {
        "id": new_id(c.rng, "issfr"),
        "object": "radar.early_fraud_warning",
        "actionable": True,
        "charge": of["id"],
        "created": c.at,
        "fraud_type": c.rng.choice(("made_with_stolen_card", "misc", "unauthorized_use_of_card")),
        "livemode": False,
        "payment_intent": of["payment_intent"],
    }


def review(c: Context) -> Json:
    """https://docs.stripe.com/api/radar/reviews/object: a payment that a person must look at."""
    of = c.any("charges", lambda row: row["paid"] and row["review"] is None)
    return {
        "id": new_id(c.rng, "prv"),
        "object": "review",
        "charge": of["id"],
        "created": c.at,
        "ip_address": "203.0.113.7",
        "ip_address_location": {"city": "Köln", "country": "DE", "latitude": 50.94, "longitude": 6.96, "region": None},
        "livemode": False,
        "open": True,
        "opened_reason": "rule",
        "payment_intent": of["payment_intent"],
        "reason": "rule",
        **nulls("billing_zip closed_reason session"),
    }


def payout(c: Context) -> Json:
    """https://docs.stripe.com/api/payouts/object: to the bank account of the account."""
    amount = c.rng.randint(1, 5_000) * 100
    return {
        **common(new_id(c.rng, "po"), "payout", c.at),
        "amount": amount,
        "arrival_date": c.at + 2 * DAY,
        "automatic": True,
        "currency": "usd",
        "description": "STRIPE PAYOUT",
        "destination": "ba_1SandboxBank",
        "method": "standard",
        "reconciliation_status": "in_progress",
        "source_type": "card",
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
        **nulls(
            "application_fee application_fee_amount balance_transaction failure_balance_transaction failure_code "
            "failure_message original_payout payout_method reversed_by statement_descriptor"
        ),
    }
