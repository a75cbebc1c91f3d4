"""The tables of the Stripe mirror, a file for each area: contract, documentation and column schema at once.

Written for API version 2025-03-31.basil. Amounts stand twice: in minor units as Stripe sends
them, and as a decimal in units of the currency. To add a table, see the README.
"""

from stripe_location.source.tables import catalog, customer, invoicing, log, payment

TABLES = {
    table.name: table
    for table in (
        customer.customers,
        catalog.products,
        catalog.prices,
        invoicing.subscriptions,
        invoicing.invoices,
        payment.charges,
        payment.refunds,
        payment.balance_transactions,
        log.events,
    )
}
