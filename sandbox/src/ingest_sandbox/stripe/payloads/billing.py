"""What is billed beside subscriptions and invoices."""

from ...wire import Json, nulls
from ..objects import DAY, MADE_ANEW, Context, common, nested, new_id


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
        "date": c.at,
        "description": c.rng.choice((None, "One-off work ✏️")),
        "discountable": True,
        "discounts": [],
        "livemode": False,
        "metadata": {},
        "net_amount": amount,
        "period": {"end": c.at, "start": c.at},
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": str(amount),
        },
        "proration": False,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "tax_rates": [],
        "test_clock": of["test_clock"],
        **nulls("customer_account frozen_fields invoice invoicing_rules parent proration_details"),
    }


def credit_note(c: Context) -> Json:
    """https://docs.stripe.com/api/credit_notes/object: of a few of the lines of an invoice that was paid."""
    invoice = c.any("invoices", lambda row: row["status"] == "paid")
    id = new_id(c.rng, "cn")
    lines = [_credited(c, line) for line in invoice["lines"]["data"]]
    amount = sum(line["amount"] for line in lines)
    return {
        **common(id, "credit_note", c.at),
        "amount": amount,
        "amount_shipping": 0,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": c.at,
        "invoice": invoice["id"],
        "lines": nested(lines, f"/v1/credit_notes/{id}/lines"),
        "memo": c.rng.choice((None, "Sorry for the delay")),
        "number": f"{invoice['number']}-CN-{c.rng.randrange(100):02}",
        "out_of_band_amount": amount,
        "pdf": f"https://pay.stripe.com/credit_notes/{id}/{MADE_ANEW}/pdf",
        "post_payment_amount": amount,
        "pre_payment_amount": 0,
        "pretax_credit_amounts": [],
        "reason": c.rng.choice((None, "duplicate", "order_change")),
        "refunds": [],
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
        "type": "post_payment",
        **nulls("customer_account customer_balance_transaction shipping_cost voided_at"),
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
        **common(new_id(c.rng, "sub_sched"), "subscription_schedule", c.at),
        "billing_mode": {"flexible": None, "type": "classic", "updated_at": None},
        "current_phase": {"end_date": phases[0]["end_date"], "start_date": phases[0]["start_date"]},
        "customer": of["customer"],
        "default_settings": {
            "billing_cycle_anchor": "automatic",
            "collection_method": "charge_automatically",
            "invoice_settings": {
                "issuer": {"type": "self"},
                **nulls("account_tax_ids custom_fields days_until_due description footer"),
            },
            **nulls(
                "application_fee_percent automatic_tax billing_thresholds default_payment_method description "
                "on_behalf_of transfer_data"
            ),
        },
        "end_behavior": "release",
        "pause_schedules": [],
        "phases": phases,
        "status": "active",
        "subscription": of["id"],
        "test_clock": of["test_clock"],
        **nulls("application canceled_at completed_at customer_account released_at released_subscription"),
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
        "currency": of["currency"],
        "default_tax_rates": [],
        "discounts": [],
        "end_date": end,
        "items": items,
        "metadata": {},
        "proration_behavior": "create_prorations",
        "start_date": start,
        **nulls(
            "application_fee_percent automatic_tax billing_cycle_anchor billing_thresholds collection_method "
            "default_payment_method description invoice_settings on_behalf_of transfer_data trial trial_end"
        ),
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
            "customer": customer["id"],
            "type": "customer",
            **nulls("account application customer_account"),
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
