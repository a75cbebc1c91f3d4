-- What customers owe now, by age: the remaining amounts of invoices with the status open, by customer and currency. An
-- invoice is due at its due_date or, if it has none because it is charged automatically, when it became final. not_due:
-- due later than now; the other columns: by whole days since it was due. `invoices` is the number of invoices. Drafts,
-- and invoices that are paid, void or marked as uncollectible, are not included.

WITH aged AS (
    SELECT
        account_id,
        livemode,
        customer,
        currency,
        amount_remaining_decimal AS amount,
        coalesce(due_date, finalized_at, created) AS due,
        now() AS until
    FROM {invoices}
    WHERE status = 'open' AND deleted_at IS NULL
)
SELECT
    account_id,
    livemode,
    customer,
    currency,
    count(*) AS invoices,
    CAST(sum(amount) AS DECIMAL(38, 3)) AS open_amount,
    CAST(sum(CASE WHEN due > until THEN amount ELSE 0 END) AS DECIMAL(38, 3)) AS not_due,
    CAST(
        sum(CASE WHEN due <= until AND due > until - INTERVAL '31 days' THEN amount ELSE 0 END) AS DECIMAL(38, 3)
    ) AS days_0_to_30,
    CAST(
        sum(CASE WHEN due <= until - INTERVAL '31 days' AND due > until - INTERVAL '61 days' THEN amount ELSE 0 END)
        AS DECIMAL(38, 3)
    ) AS days_31_to_60,
    CAST(
        sum(CASE WHEN due <= until - INTERVAL '61 days' AND due > until - INTERVAL '91 days' THEN amount ELSE 0 END)
        AS DECIMAL(38, 3)
    ) AS days_61_to_90,
    CAST(sum(CASE WHEN due <= until - INTERVAL '91 days' THEN amount ELSE 0 END) AS DECIMAL(38, 3)) AS days_over_90
FROM aged
GROUP BY account_id, livemode, customer, currency
