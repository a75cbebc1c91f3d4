"""Connected accounts, and files."""

from ingest_shared.tables import bigint, boolean, epoch, json, text
from stripe_location.source.tables.columns import object_table

accounts = object_table(
    name="accounts",
    description="Connected accounts.",
    columns=(
        text("type", "standard, express, custom or none."),
        text("business_type", "individual, company, non_profit or government_entity."),
        text("country", "Country."),
        text("email", "E-mail address."),
        text("default_currency", "Currency."),
        boolean("charges_enabled", "Whether it can take payments."),
        boolean("payouts_enabled", "Whether it can be paid out."),
        boolean("details_submitted", "Whether its details are complete."),
        json("business_profile", "What its customers see about it."),
        json("capabilities", "What it may do."),
        json("company", "Company that it belongs to."),
        json("controller", "Who controls it."),
        json("external_accounts", "Bank accounts and cards it is paid out to, as the list shows them."),
        json("future_requirements", "Requirements that will come into effect."),
        json("groups", "Groups that it belongs to."),
        json("requirements", "Requirements that it must meet."),
        json("settings", "Settings."),
        json("tos_acceptance", "When it agreed to the terms."),
    ),
    lacks=("livemode",),
    unused=("deleted", "individual"),
)

files = object_table(
    name="files",
    description="Files that were uploaded, or created by Stripe; their contents are not loaded.",
    columns=(
        text("filename", "Name."),
        text("purpose", "What it is for."),
        text("type", "Format: pdf, png, csv, ..."),
        bigint("size", "Bytes."),
        text("title", "Title."),
        text("url", "Where it can be read with a secret key."),
        epoch("expires_at", "When it is deleted."),
        json("links", "Links to it."),
    ),
    lacks=("livemode", "metadata"),
)
