"""Stripe as dlt sources. Nothing here knows of Dagster.

https://dlthub.com/docs/general-usage/source
"""

from collections.abc import Iterable
from functools import cache

import dlt
from dlt.extract.resource import DltResource

from ingest_shared.columnar import Decoder
from ingest_shared.loading import mirror
from stripe_location.source.reading import BalanceTransactions, Events, Objects, Reader, Sync
from stripe_location.source.tables import TABLES


@dlt.source(name="stripe_billing", section="stripe")
def billing() -> Iterable[DltResource]:
    """Whom and what is billed: customers, products, prices, subscriptions, invoices."""
    sync = Sync()
    yield resource(Objects(sync, decoder("customers"), "customer"))
    yield resource(Objects(sync, decoder("products"), "product"))
    yield resource(Objects(sync, decoder("prices"), "price"))
    yield resource(Objects(sync, decoder("subscriptions"), "subscription", nested="items", status="all"))
    yield resource(Objects(sync, decoder("invoices"), "invoice", nested="lines"))


@dlt.source(name="stripe_payments", section="stripe")
def payments() -> Iterable[DltResource]:
    """The money that moves: charges, refunds, balance transactions; and the log of all events."""
    sync = Sync()
    yield resource(Objects(sync, decoder("charges"), "charge"))
    yield resource(Objects(sync, decoder("refunds"), "refund"))
    yield resource(BalanceTransactions(sync, decoder("balance_transactions")))
    yield resource(Events(sync, decoder("events")))


def resource(reader: Reader) -> DltResource:
    return mirror(reader.decoder, reader)


@cache
def decoder(table: str) -> Decoder:
    return Decoder(TABLES[table], rows_at="data")
