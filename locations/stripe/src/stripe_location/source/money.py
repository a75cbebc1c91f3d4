"""Amounts: Stripe counts in the smallest unit of a currency, people do not.

https://docs.stripe.com/currencies#minor-units; UGX and ISK have no smaller unit, and are still
sent in hundredths: https://docs.stripe.com/currencies#special-cases
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
    """``amount`` in minor units of ``currency`` as an exact decimal with three places."""
    lower = pc.utf8_lower(currency)
    thousandths = pc.if_else(
        pc.is_in(lower, value_set=pa.array(THREE_DECIMALS)),
        1,
        pc.if_else(pc.is_in(lower, value_set=pa.array(ZERO_DECIMALS)), 10**_PLACES, 10),
    )
    scaled = pc.cast(pc.multiply_checked(amount, pc.cast(thousandths, pa.int64())), pa.decimal128(38, 0))
    # The same digits read with three places are the amount in major units.
    return pa.Array.from_buffers(_MONEY, len(scaled), scaled.buffers(), scaled.null_count, scaled.offset)


MONEY = ColumnType("money", "decimal", _MONEY, int, partial(pa.array))


def decimal_of(amount: str, description: str) -> Column:
    """The column ``<amount>_decimal``: the column ``amount`` in units of the row's currency."""
    return derived(f"{amount}_decimal", description, MONEY, (amount, "currency"), _decimal)
