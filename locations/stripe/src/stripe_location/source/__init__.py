"""Stripe as dlt sources. Nothing here knows of Dagster.

https://dlthub.com/docs/general-usage/source
"""

from collections.abc import Iterable, Iterator, Sequence

import dlt
from dlt.common.configuration.specs import BaseConfiguration
from dlt.extract.resource import DltResource

from ingest_shared.columnar import Decoder
from ingest_shared.errors import SettingError
from ingest_shared.loading import mirror
from ingest_shared.reading.listings import Listing, Walk
from ingest_shared.reading.reader import Reader
from ingest_shared.reading.walks import FullList
from ingest_shared.tables import Table
from stripe_location.source.account import EVENT_LOG, StripeSync, created_in
from stripe_location.source.api import tables_left_out
from stripe_location.source.balance_transactions import BalanceTransactions
from stripe_location.source.history import Discounts, States
from stripe_location.source.nested import Nested, WholeList
from stripe_location.source.objects import ALWAYS, Disputes, InvoiceItems, Objects
from stripe_location.source.pages import PER_PAGE, Pages
from stripe_location.source.payment_methods import Customers, PaymentMethods
from stripe_location.source.permissions import PERMISSIONS
from stripe_location.source.tables import (
    account,
    adjustments,
    catalog,
    checkout,
    customer,
    discounts,
    intents,
    invoice,
    methods,
    payment,
    quotes,
    risk,
    subscription,
    taxes,
    transfers,
)
from stripe_location.source.tables import history as history_tables

__all__ = ["LISTINGS", "PERMISSIONS", "billing", "checkouts", "connect", "history", "payments"]

DAY = 86_400
CHECKOUT_LASTS = DAY
"""Seconds after which a checkout session is complete or expired, which events report."""
INTENT_LASTS = DAY
"""Seconds in which most edits of an intent are made: no event reports its amount, metadata or description."""
DISPUTE_LASTS = 120 * DAY
"""Seconds in which a dispute is decided; no event reports a deadline that passes."""


def listing(table: Table, walk: Walk, path: str = "", **params: str) -> Listing:
    """A list of the account."""
    expand = [f"data.{name}" for name in getattr(walk, "expand", ())]
    all_params = {"limit": PER_PAGE, **params, **({"expand[]": tuple(expand)} if expand else {})}
    return Listing(table, f"/v1/{path or table.name}", walk=walk, envelope=Pages(), params=all_params)


def below(name: str, path: str) -> dict[str, Nested]:
    """The nested list of that name, below the objects of a path."""
    return {name: Nested(f"/v1/{path}/{{id}}/{name}")}


ITEMS = {"items": Nested("/v1/subscription_items", {"subscription": "{id}"})}
INVOICE = below("lines", "invoices") | {"payments": Nested("/v1/invoice_payments", {"invoice": "{id}"})}
LINE_ITEMS = ("line_items",)

