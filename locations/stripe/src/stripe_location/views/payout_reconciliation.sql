-- Each payout next to the balance movements that it paid out, by currency of the balance.
-- amount: what the payout sent; booked: what its balance transaction took from the balance (null if there is none yet);
-- is_booked: whether the two agree; brought_back: what a failure or a cancellation returned. earned: the net of all
-- movements except payouts since the previous payout, by the time of their creation; balance_after: what all movements
-- up to the payout leave. So balance_after is that of the previous payout plus earned, minus what payouts took.
-- Movements in the second of the payout count as before it. A manual payout, or an automatic one with a delay, leaves
-- the latest earnings in the balance: they are in balance_after.

WITH ledger AS (
    SELECT
        account_id,
        livemode,
        currency,
        created,
        net_decimal AS net,
        CASE WHEN reporting_category IN ('payout', 'payout_reversal') THEN 0 ELSE net_decimal END AS earned
    FROM {balance_transactions}
    WHERE deleted_at IS NULL
),
drawn AS (
    SELECT
        p.account_id,
        p.livemode,
        p.currency,
        p.id AS payout,
        p.status,
        p.automatic,
        p.created,
        p.arrival_date,
        p.reconciliation_status,
        p.amount_decimal AS amount,
        -t.net_decimal AS booked,
        coalesce(f.net_decimal, 0) AS brought_back,
        lag(p.created) OVER (
            PARTITION BY p.account_id, p.livemode, p.currency ORDER BY p.created, p.id
        ) AS created_before
    FROM {payouts} AS p
    LEFT JOIN {balance_transactions} AS t ON t.account_id = p.account_id AND t.id = p.balance_transaction
    LEFT JOIN {balance_transactions} AS f ON f.account_id = p.account_id AND f.id = p.failure_balance_transaction
    WHERE p.deleted_at IS NULL
),
movements AS (
    SELECT account_id, livemode, currency, created, sum(net) AS net, sum(earned) AS earned
    FROM ledger
    GROUP BY account_id, livemode, currency, created
),
running AS (
    SELECT
        account_id,
        livemode,
        currency,
        created,
        lead(created) OVER (PARTITION BY account_id, livemode, currency ORDER BY created) AS created_after,
        sum(net) OVER (PARTITION BY account_id, livemode, currency ORDER BY created) AS net,
        sum(earned) OVER (PARTITION BY account_id, livemode, currency ORDER BY created) AS earned
    FROM movements
)
SELECT
    d.account_id,
    d.livemode,
    d.currency,
    d.payout,
    d.status,
    d.automatic,
    d.created,
    d.arrival_date,
    d.reconciliation_status,
    CAST(d.amount AS DECIMAL(38, 3)) AS amount,
    CAST(d.booked AS DECIMAL(38, 3)) AS booked,
    coalesce(d.booked = d.amount, FALSE) AS is_booked,
    CAST(d.brought_back AS DECIMAL(38, 3)) AS brought_back,
    CAST(coalesce(r.earned, 0) - coalesce(b.earned, 0) AS DECIMAL(38, 3)) AS earned,
    CAST(coalesce(r.net, 0) AS DECIMAL(38, 3)) AS balance_after
FROM drawn AS d
LEFT JOIN running AS r
    ON
        r.account_id = d.account_id AND r.livemode = d.livemode AND r.currency = d.currency
        AND r.created <= d.created AND (r.created_after IS NULL OR r.created_after > d.created)
LEFT JOIN running AS b
    ON
        b.account_id = d.account_id AND b.livemode = d.livemode AND b.currency = d.currency
        AND b.created <= d.created_before AND (b.created_after IS NULL OR b.created_after > d.created_before)
