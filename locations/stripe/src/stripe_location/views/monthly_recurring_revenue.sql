-- Monthly recurring revenue of each customer at the end of each month (UTC), and how it changed since the end of the
-- previous month; for the current month, as of now. Each currency has its own rows; currencies are never added.
-- new: the customer's first revenue in the currency; reactivation: revenue after at least one month's end without;
-- expansion, contraction: more or less than at the end of the previous month; churn: all of it is gone, in the first
-- month without (a row with mrr 0). In each row, mrr is that of the previous month plus new, reactivation and
-- expansion, minus contraction and churn. Revenue that comes and goes within a month does not appear. What counts as
-- revenue: see subscription_mrr.

WITH RECURSIVE months(month) AS (
    SELECT date_trunc('month', min(valid_from AT TIME ZONE 'UTC')) FROM {subscription_mrr}
    UNION ALL
    SELECT month + INTERVAL '1 month' FROM months WHERE month + INTERVAL '1 month' <= now() AT TIME ZONE 'UTC'
),
at_end AS (
    SELECT s.account_id, s.livemode, s.customer, s.currency, m.month, sum(s.mrr) AS mrr
    FROM months AS m
    INNER JOIN {subscription_mrr} AS s
        ON
            s.valid_from < (m.month + INTERVAL '1 month') AT TIME ZONE 'UTC'
            AND (s.valid_to IS NULL OR s.valid_to >= (m.month + INTERVAL '1 month') AT TIME ZONE 'UTC')
    WHERE s.mrr > 0
    GROUP BY s.account_id, s.livemode, s.customer, s.currency, m.month
),
neighbors AS (
    SELECT
        account_id, livemode, customer, currency, month, mrr,
        lag(mrr) OVER (PARTITION BY account_id, livemode, customer, currency ORDER BY month) AS mrr_before,
        lag(month) OVER (PARTITION BY account_id, livemode, customer, currency ORDER BY month) AS month_before,
        lead(month) OVER (PARTITION BY account_id, livemode, customer, currency ORDER BY month) AS month_after
    FROM at_end
),
moved AS (
    SELECT
        account_id, livemode, customer, currency, month, mrr,
        CASE WHEN month_before IS NULL THEN mrr ELSE 0 END AS new_mrr,
        CASE WHEN month_before < month - INTERVAL '1 month' THEN mrr ELSE 0 END AS reactivation,
        CASE WHEN month_before = month - INTERVAL '1 month' AND mrr > mrr_before THEN mrr - mrr_before ELSE 0 END AS expansion,
        CASE WHEN month_before = month - INTERVAL '1 month' AND mrr < mrr_before THEN mrr_before - mrr ELSE 0 END AS contraction,
        0 AS churn
    FROM neighbors
    UNION ALL
    SELECT account_id, livemode, customer, currency, month + INTERVAL '1 month', 0, 0, 0, 0, 0, mrr
    FROM neighbors
    WHERE
        (month_after IS NULL OR month_after > month + INTERVAL '1 month')
        AND month + INTERVAL '1 month' <= now() AT TIME ZONE 'UTC'
)
SELECT
    account_id,
    livemode,
    CAST(month AS DATE) AS month,
    customer,
    currency,
    CAST(mrr AS DECIMAL(28, 4)) AS mrr,
    CAST(new_mrr AS DECIMAL(28, 4)) AS new_mrr,
    CAST(reactivation AS DECIMAL(28, 4)) AS reactivation,
    CAST(expansion AS DECIMAL(28, 4)) AS expansion,
    CAST(contraction AS DECIMAL(28, 4)) AS contraction,
    CAST(churn AS DECIMAL(28, 4)) AS churn
FROM moved
