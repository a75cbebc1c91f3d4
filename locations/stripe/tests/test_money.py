"""The decimal of an amount, by what Stripe takes for the smallest unit of its currency."""

from decimal import Decimal

import pyarrow as pa
import pytest

from stripe_location.source.money import decimal_of


@pytest.mark.parametrize(
    ("currency", "amount", "units"),
    [
        ("usd", 1999, "19.99"),
        ("USD", 1999, "19.99"),
        ("jpy", 500, "500"),
        ("kwd", 5120, "5.12"),
        # Without a smaller unit, but in hundredths: https://docs.stripe.com/currencies#special-cases
        ("ugx", 500, "5"),
        ("isk", 500, "5"),
        ("usd", -(2**53) - 1, "-90071992547409.93"),
    ],
)
def test_an_amount_in_units_of_its_currency(currency: str, amount: int, units: str) -> None:
    column = decimal_of("total", "Total")
    assert column.compute
    assert column.compute(pa.array([amount]), pa.array([currency])).to_pylist() == [Decimal(units)]
