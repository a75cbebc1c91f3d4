"""How customers pay: their cards, bank accounts and wallets."""

from ingest_shared.tables import json, text
from stripe_location.source.tables.columns import object_table

TYPES = """
acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum blik
boleto card card_present cashapp crypto custom customer_balance eps fpx giropay grabpay ideal interac_present
kakao_pay klarna konbini kr_card link mb_way mobilepay multibanco naver_pay nz_bank_account oxxo p24 pay_by_bank
payco paynow paypal paypay payto pix promptpay revolut_pay samsung_pay satispay scalapay sepa_debit sequra sofort
sunbit swish twint upi us_bank_account wechat_pay zip
""".split()
"""Each has its own object, which only payment methods of that type have."""

payment_methods = object_table(
    name="payment_methods",
    description="How customers pay; a detached one stays, without a customer.",
    limits="Payment methods that were detached before the first load, or that no customer ever had.",
    columns=(
        text("customer", "Customer that it is attached to.", to="customers"),
        text("customer_account", "The customer in version 2 of Accounts."),
        text("type", "card, us_bank_account, sepa_debit, paypal, ..."),
        text("allow_redisplay", "Whether it may be shown to its customer again: always, limited or unspecified."),
        json("billing_details", "Name and address of the payer."),
        *(json(type_, f"Details of the type {type_}.") for type_ in TYPES),
        json("radar_options", "Settings of Radar."),
    ),
)
