-- The subscriptions that are now active, past_due or trialing: each with its monthly recurring revenue (0 in a trial:
-- see subscription_mrr), the time since which it has been in its current state, and the time at which it will end, if
-- known.

SELECT
    s.account_id,
    s.livemode,
    s.id AS subscription_id,
    s.customer,
    s.status,
    s.currency,
    m.mrr,
    m.items_not_counted,
    m.discounts_not_counted,
    s.start_date,
    m.valid_from AS in_this_state_since,
    s.trial_end,
    s.cancel_at,
    s.cancel_at_period_end
FROM {subscriptions} AS s
LEFT JOIN {subscription_mrr} AS m
    ON m.account_id = s.account_id AND m.subscription_id = s.id AND m.valid_to IS NULL
WHERE s.status IN ('active', 'past_due', 'trialing') AND s.deleted_at IS NULL
