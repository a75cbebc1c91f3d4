"""The permission that a restricted key needs for each table, by Stripe's own names.

https://docs.stripe.com/stripe-apps/reference/permissions; error messages put ``rak_`` before them.
"""

from collections.abc import Mapping

PERMISSIONS: Mapping[str, str] = {
    "customers": "customer_read",
    "payment_methods": "payment_method_read",
    "products": "product_read",
    "prices": "plan_read",
    "subscriptions": "subscription_read",
    "subscription_schedules": "subscription_read",
    "invoices": "invoice_read",
    "invoiceitems": "invoice_read",
    "credit_notes": "credit_note_read",
    "charges": "charge_read",
    "refunds": "charge_read",
    "balance_transactions": "balance_transaction_source_read",
    "payment_intents": "payment_intent_read",
    "payouts": "payout_read",
    "disputes": "dispute_read",
    "early_fraud_warnings": "",
    "reviews": "review_read",
    "events": "event_read",
    "checkout_sessions": "checkout_session_read",
    "setup_intents": "setup_intent_read",
    "payment_links": "payment_links_read",
    "quotes": "quote_read",
    "coupons": "coupon_read",
    "promotion_codes": "promotion_code_read",
    "tax_rates": "tax_rate_read",
    "shipping_rates": "shipping_rate_read",
    "accounts": "connected_account_read",
    "transfers": "transfer_read",
    "application_fees": "application_fee_read",
    "topups": "top_up_read",
    "files": "file_read",
}
"""Empty if Stripe publishes none: without the permission, the gap names it."""
