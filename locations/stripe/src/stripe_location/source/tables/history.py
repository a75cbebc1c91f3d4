"""The history of subscriptions and their discounts: derived from events and subscriptions, not from a list of
Stripe's."""

from ingest_shared.tables import Child, Table, bigint, boolean, epoch, json, text
from stripe_location.source.tables.columns import API

_OWNER = (
    text("account_id", "Stripe account.", origin="parent"),
    text("subscription_id", "Subscription.", origin="parent"),
    epoch("valid_from", "When the state began.", origin="parent"),
    text("event", "Event that shows it; empty if there is none.", origin="parent"),
)
subscription_discounts = Table(
    name="subscription_discounts",
    description="The coupon of each discount of a subscription, including ended discounts.",
    docs=f"{API}/discounts/object",
    key=("account_id", "id"),
    columns=(
        text("account_id", "Stripe account."),
        text("id", "Id of the discount, as subscription_states names it."),
        text("subscription_id", "Subscription."),
        text("coupon", "Coupon."),
        boolean("livemode", "False for data of the test mode."),
    ),
)
subscription_states = Table(
    name="subscription_states",
    description="The states of each subscription, as events show them; the view subscription_history joins them.",
    docs=f"{API}/events/types",
    key=("account_id", "subscription_id", "valid_from", "event"),
    columns=(
        text("account_id", "Stripe account."),
        text("subscription_id", "Subscription."),
        epoch("valid_from", "When the state began."),
        text("event", "Event that shows it; empty if there is none."),
        bigint("place", "Order among the states of the same second."),
        text("source", "event, seen (found by a load, not shown by an event) or inferred (before the first event)."),
        text("state", "Equal for states that do not differ in any of the following columns."),
        text("customer", "Customer."),
        text("status", "incomplete, trialing, active, past_due, unpaid, paused, canceled, ..."),
        text("currency", "Currency."),
        boolean("cancel_at_period_end", "Whether it was to end with the period."),
        json("discounts", "Ids of its discounts."),
        boolean("livemode", "False for data of the test mode."),
    ),
    children=(
        Child(
            name="subscription_state_items",
            description="The items of each subscription in each of its states.",
            path="items",
            key=("account_id", "subscription_id", "valid_from", "event", "id"),
            columns=(
                *_OWNER,
                text("id", "Id of the subscription item."),
                text("price", "Price."),
                bigint("quantity", "Number of units."),
            ),
        ),
    ),
)
