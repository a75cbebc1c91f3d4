"""What sessions, links and quotes sell."""

from ingest_shared.tables import Child, bigint, json, text
from stripe_location.source.tables.columns import ID, METADATA, amounts, parent


def line_items(name: str, owner: str, description: str) -> Child:
    """The child table of what an object sells, with the column that names the object."""
    return Child(
        name=name,
        description="What each one sells, all of it.",
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
