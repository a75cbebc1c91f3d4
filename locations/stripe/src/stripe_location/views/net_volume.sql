-- What the account earned in each month (UTC), by currency of the balance, from its balance transactions by the time of
-- their creation, including pending ones; by Stripe's reporting categories:
-- https://docs.stripe.com/reports/reporting-categories
-- gross: charges; refunds: refunds and reversed captures, minus failed refunds; disputes: disputes, minus those that
-- were won; fees: the fees of all transactions, and transactions that are fees; net_volume: gross minus refunds,
-- disputes and fees. Payouts, top-ups, transfers and other movements are not part of it; other is their sum. Refunds,
-- disputes and fees are positive amounts. gross - refunds - disputes - fees + other is the change of the balance.

WITH signed AS (
    SELECT
        account_id,
        livemode,
        currency,
        CAST(date_trunc('month', created AT TIME ZONE 'UTC') AS DATE) AS month,
        fee_decimal AS fee,
        amount_decimal AS amount,
        CASE
            WHEN reporting_category = 'charge' THEN 'gross'
            WHEN reporting_category IN ('refund', 'refund_failure', 'partial_capture_reversal') THEN 'refunds'
            WHEN reporting_category IN ('dispute', 'dispute_reversal') THEN 'disputes'
            WHEN reporting_category IN ('fee', 'network_cost') THEN 'fees'
            ELSE 'other'
        END AS kind
    FROM {balance_transactions}
    WHERE deleted_at IS NULL
),
summed AS (
    SELECT
        account_id,
        livemode,
        month,
        currency,
        sum(CASE WHEN kind = 'gross' THEN amount ELSE 0 END) AS gross,
        sum(CASE WHEN kind = 'refunds' THEN -amount ELSE 0 END) AS refunds,
        sum(CASE WHEN kind = 'disputes' THEN -amount ELSE 0 END) AS disputes,
        sum(fee + CASE WHEN kind = 'fees' THEN -amount ELSE 0 END) AS fees,
        sum(CASE WHEN kind = 'other' THEN amount ELSE 0 END) AS other
    FROM signed
    GROUP BY account_id, livemode, month, currency
)
SELECT
    account_id,
    livemode,
    month,
    currency,
    CAST(gross AS DECIMAL(38, 3)) AS gross,
    CAST(refunds AS DECIMAL(38, 3)) AS refunds,
    CAST(disputes AS DECIMAL(38, 3)) AS disputes,
    CAST(fees AS DECIMAL(38, 3)) AS fees,
    CAST(gross - refunds - disputes - fees AS DECIMAL(38, 3)) AS net_volume,
    CAST(other AS DECIMAL(38, 3)) AS other
FROM summed
