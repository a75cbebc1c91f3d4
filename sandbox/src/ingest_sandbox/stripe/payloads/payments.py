"""The money that moves, and what may come in its way."""

from ... import prose
from ...wire import Json
from ..objects import DAY, Context, new_id

_EVIDENCE = (
    "access_activity_log appeal billing_address cancellation_policy cancellation_policy_disclosure "
    "cancellation_rebuttal customer_communication customer_email_address customer_name customer_purchase_ip "
    "customer_signature duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id "
    "product_description receipt refund_policy refund_policy_disclosure refund_refusal_explanation service_date "
    "service_documentation shipping_address shipping_carrier shipping_date shipping_documentation "
    "shipping_tracking_number uncategorized_file uncategorized_text"
).split()


def payment_intent(c: Context, of_customer: Json | None = None) -> Json:
    """https://docs.stripe.com/api/payment_intents/object: not yet paid."""
    of = of_customer or c.any("customers")
    id = new_id(c.rng, "pi")
    amount = c.rng.randint(1, 500) * 100
    return {
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{id}_secret_{prose.token(c.rng, 24)}",
        "confirmation_method": "automatic",
        "created": c.at,
        "currency": of["currency"],
        "customer": of["id"],
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def payment_method(c: Context) -> Json:
    """https://docs.stripe.com/api/payment_methods/object: a card that is attached to a customer."""
    of = c.any("customers")
    return {
        "id": new_id(c.rng, "pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": dict.fromkeys("city country line1 line2 postal_code state".split()),
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
        "created": c.at,
        "customer": of["id"],
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def setup_intent(c: Context) -> Json:
    """https://docs.stripe.com/api/setup_intents/object: a payment method to be kept for later."""
    of = c.any("customers")
    id = new_id(c.rng, "seti")
    return {
        "id": id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{id}_secret_{prose.token(c.rng, 24)}",
        "created": c.at,
        "customer": of["id"],
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": None,
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
    }


def dispute(c: Context) -> Json:
    """https://docs.stripe.com/api/disputes/object: of a charge that was paid."""
    of = c.any("charges", lambda row: row["paid"] and not row["disputed"])
    return {
        "id": new_id(c.rng, "du"),
        "object": "dispute",
        "amount": of["amount"],
        "balance_transactions": [],
        "charge": of["id"],
        "created": c.at,
        "currency": of["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(_EVIDENCE) | {"enhanced_evidence": {}},
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
        "livemode": False,
        "metadata": {},
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
        "billing_zip": None,
        "charge": of["id"],
        "closed_reason": None,
        "created": c.at,
        "ip_address": "203.0.113.7",
        "ip_address_location": {"city": "Köln", "country": "DE", "latitude": 50.94, "longitude": 6.96, "region": None},
        "livemode": False,
        "open": True,
        "opened_reason": "rule",
        "payment_intent": of["payment_intent"],
        "reason": "rule",
        "session": None,
    }


def payout(c: Context) -> Json:
    """https://docs.stripe.com/api/payouts/object: to the bank account of the account."""
    amount = c.rng.randint(1, 5_000) * 100
    return {
        "id": new_id(c.rng, "po"),
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": c.at + 2 * DAY,
        "automatic": True,
        "balance_transaction": None,
        "created": c.at,
        "currency": "usd",
        "description": "STRIPE PAYOUT",
        "destination": "ba_1SandboxBank",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "in_progress",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }
