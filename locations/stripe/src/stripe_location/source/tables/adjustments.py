"""Additions to later invoices, and reductions of earlier ones."""

from ingest_shared.tables import Child, bigint, boolean, decimal, epoch, json, text
from stripe_location.source.tables.columns import ID, LIVEMODE, METADATA, amounts, object_table, parent

invoiceitems = object_table(
    name="invoiceitems",
    description="Items for later invoices, and which invoice billed them; also deleted items (deleted_at).",
    limits="Edits of an item that is on an invoice: Stripe writes no event for some, and the audit finds those.",
    columns=(
        text("customer", "Customer.", to="customers"),
        text("customer_account", "The customer in version 2 of Accounts."),
        text("invoice", "Invoice that bills it.", to="invoices"),
        text("description", "What is billed."),
        text("currency", "Currency."),
        *amounts(
            amount="What is billed before discounts",
            net_amount="What is billed after discounts",
        ),
        bigint("quantity", "Number of units."),
        decimal("quantity_exact", "Number of units with fractions.", path="quantity_decimal"),
        text("price", "Price.", to="prices", path="pricing.price_details.price"),
        text("product", "Product.", to="products", path="pricing.price_details.product"),
        decimal(
            "unit_amount_exact", "Price of a unit in minor units with fractions.", path="pricing.unit_amount_decimal"
        ),
        text("subscription", "Subscription that it belongs to.", path="parent.subscription_details.subscription"),
        text(
            "subscription_item",
            "Subscription item that it belongs to.",
            path="parent.subscription_details.subscription_item",
        ),
        boolean("proration", "Whether it corrects for a change within the period."),
        boolean("discountable", "Whether discounts apply."),
        epoch("date", "When it was made."),
        epoch("period_start", "Start of the period it bills.", path="period.start"),
        epoch("period_end", "End of the period it bills.", path="period.end"),
        text("test_clock", "Test clock it belongs to."),
        json("discounts", "Discounts."),
        json("frozen_fields", "Fields that cannot change any more."),
        json("invoicing_rules", "When it is billed."),
        json("proration_details", "What it corrects."),
        json("tax_rates", "Tax rates."),
    ),
    lacks=("created",),
    unused=(*"deleted period.* pricing.* parent.*".split(),),
)

credit_notes = object_table(
    name="credit_notes",
    description="Reductions of invoices after they became final.",
    columns=(
        text("number", "Number shown to the customer."),
        text("invoice", "Invoice.", to="invoices"),
        text("customer", "Customer.", to="customers"),
        text("customer_account", "The customer in version 2 of Accounts."),
        text("status", "issued or void."),
        text("type", "pre_payment, post_payment or mixed."),
        text("reason", "Why it was made."),
        text("memo", "What the customer is told."),
        text("currency", "Currency."),
        *amounts(
            amount="What is credited",
            amount_shipping="Shipping in it",
            discount_amount="Discounts that were taken off",
            out_of_band_amount="What was given back outside Stripe",
            pre_payment_amount="What was credited before payment",
            post_payment_amount="What was credited after payment",
            subtotal="Sum before discounts and taxes that are exclusive",
            subtotal_excluding_tax="Subtotal without any tax",
            total="Sum after discounts and taxes",
            total_excluding_tax="Total without any tax",
        ),
        text("customer_balance_transaction", "What it moved in the customer's balance."),
        text("pdf", "The credit note as a PDF.", volatile=True),
        epoch("effective_at", "Date shown on it."),
        epoch("voided_at", "When it was voided."),
        json("discount_amounts", "Discounts by amount."),
        json("pretax_credit_amounts", "Credits before tax."),
        json("refunds", "Refunds that pay it."),
        json("shipping_cost", "Shipping costs and their taxes."),
        json("total_taxes", "Taxes by amount."),
    ),
    children=(
        Child(
            name="credit_note_lines",
            description="The lines of each credit note, all of them.",
            path="lines.data",
            more="lines.has_more",
            key=("account_id", "credit_note_id", "id"),
            columns=(
                *parent("credit_note_id", "Credit note."),
                ID,
                text("currency", "Currency of the credit note.", origin="parent"),
                text("type", "invoice_line_item or custom_line_item."),
                text("invoice_line_item", "Line of the invoice.", to="invoice_lines"),
                text("description", "What is credited."),
                *amounts(
                    amount="What is credited",
                    discount_amount="Discount that was taken off",
                    unit_amount="What a unit costs",
                ),
                decimal(
                    "unit_amount_exact", "Price of a unit in minor units with fractions.", path="unit_amount_decimal"
                ),
                bigint("quantity", "Number of units."),
                json("discount_amounts", "Discounts by amount."),
                json("pretax_credit_amounts", "Credits before tax."),
                json("tax_rates", "Tax rates."),
                json("taxes", "Taxes by amount."),
                LIVEMODE,
                METADATA,
            ),
            unused=("object",),
        ),
    ),
    unused=("lines.*",),
)
