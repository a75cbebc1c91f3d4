"""What happened in the account."""

from ingest_shared.tables import Table, bigint, json, text
from stripe_location.source.tables.columns import ACCOUNT_ID, API, CREATED, DELETED_AT, ID, LIVEMODE

events = Table(
    name="events",
    description="What happened in the account, for ever; Stripe itself keeps 30 days.",
    docs=f"{API}/events/object",
    key=("account_id", "id"),
    columns=(
        ACCOUNT_ID,
        ID,
        text("type", "What happened, such as invoice.paid."),
        text("api_version", "Version in which the object is rendered."),
        json("data", "The object at that time, and what it was before."),
        text("request_id", "Request that caused it.", path="request.id"),
        text("idempotency_key", "The key of that request.", path="request.idempotency_key"),
        bigint("pending_webhooks", "Webhooks that are still to be told."),
        text("context", "Where it happened, in version 2 of Accounts."),
        text("connected_account", "Connected account it comes from.", path="account"),
        LIVEMODE,
        CREATED,
        DELETED_AT,
    ),
    unused=("object", "request.*"),
)