BILLING = (
    listing(
        customer.customers, Customers(nested=below("tax_ids", "customers"), expand=("tax_ids",), hides_clocks=True)
    ),
    listing(methods.payment_methods, PaymentMethods(at="/v1/payment_methods"), "customers/{customer}/payment_methods"),
    listing(catalog.products, Objects(hides=True)),
    # https://docs.stripe.com/api/prices/list
    listing(catalog.prices, Objects(expand=("currency_options", "tiers"), hides=True, hides_inactive=True)),
    listing(subscription.subscriptions, Objects(nested=ITEMS, expand=("discounts",), hides_clocks=True), status="all"),
    listing(subscription.subscription_schedules, Objects()),
    listing(invoice.invoices, Objects(nested=INVOICE, expand=("payments",))),
    listing(adjustments.invoiceitems, InvoiceItems(column="date")),
    listing(adjustments.credit_notes, Objects(nested=below("lines", "credit_notes"))),
)
PAYMENTS = (
    listing(payment.charges, Objects()),
    listing(payment.refunds, Objects()),
    listing(intents.payment_intents, Objects(listed=INTENT_LASTS)),
    listing(risk.disputes, Disputes(listed=DISPUTE_LASTS)),
    listing(risk.early_fraud_warnings, Objects(type="radar.early_fraud_warning"), "radar/early_fraud_warnings"),
    listing(risk.reviews, Objects(hides=True)),
    listing(transfers.payouts, Objects()),
    listing(payment.balance_transactions, BalanceTransactions("created", created_in)),
    EVENT_LOG,
)
CHECKOUT = (
    listing(
        checkout.checkout_sessions,
        Objects(
            type="checkout.session",
            nested=below("line_items", "checkout/sessions"),
            expand=LINE_ITEMS,
            listed=CHECKOUT_LASTS,
        ),
        "checkout/sessions",
    ),
    listing(intents.setup_intents, Objects(listed=INTENT_LASTS)),
    # No event reports a redemption, or a date that passes.
    listing(discounts.coupons, Objects(listed=ALWAYS)),
    listing(discounts.promotion_codes, Objects(listed=ALWAYS)),
    listing(taxes.tax_rates, Objects()),
    listing(taxes.shipping_rates, FullList()),
    listing(checkout.payment_links, WholeList(nested=below("line_items", "payment_links"), expand=LINE_ITEMS)),
    listing(quotes.quotes, WholeList(nested=below("line_items", "quotes"), expand=LINE_ITEMS, hides_clocks=True)),
)
CONNECT = (
    listing(account.accounts, FullList()),
    listing(transfers.transfers, Objects(nested=below("reversals", "transfers"))),
    listing(transfers.application_fees, Objects(nested=below("refunds", "application_fees"))),
    listing(transfers.topups, Objects()),
    listing(account.files, Objects()),
)
LISTINGS = (*BILLING, *PAYMENTS, *CHECKOUT, *CONNECT)


def resources(lists: Sequence[Listing], audit: bool) -> Iterator[DltResource]:
    """The tables of a group, read by one sync, without those that are left out: these cost no call.

    Raises :class:`SettingError` if the setting names an unknown table.
    """
    left_out = tables_left_out()
    for name in sorted(left_out - {list_.table.name for list_ in LISTINGS}):
        raise SettingError(f"sources.stripe.without has {name!r}, which is not a table of this location")
    sync = StripeSync(audit=audit)
    for list_ in lists:
        if list_.table.name not in left_out:
            yield mirror(Reader(list_, sync))


# Its arguments come from the run alone: without this spec, dlt would also take them from variables like AUDIT.
@dlt.source(name="stripe_billing", section="stripe", spec=BaseConfiguration)
def billing(audit: bool = False) -> Iterable[DltResource]:
    """Billing: customers, products, prices, subscriptions, invoices, credit notes."""
    yield from resources(BILLING, audit)


@dlt.source(name="stripe_payments", section="stripe", spec=BaseConfiguration)
def payments(audit: bool = False) -> Iterable[DltResource]:
    """Payments: charges, refunds, disputes, payouts, the balance; and the log of all events."""
    yield from resources(PAYMENTS, audit)


@dlt.source(name="stripe_checkout", section="stripe", spec=BaseConfiguration)
def checkouts(audit: bool = False) -> Iterable[DltResource]:
    """Checkout: sessions, links, quotes, coupons, taxes."""
    yield from resources(CHECKOUT, audit)


@dlt.source(name="stripe_connect", section="stripe", spec=BaseConfiguration)
def connect(audit: bool = False) -> Iterable[DltResource]:
    """Connect: connected accounts and the money that moves between them; top-ups and files."""
    yield from resources(CONNECT, audit)


@dlt.source(name="stripe_history", section="stripe", spec=BaseConfiguration)
def history() -> Iterable[DltResource]:
    """The history of subscriptions and their discounts, derived from the warehouse."""
    yield mirror(States(Decoder(history_tables.subscription_states)))
    yield mirror(Discounts(Decoder(history_tables.subscription_discounts)))
