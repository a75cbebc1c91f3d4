-- Monthly recurring revenue of each subscription in each of its states, in units of its currency.
-- Counted: price times quantity of every licensed item, normalized to a month: a year is 12 months or 365 days, so
-- a price per day counts 365/12 times, per week 365/84 times, per month once, per year 1/12 times, each divided by
-- the price's interval_count; rounded to four places. Counted while the status is active or past_due; 0 otherwise, so
-- a trial, and what is unpaid, paused, incomplete or canceled counts 0: Stripe's own rule,
-- https://docs.stripe.com/billing/subscriptions/analytics/glossary
-- Not counted: taxes; discounts (it is the revenue before them); metered prices; and, as `items_not_counted`, items
-- whose price is tiered, transforms the quantity, or is not loaded.

WITH priced AS (
    SELECT
        i.account_id,
        i.subscription_id,
        i.valid_from,
        i.event,
        p.recurring_usage_type = 'metered' AS is_metered,
        CASE
            WHEN p.billing_scheme = 'per_unit' AND p.transform_quantity IS NULL THEN
                CAST(p.unit_amount_exact AS DECIMAL(18, 6)) * CAST(i.quantity AS DECIMAL(12, 0))
                * CASE p.recurring_interval WHEN 'day' THEN 365 * 7 WHEN 'week' THEN 365 WHEN 'month' THEN 84 ELSE 7 END
        END AS amount,
        84 * p.recurring_interval_count
        * CASE
            WHEN p.currency IN ({zero_decimals}) THEN 1 WHEN p.currency IN ({three_decimals}) THEN 1000 ELSE 100
        END AS divisor
    FROM {subscription_state_items} AS i
    LEFT JOIN {prices} AS p ON p.account_id = i.account_id AND p.id = i.price
),
summed AS (
    SELECT
        account_id,
        subscription_id,
        valid_from,
        event,
        sum(round(amount / divisor, 4)) AS mrr,
        count(*) - count(amount) AS items_not_counted
    FROM priced
    WHERE is_metered IS NULL OR NOT is_metered
    GROUP BY account_id, subscription_id, valid_from, event
)
SELECT
    h.account_id,
    h.livemode,
    h.subscription_id,
    h.valid_from,
    h.valid_to,
    h.customer,
    h.status,
    h.currency,
    CAST(
        CASE WHEN h.status IN ('active', 'past_due') THEN coalesce(s.mrr, 0) ELSE 0 END AS DECIMAL(28, 4)
    ) AS mrr,
    coalesce(s.items_not_counted, 0) AS items_not_counted
FROM {subscription_history} AS h
LEFT JOIN summed AS s
    ON
        s.account_id = h.account_id
        AND s.subscription_id = h.subscription_id
        AND s.valid_from = h.valid_from
        AND s.event = h.event
