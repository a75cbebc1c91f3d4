"""Who is billed."""

from ingest_shared.tables import Child, bigint, boolean, json, text
from stripe_location.source.tables.columns import CREATED, ID, LIVEMODE, amounts, object_table, parent

customers = object_table(
    name="customers",
    description="Customers, also deleted ones (deleted_at).",
    columns=(
        text("name", "Full name or business name."),
        text("business_name", "Name of the business."),
        text("individual_name", "Name of the person."),
        text("customer_account", "The same customer in version 2 of Accounts."),
        text("email", "E-mail address."),
        text("phone", "Telephone number."),
        text("description", "The account's note on the customer."),
        text("currency", "Currency in which the customer is billed."),
        *amounts(balance="What is credited (negative) or owed on the next invoice"),
        boolean("delinquent", "Whether the latest invoice is overdue."),
        json("address", "Postal address."),
        json("shipping", "Shipping address and name."),
        json("discount", "Discount in force."),
        json("invoice_settings", "Default settings of the customer's invoices."),
        json("preferred_locales", "Languages, in order of preference."),
        text("default_source", "Default payment source."),
        text("invoice_prefix", "Prefix of the customer's invoice numbers."),
        bigint("next_invoice_sequence", "Number of the customer's next invoice."),
        text("tax_exempt", "none, exempt or reverse."),
        text("test_clock", "Test clock that the customer belongs to."),
    ),
    children=(
        Child(
            name="customer_tax_ids",
            description="The tax ids of each customer, all of them.",
            path="tax_ids.data",
            more="tax_ids.has_more",
            key=("account_id", "customer_id", "id"),
            columns=(
                *parent("customer_id", "Customer."),
                ID,
                text("type", "eu_vat, us_ein, ..."),
                text("value", "The id."),
                text("country", "Country."),
                text(
                    "verification_status", "pending, verified, unverified or unavailable.", path="verification.status"
                ),
                text("verified_name", "Name on file with the authority.", path="verification.verified_name"),
                text("verified_address", "Address on file with the authority.", path="verification.verified_address"),
                LIVEMODE,
                CREATED,
            ),
            unused=(*"object deleted customer customer_account owner verification.*".split(),),
        ),
    ),
    unused=(*"deleted sources subscriptions tax tax_ids.* cash_balance invoice_credit_balance".split(),),
)
