"""What happened in the account."""

from ingest_shared.tables import bigint, json, text
from stripe_location.source.tables.columns import object_table

events = object_table(
    name="events",
    description="What happened in the account, kept forever; Stripe itself keeps 30 days.",
    columns=(
        text("type", "What happened, such as invoice.paid."),
        text("api_version", "Version in which the object is rendered."),
        json("data", "The object at that time, and what it was before."),
        text("request_id", "Request that caused it.", path="request.id"),
        text("idempotency_key", "The key of that request.", path="request.idempotency_key"),
        bigint("pending_webhooks", "Webhooks that have not been notified yet.", volatile=True),
        text("context", "Where it happened, in version 2 of Accounts."),
        text("connected_account", "Connected account it comes from.", path="account"),
    ),
    lacks=("metadata",),
    unused=("request.*",),
)
