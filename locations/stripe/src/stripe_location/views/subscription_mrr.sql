-- Monthly recurring revenue of each subscription in each of its states, in units of its currency.
-- Counted: price times quantity of every licensed item, normalized to a month: a year is 12 months or 365 days, so a
-- price per day counts 365/12 times, per week 365/84 times, per month once, per year 1/12 times, each divided by the
-- price's interval_count. Minus the subscription's discounts that last forever: first the percentages, one after the
-- other, then the amounts, each once per invoice (as often as the item that is billed most often), and never below 0;
-- rounded to four places. Counted while the status is active or past_due and 0 otherwise, so a trial, and what is
-- unpaid, paused, incomplete or canceled, counts 0. These are Stripe's own rules:
-- https://support.stripe.com/questions/billing-analytics
-- https://docs.stripe.com/billing/subscriptions/analytics/glossary
-- Not counted: taxes; discounts that end (once, repeating: the revenue is that after their end), and those of single
-- items and of the customer; that a coupon applies to only some products; metered prices. Shown, since they cannot be
-- determined: as `items_not_counted`, items whose price is tiered, transforms the quantity, or is not loaded; as
-- `discounts_not_counted`, discounts whose coupon is unknown or takes off an amount in another currency.

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
        CASE p.recurring_interval WHEN 'day' THEN 365 * 7 WHEN 'week' THEN 365 WHEN 'month' THEN 84 ELSE 7 END AS times,
        84 * p.recurring_interval_count AS parts,
        CASE
            WHEN p.currency IN ({zero_decimals}) THEN 1 WHEN p.currency IN ({three_decimals}) THEN 1000 ELSE 100
        END AS units
    FROM {subscription_state_items} AS i
    LEFT JOIN {prices} AS p ON p.account_id = i.account_id AND p.id = i.price
),
summed AS (
    SELECT
        account_id,
        subscription_id,
        valid_from,
        event,
        sum(round(amount / (parts * units), 4)) AS mrr,
        max(CAST(times AS DOUBLE PRECISION) / parts) AS invoices_a_month,
        count(*) - count(amount) AS items_not_counted
    FROM priced
    WHERE is_metered IS NULL OR NOT is_metered
    GROUP BY account_id, subscription_id, valid_from, event
),
discounted AS (
    SELECT
        h.account_id,
        h.subscription_id,
        h.valid_from,
        h.event,
        count(CASE WHEN c.percent_off IS NOT NULL OR c.currency = h.currency THEN 1 END) AS counted,
        CASE
            WHEN max(CASE WHEN c.duration = 'forever' THEN c.percent_off END) >= 100 THEN 0
            ELSE coalesce(exp(sum(CASE WHEN c.duration = 'forever' AND c.percent_off < 100 THEN ln(1 - c.percent_off / 100) END)), 1)
        END AS share_left,
        coalesce(
            sum(CASE WHEN c.duration = 'forever' AND c.currency = h.currency THEN c.amount_off_decimal END), 0
        ) AS amount_off
    FROM {subscription_history} AS h
    INNER JOIN {subscription_discounts} AS d
        ON
            d.account_id = h.account_id
            AND d.subscription_id = h.subscription_id
            AND strpos(CAST(h.discounts AS VARCHAR), '"' || d.id || '"') > 0
    INNER JOIN {coupons} AS c ON c.account_id = d.account_id AND c.id = d.coupon
    GROUP BY h.account_id, h.subscription_id, h.valid_from, h.event
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
        CASE
            WHEN h.status NOT IN ('active', 'past_due') THEN 0
            WHEN d.counted IS NULL THEN coalesce(s.mrr, 0)
            ELSE round(CAST(
                greatest(coalesce(s.mrr, 0) * d.share_left - d.amount_off * coalesce(s.invoices_a_month, 0), 0)
                AS DECIMAL(28, 8)
            ), 4)
        END AS DECIMAL(28, 4)
    ) AS mrr,
    coalesce(s.items_not_counted, 0) AS items_not_counted,
    -- An id stands between two quotation marks.
    CAST((length(h.ids) - length(replace(h.ids, '"', ''))) / 2 AS BIGINT) - coalesce(d.counted, 0)
        AS discounts_not_counted
FROM (SELECT *, coalesce(CAST(discounts AS VARCHAR), '') AS ids FROM {subscription_history}) AS h
LEFT JOIN summed AS s
    ON
        s.account_id = h.account_id
        AND s.subscription_id = h.subscription_id
        AND s.valid_from = h.valid_from
        AND s.event = h.event
LEFT JOIN discounted AS d
    ON
        d.account_id = h.account_id
        AND d.subscription_id = h.subscription_id
        AND d.valid_from = h.valid_from
        AND d.event = h.event
