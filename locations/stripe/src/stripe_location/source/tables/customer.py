"""Who is billed."""

from ingest_shared.tables import Table, bigint, boolean, json, text
from stripe_location.source.tables.columns import API, amounts, identified

customers = Table(
    name="customers",
    description="Customers, also deleted ones (deleted_at).",
    docs=f"{API}/customers/object",
    key=("account_id", "id"),
    columns=identified(
        text("name", "Full name or business name."),
        text("email", "E-mail address."),
        text("phone", "Telephone number."),
        text("description", "What the account notes about the customer."),
        text("currency", "Currency in which the customer is billed."),
        *amounts(balance="What is credited (negative) or owed on the next invoice"),
        boolean("delinquent", "Whether the latest invoice is overdue."),
        json("address", "Postal address."),
        json("shipping", "Shipping address and name."),
        json("discount", "Discount in force."),
        json("invoice_settings", "Default settings of the customer's invoices."),
        json("preferred_locales", "Languages, best liked first."),
        text("default_source", "Default payment source."),
        text("invoice_prefix", "Prefix of the customer's invoice numbers."),
        bigint("next_invoice_sequence", "Number of the customer's next invoice."),
        text("tax_exempt", "none, exempt or reverse."),
        text("test_clock", "Test clock that the customer belongs to."),
    ),
    unused=(*"object deleted sources subscriptions tax tax_ids cash_balance invoice_credit_balance".split(),),
)
