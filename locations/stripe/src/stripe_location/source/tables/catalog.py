"""What is sold, and for how much."""

from ingest_shared.tables import Child, bigint, boolean, decimal, epoch, json, text
from stripe_location.source.tables.columns import POSITION, amounts, object_table, parent

products = object_table(
    name="products",
    description="What is sold, also deleted products (deleted_at).",
    columns=(
        text("name", "Name shown to the customer."),
        text("description", "Description shown to the customer."),
        boolean("active", "Whether it can be bought."),
        text("type", "good or service."),
        text("default_price", "Default price."),
        text("statement_descriptor", "Text on the customer's bank statement."),
        text("tax_code", "Tax code."),
        json("tax_details", "Where and how it is taxed."),
        text("unit_label", "Name of one unit."),
        text("url", "Public page of the product."),
        boolean("shippable", "Whether it is shipped."),
        json("package_dimensions", "Size and weight for shipping."),
        json("attributes", "Attributes of a good."),
        json("images", "Addresses of pictures."),
        json("marketing_features", "Features shown in pricing tables."),
        epoch("updated", "When it was last changed."),
    ),
    unused=("deleted",),
)

prices = object_table(
    name="prices",
    description="Prices of products, one-time or recurring; inline ones too, once a row names them.",
    columns=(
        text("product", "Product.", to="products"),
        boolean("active", "Whether it can be used."),
        text("nickname", "Internal name."),
        text("type", "one_time or recurring."),
        text("currency", "Currency."),
        *amounts(unit_amount="Price of a unit (null if it has a fraction or tiers)"),
        decimal("unit_amount_exact", "Price of a unit in minor units with fractions.", path="unit_amount_decimal"),
        text("billing_scheme", "per_unit or tiered."),
        text("tiers_mode", "graduated or volume."),
        text("lookup_key", "Key by which the account looks it up."),
        text("tax_behavior", "inclusive, exclusive or unspecified."),
        text("recurring_interval", "day, week, month or year.", path="recurring.interval"),
        bigint("recurring_interval_count", "Intervals between two bills.", path="recurring.interval_count"),
        text("recurring_usage_type", "licensed or metered.", path="recurring.usage_type"),
        text("recurring_meter", "Meter whose usage is billed.", path="recurring.meter"),
        json("currency_options", "What it costs in other currencies."),
        json("custom_unit_amount", "Limits if the customer chooses the amount."),
        json("transform_quantity", "How usage is turned into a quantity."),
    ),
    children=(
        Child(
            name="price_tiers",
            description="What the first units cost, then the next ones, and so on.",
            path="tiers",
            key=("account_id", "price_id", "position"),
            columns=(
                *parent("price_id", "Price."),
                POSITION,
                bigint("up_to", "Last unit of the tier; null if it has no end."),
                text("currency", "Currency of the price.", origin="parent"),
                *amounts(
                    unit_amount="Price of a unit (null if it has a fraction)",
                    flat_amount="Flat fee of the tier (null if it has a fraction)",
                ),
                decimal(
                    "unit_amount_exact", "Price of a unit in minor units with fractions.", path="unit_amount_decimal"
                ),
                decimal(
                    "flat_amount_exact",
                    "Flat fee of the tier, in minor units with fractions.",
                    path="flat_amount_decimal",
                ),
            ),
        ),
    ),
    unused=("deleted", "recurring.*"),
)
