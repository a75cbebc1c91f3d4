"""The line items of sessions, links and quotes."""

from ingest_shared.tables import Child, bigint, json, text
from stripe_location.source.tables.columns import ID, METADATA, amounts, parent


def line_items(name: str, owner: str, description: str) -> Child:
    """The child table with an object's line items; the column ``owner`` names the object."""
    return Child(
        name=name,
        description=f"All line items of each {description.removesuffix('.').lower()}.",
        path="line_items.data",
        more="line_items.has_more",
        key=("account_id", owner, "id"),
        columns=(
            *parent(owner, description),
            ID,
            text("description", "What is sold."),
            text("price", "Price.", to="prices", path="price.id"),
            text("product", "Product.", to="products", path="price.product"),
            bigint("quantity", "Number of units."),
            text("currency", "Currency."),
            *amounts(
                amount_subtotal="Sum before discounts and taxes",
                amount_discount="Discounts",
                amount_tax="Taxes",
                amount_total="Sum after discounts and taxes",
            ),
            json("adjustable_quantity", "Whether the customer can change the quantity."),
            json("discounts", "Discounts."),
            json("taxes", "Taxes by amount."),
            METADATA,
        ),
        unused=("object", "price.*"),
    )
