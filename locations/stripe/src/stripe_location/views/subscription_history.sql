-- What each subscription was, and from when to when: a row for each of its states; `valid_to` is null in the last.
-- A state comes from an event, or from a load if no event shows it (`source` seen: how long it existed before the load
-- is unknown). Before the first known event, states are inferred: active since its creation or the end of its trial,
-- with the items and discounts of that time. Of several states in one second, the last counts. A state consists of the
-- customer, the status, the items with price and quantity, the discounts, and whether the subscription ends with its
-- period; other changes do not begin a new state.

WITH last_of_a_second AS (
    SELECT
        s.*,
        row_number() OVER (
            PARTITION BY s.account_id, s.subscription_id, s.valid_from ORDER BY s.place DESC, s.event DESC
        ) AS from_last
    FROM {subscription_states} AS s
),
with_before AS (
    SELECT
        s.*,
        lag(s.state) OVER (PARTITION BY s.account_id, s.subscription_id ORDER BY s.valid_from) AS state_before
    FROM last_of_a_second AS s
    WHERE s.from_last = 1
)
SELECT
    account_id,
    livemode,
    subscription_id,
    valid_from,
    lead(valid_from) OVER (PARTITION BY account_id, subscription_id ORDER BY valid_from) AS valid_to,
    customer,
    status,
    currency,
    cancel_at_period_end,
    discounts,
    source,
    event
FROM with_before
WHERE state_before IS NULL OR state_before <> state
