"""Offers that become invoices and subscriptions."""

from ingest_shared.tables import double, epoch, json, text
from stripe_location.source.tables.columns import amounts, object_table
from stripe_location.source.tables.line_items import line_items

quotes = object_table(
    name="quotes",
    description="Offers to customers.",
    columns=(
        text("number", "Number shown to the customer."),
        text("status", "draft, open, accepted or canceled."),
        text("customer", "Customer.", to="customers"),
        text("customer_account", "The customer in version 2 of Accounts."),
        text("currency", "Currency."),
        *amounts(
            amount_subtotal="Sum before discounts and taxes",
            amount_total="Sum after discounts and taxes",
            application_fee_amount="Fee of the application",
        ),
        double("application_fee_percent", "Share of the application, in percent."),
        text("collection_method", "charge_automatically or send_invoice."),
        text("description", "Description."),
        text("header", "Header."),
        text("footer", "Footer."),
        epoch("expires_at", "When it expires."),
        epoch("accepted_at", "When it was accepted.", path="status_transitions.accepted_at"),
        epoch("canceled_at", "When it was canceled.", path="status_transitions.canceled_at"),
        epoch("finalized_at", "When it became final.", path="status_transitions.finalized_at"),
        text("invoice", "Invoice that it became.", to="invoices"),
        text("subscription", "Subscription that it became.", to="subscriptions"),
        text("subscription_schedule", "Schedule that it became.", to="subscription_schedules"),
        text("application", "Connect application that made it."),
        text("on_behalf_of", "Account it was made for."),
        text("test_clock", "Test clock it belongs to."),
        json("automatic_tax", "Settings of automatic tax."),
        json("computed", "Sums of the first payment and of later ones."),
        json("default_tax_rates", "Tax rates."),
        json("discounts", "Discounts."),
        json("from_quote", "Quote that it continues."),
        json("invoice_settings", "Settings of its invoices."),
        json("subscription_data", "Settings of its subscription."),
        json("total_details", "Discounts, shipping and taxes in the sum."),
        json("transfer_data", "Where the money goes."),
    ),
    children=(line_items("quote_line_items", "quote_id", "Quote."),),
    unused=("status_transitions.*", "line_items.*"),
)
