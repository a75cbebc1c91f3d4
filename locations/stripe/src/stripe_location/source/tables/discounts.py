"""Coupons and promotion codes."""

from ingest_shared.tables import bigint, boolean, double, epoch, json, text
from stripe_location.source.tables.columns import amounts, object_table

coupons = object_table(
    name="coupons",
    description="Discounts for invoices; also deleted coupons (deleted_at).",
    columns=(
        text("name", "Name shown to customers."),
        text("duration", "once, repeating or forever."),
        bigint("duration_in_months", "Months that a repeating coupon lasts."),
        double("percent_off", "Share that is taken off, in percent."),
        text("currency", "Currency of amount_off."),
        *amounts(amount_off="What is taken off"),
        boolean("valid", "Whether it can be used."),
        bigint("max_redemptions", "How often it can be used in all."),
        bigint("times_redeemed", "How often it was used."),
        epoch("redeem_by", "Until when it can be used."),
    ),
    unused=(*"deleted applies_to currency_options".split(),),
)

promotion_codes = object_table(
    name="promotion_codes",
    description="Codes by which customers get a coupon.",
    columns=(
        text("code", "The word."),
        text("coupon", "Coupon.", to="coupons", path="promotion.coupon"),
        boolean("active", "Whether it can be used."),
        text("customer", "Customer.", to="customers"),
        text("customer_account", "The customer in version 2 of Accounts."),
        bigint("max_redemptions", "How often it can be used in all."),
        bigint("times_redeemed", "How often it was used."),
        epoch("expires_at", "Until when it can be used."),
        json("restrictions", "Who may use it, and for what."),
    ),
    unused=("promotion.*",),
)
