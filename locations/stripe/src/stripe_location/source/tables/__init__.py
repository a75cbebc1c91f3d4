"""The tables of the Stripe mirror, a file for each area: contract, documentation and column schema at once.

Written for API version 2026-10-28.endive. Amounts stand twice: in minor units as Stripe sends
them, and as a decimal in units of the currency. To add a table, see the README.
"""

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

TABLES = {
    table.name: table
    for table in (
        customer.customers,
        methods.payment_methods,
        catalog.products,
        catalog.prices,
        subscription.subscriptions,
        subscription.subscription_schedules,
        invoice.invoices,
        adjustments.invoiceitems,
        adjustments.credit_notes,
        payment.charges,
        payment.refunds,
        payment.balance_transactions,
        intents.payment_intents,
        transfers.payouts,
        risk.disputes,
        risk.early_fraud_warnings,
        risk.reviews,
        log.events,
        checkout.checkout_sessions,
        intents.setup_intents,
        checkout.payment_links,
        quotes.quotes,
        discounts.coupons,
        discounts.promotion_codes,
        taxes.tax_rates,
        taxes.shipping_rates,
        account.accounts,
        transfers.transfers,
        transfers.application_fees,
        transfers.topups,
        account.files,
    )
}
