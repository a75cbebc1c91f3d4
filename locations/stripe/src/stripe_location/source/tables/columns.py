"""Columns that many tables have."""

from collections.abc import Sequence

from ingest_shared.tables import Column, bigint, boolean, epoch, json, text
from stripe_location.source.money import decimal_of

API = "https://docs.stripe.com/api"
ACCOUNT_ID = text("account_id", "Stripe account that the row belongs to.", origin="reader")
ID = text("id", "Immutable id.")
DELETED_AT = epoch("deleted_at", "When it was deleted at Stripe; null while it exists.", origin="reader")
LIVEMODE = boolean("livemode", "False for data of the test mode.")
MODE = boolean("livemode", "False for data of the test mode; the object itself does not tell.", origin="reader")
POSITION = bigint("position", "Its place in the list, from 0.", origin="position")
METADATA = json("metadata", "Keys and values that the account's own systems have set.")
CREATED = epoch("created", "When it was made.")


def amounts(**descriptions: str) -> tuple[Column, ...]:
    """For each amount the column in minor units and its ``_decimal`` in units of the currency."""
    columns: list[Column] = []
    for name, description in descriptions.items():
        columns.append(bigint(name, f"{description}, in the currency's smallest unit."))
        columns.append(decimal_of(name, f"{description}, in units of the currency."))
    return tuple(columns)


def identified(*columns: Column, lacks: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns of an object of its own: whose it is, its id, and when it came and went.

    ``lacks`` names what Stripe does not send of these.
    """
    mode = MODE if "livemode" in lacks else LIVEMODE
    common = [column for column in (METADATA, CREATED) if column.name not in lacks]
    return (ACCOUNT_ID, ID, *columns, mode, *common, DELETED_AT)
