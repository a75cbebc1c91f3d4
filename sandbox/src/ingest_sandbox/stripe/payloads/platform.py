"""Connected accounts and the money between them, top-ups, files."""

from ... import prose
from ...wire import Json, nulls
from ..objects import DAY, Context, common, nested, new_id


def account(c: Context) -> Json:
    """https://docs.stripe.com/api/accounts/object: a connected account."""
    name = prose.person(c.rng)
    return {
        "id": new_id(c.rng, "acct", 16),
        "object": "account",
        "business_profile": {
            "name": name,
            **nulls("mcc product_description support_address support_email support_phone support_url url"),
        },
        "business_type": "individual",
        "capabilities": {"transfers": "active"},
        "charges_enabled": True,
        "controller": {"is_controller": True, "type": "application"},
        "country": "DE",
        "created": c.at,
        "default_currency": "eur",
        "details_submitted": True,
        "email": f"seller{c.rng.randrange(10**6)}@example.com",
        "external_accounts": nested([], "/v1/accounts/external_accounts"),
        "future_requirements": {},
        "metadata": {},
        "payouts_enabled": True,
        "requirements": {"alternatives": [], "currently_due": [], "disabled_reason": None},
        "settings": {
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "card_payments": {"statement_descriptor_prefix": None},
            "dashboard": {"display_name": name, "timezone": "Etc/UTC"},
            "payments": {"statement_descriptor": None},
        },
        "tos_acceptance": {"date": c.at},
        "type": "express",
    }


def transfer(c: Context) -> Json:
    """https://docs.stripe.com/api/transfers/object: to a connected account."""
    of = c.any("accounts")
    id = new_id(c.rng, "tr")
    return {
        **common(id, "transfer", c.at),
        "amount": c.rng.randint(10, 900) * 100,
        "amount_reversed": 0,
        "currency": "eur",
        "destination": of["id"],
        "destination_payment": new_id(c.rng, "py"),
        "reversals": nested([], f"/v1/transfers/{id}/reversals"),
        "reversed": False,
        "source_type": "card",
        **nulls("balance_transaction description source_transaction transfer_group"),
    }


def transfer_reversal(c: Context, transfer: Json, amount: int) -> Json:
    """https://docs.stripe.com/api/transfer_reversals/object: of a part of a transfer."""
    return {
        "id": new_id(c.rng, "trr"),
        "object": "transfer_reversal",
        "amount": amount,
        "created": c.at,
        "currency": transfer["currency"],
        "metadata": {},
        "transfer": transfer["id"],
        **nulls("balance_transaction destination_payment_refund source_refund"),
    }


def application_fee(c: Context) -> Json:
    """https://docs.stripe.com/api/application_fees/object: the platform's share of a charge of a connected account."""
    of = c.any("accounts")
    id = new_id(c.rng, "fee")
    return {
        "id": id,
        "object": "application_fee",
        "account": of["id"],
        "amount": c.rng.randint(10, 90) * 100,
        "amount_refunded": 0,
        "application": "ca_1SandboxPlatform",
        "balance_transaction": None,
        "charge": new_id(c.rng, "ch"),
        "created": c.at,
        "currency": "eur",
        "fee_source": {"charge": None, "type": "charge"},
        "livemode": False,
        "originating_transaction": None,
        "refunded": False,
        "refunds": nested([], f"/v1/application_fees/{id}/refunds"),
    }


def fee_refund(c: Context, fee: Json, amount: int) -> Json:
    """https://docs.stripe.com/api/fee_refunds/object: of a part of an application fee."""
    return {
        "id": new_id(c.rng, "fr"),
        "object": "fee_refund",
        "amount": amount,
        "balance_transaction": None,
        "created": c.at,
        "currency": fee["currency"],
        "fee": fee["id"],
        "metadata": {},
    }


def test_clock(c: Context) -> Json:
    """https://docs.stripe.com/api/test_clocks/object: customers may live by it, and be hidden in lists."""
    return {
        "id": new_id(c.rng, "clock"),
        "object": "test_helpers.test_clock",
        "created": c.at,
        "deletes_after": c.at + 30 * DAY,
        "frozen_time": c.at,
        "livemode": False,
        "name": None,
        "status": "ready",
        "status_details": {},
    }


def topup(c: Context) -> Json:
    """https://docs.stripe.com/api/topups/object: money from the bank account into the balance."""
    return {
        **common(new_id(c.rng, "tu"), "topup", c.at),
        "amount": c.rng.randint(10, 900) * 100,
        "currency": "usd",
        "description": "Top-up",
        "expected_availability_date": c.at + 3 * DAY,
        "initiated_by": "user",
        "status": "pending",
        **nulls("balance_transaction failure_code failure_message source statement_descriptor transfer_group"),
    }


def file(c: Context) -> Json:
    """https://docs.stripe.com/api/files/object"""
    id = new_id(c.rng, "file")
    kind = c.rng.choice(("pdf", "png"))
    return {
        "id": id,
        "object": "file",
        "created": c.at,
        "expires_at": None,
        "filename": f"{prose.slug(c.rng)}.{kind}",
        "links": nested([], f"/v1/file_links?file={id}"),
        "purpose": "dispute_evidence",
        "size": c.rng.randrange(10**6),
        "title": None,
        "type": kind,
        "url": f"https://files.stripe.com/v1/files/{id}/contents",
    }
