"""Stripe as dlt sources. Nothing here knows of Dagster.

https://dlthub.com/docs/general-usage/source
"""

from collections.abc import Iterable

import dlt
from dlt.extract.resource import DltResource

from ingest_shared.loading import mirror
from ingest_shared.reading.envelopes import HasMore
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import ByCreated
from ingest_shared.tables import Table
from stripe_location.source.account import EVENT_LOG, PER_PAGE, StripeSync, between
from stripe_location.source.objects import BalanceTransactions, Nested, Objects
from stripe_location.source.tables import catalog, customer, invoicing, payment


def listing(table: Table, walk: ByCreated, **params: str) -> Listing:
    """A list of the account."""
    return Listing(table, f"/v1/{table.name}", walk=walk, envelope=HasMore(), params={"limit": PER_PAGE, **params})


def objects(table: Table, nested: Nested | None = None, **params: str) -> Listing:
    """A list of objects that events tell of."""
    return listing(table, Objects("created", between, type=table.name.removesuffix("s"), nested=nested), **params)


ITEMS = Nested("/v1/subscription_items", {"subscription": "{id}"})
LINES = Nested("/v1/invoices/{id}/lines")

BILLING = (
    objects(customer.customers),
    objects(catalog.products),
    objects(catalog.prices),
    objects(invoicing.subscriptions, ITEMS, status="all"),
    objects(invoicing.invoices, LINES),
)
PAYMENTS = (
    objects(payment.charges),
    objects(payment.refunds),
    listing(payment.balance_transactions, BalanceTransactions("created", between)),
    EVENT_LOG,
)


@dlt.source(name="stripe_billing", section="stripe")
def billing(audit: bool = False) -> Iterable[DltResource]:
    """Whom and what is billed: customers, products, prices, subscriptions, invoices."""
    sync = StripeSync(audit=audit)
    yield from [mirror(Reader(list_, sync)) for list_ in BILLING]


@dlt.source(name="stripe_payments", section="stripe")
def payments(audit: bool = False) -> Iterable[DltResource]:
    """The money that moves: charges, refunds, balance transactions; and the log of all events."""
    sync = StripeSync(audit=audit)
    yield from [mirror(Reader(list_, sync)) for list_ in PAYMENTS]
