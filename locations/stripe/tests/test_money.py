"""The decimal of an amount, by what Stripe takes for the smallest unit of its currency."""

from decimal import Decimal

import pyarrow as pa
import pytest

from ingest_shared.columnar import Decoder
from ingest_shared.errors import PayloadError
from stripe_location.source.money import decimal_of
from stripe_location.source.tables.customer import customers


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
        ("huf", 1000, "10"),
        ("twd", 80000, "800"),
        ("usd", -(2**53) - 1, "-90071992547409.93"),
        ("jpy", 2**63 - 1, "9223372036854775807"),
        ("kwd", -(2**63), "-9223372036854775.808"),
    ],
)
def test_an_amount_in_units_of_its_currency(currency: str, amount: int, units: str) -> None:
    column = decimal_of("total", "Total")
    assert column.compute
    assert column.compute(pa.array([amount]), pa.array([currency])).to_pylist() == [Decimal(units)]


def test_an_amount_without_a_currency_is_not_guessed() -> None:
    column = decimal_of("balance", "Balance")
    assert column.compute
    assert column.compute(pa.array([1999, None]), pa.array([None, "usd"])).to_pylist() == [None, None]


def test_an_amount_that_no_column_can_hold_is_one_line_with_its_row() -> None:
    body = b'{"id": "cus_1", "livemode": false, "created": 0, "balance": %d, "currency": "usd"}' % 2**63
    decoder = Decoder(customers)
    page = decoder.row(body, {"account_id": "acct_1", "deleted_at": None})
    with pytest.raises(PayloadError, match=r"^table customers, column balance, row .*id='cus_1'.*9223372036854775808$"):
        decoder.arrow([page])
