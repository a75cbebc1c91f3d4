"""Taxes and shipping."""

from ingest_shared.tables import bigint, boolean, double, json, text
from stripe_location.source.money import decimal_of
from stripe_location.source.tables.columns import object_table

tax_rates = object_table(
    name="tax_rates",
    description="Tax rates.",
    columns=(
        text("display_name", "Name on invoices."),
        text("description", "Description."),
        boolean("active", "Whether it can be used."),
        boolean("inclusive", "Whether prices include it."),
        double("percentage", "Nominal percentage."),
        double("effective_percentage", "Effective percentage."),
        text("rate_type", "flat_amount or percentage."),
        text("tax_type", "vat, gst, sales_tax, ..."),
        text("country", "Country."),
        text("state", "State."),
        text("jurisdiction", "Jurisdiction on invoices."),
        text("jurisdiction_level", "city, county, state, country, ..."),
        json("flat_amount", "Amount of a tax that is not a percentage."),
    ),
)

shipping_rates = object_table(
    name="shipping_rates",
    description="What shipping costs.",
    columns=(
        text("display_name", "Name shown to customers."),
        boolean("active", "Whether it can be used."),
        text("type", "fixed_amount."),
        text("currency", "Currency.", path="fixed_amount.currency"),
        bigint("amount", "What it costs, in the currency's smallest unit.", path="fixed_amount.amount"),
        decimal_of("amount", "What it costs, in units of the currency."),
        text("tax_behavior", "inclusive, exclusive or unspecified."),
        text("tax_code", "Tax code."),
        json("delivery_estimate", "How long it takes."),
    ),
    unused=("fixed_amount.*",),
)
