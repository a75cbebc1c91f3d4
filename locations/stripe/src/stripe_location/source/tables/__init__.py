"""The tables of the Stripe mirror, a file for each area: contract, documentation and column schema at once.

Written for API version 2026-10-28.endive. Amounts appear twice: in minor units as Stripe sends them, and as a decimal
in units of the currency. To add a table, see the README.
"""

from ingest_shared.tables import tables_in
from stripe_location.source.tables import (
    account,
    adjustments,
    catalog,
    checkout,
    customer,
    discounts,
    intents,
    invoice,
    log,
    methods,
    payment,
    quotes,
    risk,
    subscription,
    taxes,
    transfers,
)

TABLES = tables_in(
    *(customer, methods, catalog, subscription, invoice, adjustments, payment, intents, transfers, risk, log),
    *(checkout, quotes, discounts, taxes, account),
)
