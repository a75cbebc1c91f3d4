"""What subscriptions were and had: made here from events and subscriptions, and no list of Stripe's."""

from ingest_shared.tables import Child, Table, bigint, boolean, epoch, json, text
from stripe_location.source.tables.columns import API

_OWNER = (
    text("account_id", "Stripe account.", origin="parent"),
    text("subscription_id", "Subscription.", origin="parent"),
    epoch("valid_from", "Since when it was so.", origin="parent"),
    text("event", "Event that shows it; empty where none does.", origin="parent"),
)
subscription_discounts = Table(
    name="subscription_discounts",
    description="Which coupon each discount of a subscription takes off, also of discounts that are over.",
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
    description="What each subscription was, by the events that show it; the view subscription_history joins them.",
    docs=f"{API}/events/types",
    key=("account_id", "subscription_id", "valid_from", "event"),
    columns=(
        text("account_id", "Stripe account."),
        text("subscription_id", "Subscription."),
        epoch("valid_from", "Since when it was so."),
        text("event", "Event that shows it; empty where none does."),
        bigint("place", "Order among the states of one second."),
        text("source", "event, seen (a load found it so, and no event shows it) or inferred (before the first event)."),
        text("state", "The same for states that differ in nothing of what follows."),
        text("customer", "Customer."),
        text("status", "incomplete, trialing, active, past_due, unpaid, paused, canceled, ..."),
        text("currency", "Currency."),
        boolean("cancel_at_period_end", "Whether it ended with the period of then."),
        json("discounts", "Ids of its discounts."),
        boolean("livemode", "False for data of the test mode."),
    ),
    children=(
        Child(
            name="subscription_state_items",
            description="What each subscription billed in each of its states.",
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
