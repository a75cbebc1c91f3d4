-- What fees cost in each month in UTC, by currency of the balance and by what they were taken for: the reporting
-- category of the balance transaction, https://docs.stripe.com/reports/reporting-categories
-- A fee is a part of its transaction (its `fee`), or a transaction of its own (category fee or network_cost, whose
-- amount is below zero). Fees that were given back count against them.

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
