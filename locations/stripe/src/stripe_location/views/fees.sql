-- Fees in each month (UTC), by currency of the balance and by reporting category of the balance transaction that they
-- were taken for: https://docs.stripe.com/reports/reporting-categories
-- A fee is either a part of its transaction (its `fee`) or a transaction of its own (category fee or network_cost, with
-- an amount below zero). Refunded fees are subtracted.

SELECT
    account_id,
    livemode,
    CAST(date_trunc('month', created AT TIME ZONE 'UTC') AS DATE) AS month,
    currency,
    reporting_category AS taken_for,
    count(*) AS transactions,
    CAST(
        sum(fee_decimal + CASE WHEN reporting_category IN ('fee', 'network_cost') THEN -amount_decimal ELSE 0 END)
        AS DECIMAL(38, 3)
    ) AS fees
FROM {balance_transactions}
WHERE deleted_at IS NULL AND (fee <> 0 OR reporting_category IN ('fee', 'network_cost'))
GROUP BY account_id, livemode, date_trunc('month', created AT TIME ZONE 'UTC'), currency, reporting_category
