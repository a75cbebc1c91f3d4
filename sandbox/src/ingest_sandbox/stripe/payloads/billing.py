"""What is billed beside subscriptions and invoices."""

from ...wire import Json
from ..objects import DAY, Context, nested, new_id


def invoiceitem(c: Context, of_customer: Json | None = None, of_price: Json | None = None, quantity: int = 1) -> Json:
    """https://docs.stripe.com/api/invoiceitems/object: what a later invoice will bill."""
    of = of_customer or c.any("customers")
    price = of_price or c.any("prices")
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id(c.rng, "ii"),
        "object": "invoiceitem",
        "amount": amount,
        "currency": price["currency"],
        "customer": of["id"],
        "customer_account": None,
        "date": c.at,
        "description": c.rng.choice((None, "One-off work ✏️")),
        "discountable": True,
        "discounts": [],
        "frozen_fields": None,
        "invoice": None,
        "invoicing_rules": None,
        "livemode": False,
        "metadata": {},
        "net_amount": amount,
        "parent": None,
        "period": {"end": c.at, "start": c.at},
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": str(amount),
        },
        "proration": False,
        "proration_details": None,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "tax_rates": [],
        "test_clock": of["test_clock"],
    }


def credit_note(c: Context) -> Json:
    """https://docs.stripe.com/api/credit_notes/object: of a few of the lines of an invoice that was paid."""
    invoice = c.any("invoices", lambda row: row["status"] == "paid")
    id = new_id(c.rng, "cn")
    lines = [_credited(c, line) for line in invoice["lines"]["data"]]
    amount = sum(line["amount"] for line in lines)
    return {
        "id": id,
        "object": "credit_note",
        "amount": amount,
        "amount_shipping": 0,
        "created": c.at,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_account": None,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": c.at,
        "invoice": invoice["id"],
        "lines": nested(lines, f"/v1/credit_notes/{id}/lines"),
        "livemode": False,
        "memo": c.rng.choice((None, "Sorry for the delay")),
        "metadata": {},
        "number": f"{invoice['number']}-CN-{c.rng.randrange(100):02}",
        "out_of_band_amount": amount,
        "pdf": f"https://pay.stripe.com/credit_notes/{id}/pdf",
        "post_payment_amount": amount,
        "pre_payment_amount": 0,
        "pretax_credit_amounts": [],
        "reason": c.rng.choice((None, "duplicate", "order_change")),
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
        "type": "post_payment",
        "voided_at": None,
    }


def _credited(c: Context, line: Json) -> Json:
    """https://docs.stripe.com/api/credit_notes/line_item: half of a line of an invoice."""
    amount = line["amount"] // 20 * 10
    return {
        "id": new_id(c.rng, "cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": line["description"],
        "discount_amount": 0,
        "discount_amounts": [],
        "invoice_line_item": line["id"],
        "livemode": False,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": 1,
        "tax_rates": [],
        "taxes": [],
        "type": "invoice_line_item",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }


def subscription_schedule(c: Context) -> Json:
    """https://docs.stripe.com/api/subscription_schedules/object: what a subscription becomes, phase by phase."""
    of = c.any("subscriptions", lambda row: row["status"] == "active" and row["schedule"] is None)
    month = 30 * DAY
    phases = [_phase(of, c.at + n * month, c.at + (n + 1) * month) for n in range(c.rng.randint(1, 3))]
    return {
        "id": new_id(c.rng, "sub_sched"),
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": {"flexible": None, "type": "classic", "updated_at": None},
        "canceled_at": None,
        "completed_at": None,
        "created": c.at,
        "current_phase": {"end_date": phases[0]["end_date"], "start_date": phases[0]["start_date"]},
        "customer": of["customer"],
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "automatic_tax": None,
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": None,
            "description": None,
            "invoice_settings": {
                "account_tax_ids": None,
                "custom_fields": None,
                "days_until_due": None,
                "description": None,
                "footer": None,
                "issuer": {"type": "self"},
            },
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": "release",
        "livemode": False,
        "metadata": {},
        "pause_schedules": [],
        "phases": phases,
        "released_at": None,
        "released_subscription": None,
        "status": "active",
        "subscription": of["id"],
        "test_clock": of["test_clock"],
    }


def _phase(of: Json, start: int, end: int) -> Json:
    items = [
        {
            "billing_thresholds": None,
            "discounts": [],
            "metadata": {},
            "plan": item["price"]["id"],
            "price": item["price"]["id"],
            "quantity": item["quantity"],
            "tax_rates": [],
        }
        for item in of["items"]["data"]
    ]
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "automatic_tax": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": of["currency"],
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": end,
        "invoice_settings": None,
        "items": items,
        "metadata": {},
        "on_behalf_of": None,
        "proration_behavior": "create_prorations",
        "start_date": start,
        "transfer_data": None,
        "trial": None,
        "trial_end": None,
    }


def tax_id(c: Context, customer: Json) -> Json:
    """https://docs.stripe.com/api/tax_ids/object, of a customer."""
    return {
        "id": new_id(c.rng, "txi"),
        "object": "tax_id",
        "country": "DE",
        "created": c.at,
        "customer": customer["id"],
        "customer_account": None,
        "livemode": False,
        "owner": {
            "account": None,
            "application": None,
            "customer": customer["id"],
            "customer_account": None,
            "type": "customer",
        },
        "type": "eu_vat",
        "value": f"DE{c.rng.randrange(10**9):09}",
        "verification": {"status": "pending", "verified_address": None, "verified_name": None},
    }


def invoice_payment(c: Context, invoice: Json, payment_intent: Json) -> Json:
    """https://docs.stripe.com/api/invoice-payment/object: which payment paid an invoice."""
    return {
        "id": new_id(c.rng, "inpay"),
        "object": "invoice_payment",
        "amount_paid": payment_intent["amount"],
        "amount_requested": payment_intent["amount"],
        "created": c.at,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": payment_intent["id"], "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": c.at},
    }
