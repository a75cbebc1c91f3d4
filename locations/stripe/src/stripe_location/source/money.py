"""Amounts: Stripe counts in the smallest unit of a currency, people count in units.

https://docs.stripe.com/currencies#minor-units. UGX and ISK have no smaller unit any more, and are
still sent in hundredths; HUF and TWD are paid out in whole units only, and sent in hundredths too:
https://docs.stripe.com/currencies#special-cases
"""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from ingest_shared.tables import Column, ColumnType, derived

ZERO_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()
THREE_DECIMALS = "bhd jod kwd omr tnd".split()
_PLACES = 3
_MONEY = pa.decimal128(38, _PLACES)


def _decimal(amount: pa.Array, currency: pa.Array) -> pa.Array:
    """``amount`` in minor units of ``currency`` as an exact decimal with three places; null without a currency."""
    lower = pc.utf8_lower(currency)
    thousandths = pc.if_else(
        pc.is_in(lower, value_set=pa.array(THREE_DECIMALS)),
        1,
        pc.if_else(pc.is_in(lower, value_set=pa.array(ZERO_DECIMALS)), 10**_PLACES, 10),
    )
    known = pc.cast(pc.if_else(pc.is_valid(currency), thousandths, None), pa.int16())
    # 19 and 5 digits: no amount is too large for the product.
    scaled = pc.multiply(pc.cast(amount, pa.decimal128(19, 0)), pc.cast(known, pa.decimal128(5, 0)))
    wide = pc.cast(scaled, pa.decimal128(38, 0))
    # The same digits read with three places are the amount in major units.
    return pa.Array.from_buffers(_MONEY, len(wide), wide.buffers(), wide.null_count, wide.offset)


MONEY = ColumnType("money", "decimal", _MONEY, int, partial(pa.array))


def decimal_of(amount: str, description: str) -> Column:
    """The column ``<amount>_decimal``: the column ``amount`` in units of the row's currency."""
    return derived(f"{amount}_decimal", description, MONEY, (amount, "currency"), _decimal)
