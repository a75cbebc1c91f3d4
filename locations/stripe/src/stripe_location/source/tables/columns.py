"""Columns that many tables share."""

from collections.abc import Sequence
from typing import Any

from ingest_shared.tables import Column, Table, bigint, boolean, epoch, json, text
from stripe_location.source.money import decimal_of

API = "https://docs.stripe.com/api"
ACCOUNT_ID = text("account_id", "Stripe account that the row belongs to.", origin="reader")
ID = text("id", "Immutable id.")
DELETED_AT = epoch("deleted_at", "When it was deleted at Stripe; null while it exists.", origin="reader")
LIVEMODE = boolean("livemode", "False for data of the test mode.")
MODE = boolean("livemode", "False for data of the test mode; the object itself does not say.", origin="reader")
POSITION = bigint("position", "Its place in the list, from 0.", origin="position")
METADATA = json("metadata", "Keys and values set by the account's own systems.")
CREATED = epoch("created", "When it was made.")


def amounts(**descriptions: str) -> tuple[Column, ...]:
    """For each amount, the column in minor units and its ``_decimal`` in units of the currency."""
    columns: list[Column] = []
    for name, description in descriptions.items():
        columns.append(bigint(name, f"{description}, in the currency's smallest unit."))
        columns.append(decimal_of(name, f"{description}, in units of the currency."))
    return tuple(columns)


def parent(name: str, description: str) -> tuple[Column, Column]:
    """The columns of a child table that say which object its rows belong to."""
    account = text("account_id", "Stripe account.", origin="parent")
    return account, text(name, description, path="id", origin="parent")


def object_table(
    *,
    name: str,
    columns: tuple[Column, ...],
    docs: str = "",
    lacks: Sequence[str] = (),
    unused: tuple[str, ...] = (),
    **more: Any,
) -> Table:
    """A table of objects, with columns for account, id, mode, metadata, creation and deletion.

    ``lacks`` names the columns that Stripe does not send.
    """
    mode = MODE if "livemode" in lacks else LIVEMODE
    common = [column for column in (METADATA, CREATED) if column.name not in lacks]
    return Table(
        name=name,
        docs=docs or f"{API}/{name}/object",
        key=("account_id", "id"),
        columns=(ACCOUNT_ID, ID, *columns, mode, *common, DELETED_AT),
        unused=("object", *unused),
        **more,
    )
