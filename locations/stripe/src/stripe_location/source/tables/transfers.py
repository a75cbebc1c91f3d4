"""Money that moves between the balance, banks and connected accounts."""

from ingest_shared.tables import Child, boolean, epoch, json, text
from stripe_location.source.tables.columns import CREATED, ID, METADATA, amounts, object_table, parent

payouts = object_table(
    name="payouts",
    description="Money that is sent to the account's bank account.",
    columns=(
        text("status", "pending, in_transit, paid, failed or canceled."),
        text("type", "bank_account or card."),
        text("method", "standard or instant."),
        boolean("automatic", "Whether the account's schedule made it."),
        text("currency", "Currency."),
        *amounts(
            amount="What is sent",
            application_fee_amount="Fee of the application",
        ),
        epoch("arrival_date", "When it arrives."),
        text("balance_transaction", "Its effect.", to="balance_transactions"),
        text("failure_balance_transaction", "What a failure brought back."),
        text("failure_code", "Why it failed, as a code."),
        text("failure_message", "Why it failed."),
        text(
            "reconciliation_status",
            "Whether the list of its balance transactions is complete: completed, in_progress or not_applicable.",
        ),
        text("description", "Description."),
        text("statement_descriptor", "Text on the bank statement."),
        text("destination", "Bank account or card."),
        text("source_type", "Balance it comes from."),
        text("payout_method", "Financial account it goes to."),
        text("application_fee", "Application fee."),
        text("original_payout", "Payout that it reverses."),
        text("reversed_by", "Payout that reverses it."),
        json("trace_id", "Number by which banks trace it."),
    ),
)

topups = object_table(
    name="topups",
    description="Money that is taken from a bank account into the balance.",
    limits="Edits of only metadata and description: Stripe writes no event for them, so the audit finds them.",
    columns=(
        text("status", "pending, succeeded, failed, canceled or reversed."),
        text("currency", "Currency."),
        *amounts(amount="What is taken"),
        epoch("expected_availability_date", "When the money can be used."),
        text("balance_transaction", "Its effect.", to="balance_transactions"),
        text("failure_code", "Why it failed, as a code."),
        text("failure_message", "Why it failed."),
        text("initiated_by", "stripe or user."),
        text("description", "Description."),
        text("statement_descriptor", "Text on the bank statement."),
        text("payment_method", "Payment method."),
        text("transfer_group", "Group of transfers."),
        json("payment_method_options", "Settings of the payment method."),
        json("source", "Bank account, as of that time."),
    ),
)

transfers = object_table(
    name="transfers",
    description="Money that is moved to connected accounts.",
    columns=(
        text("destination", "Connected account.", to="accounts"),
        text("destination_payment", "Payment that the account got."),
        text("currency", "Currency."),
        *amounts(
            amount="What was moved",
            amount_reversed="What was taken back",
        ),
        boolean("reversed", "Whether it was taken back in full."),
        text("balance_transaction", "Its effect.", to="balance_transactions"),
        text("source_transaction", "Charge that paid for it."),
        text("source_type", "Balance it comes from."),
        text("transfer_group", "Group of transfers."),
        text("description", "Description."),
    ),
    children=(
        Child(
            name="transfer_reversals",
            description="Parts of transfers that were taken back, all of them.",
            path="reversals.data",
            more="reversals.has_more",
            key=("account_id", "transfer_id", "id"),
            columns=(
                *parent("transfer_id", "Transfer."),
                ID,
                text("currency", "Currency."),
                *amounts(amount="What was taken back"),
                text("balance_transaction", "Its effect.", to="balance_transactions"),
                text("destination_payment_refund", "Refund at the destination."),
                text("source_refund", "Refund that caused it."),
                METADATA,
                CREATED,
            ),
            unused=("object", "transfer"),
        ),
    ),
    unused=("reversals.*",),
)

application_fees = object_table(
    name="application_fees",
    description="The account's share of charges of connected accounts.",
    columns=(
        text("account", "Connected account.", to="accounts"),
        text("application", "Connect application."),
        text("charge", "Charge of the connected account."),
        text("originating_transaction", "Charge of the platform that caused it."),
        text("currency", "Currency."),
        *amounts(
            amount="The fee",
            amount_refunded="What was refunded",
        ),
        boolean("refunded", "Whether it was given back in full."),
        text("balance_transaction", "Its effect.", to="balance_transactions"),
        json("fee_source", "Charge or payout that it was taken from."),
    ),
    lacks=("metadata",),
    children=(
        Child(
            name="application_fee_refunds",
            description="Parts of application fees that were given back, all of them.",
            path="refunds.data",
            more="refunds.has_more",
            key=("account_id", "application_fee_id", "id"),
            columns=(
                *parent("application_fee_id", "Application fee."),
                ID,
                text("currency", "Currency."),
                *amounts(amount="What was refunded"),
                text("balance_transaction", "Its effect.", to="balance_transactions"),
                METADATA,
                CREATED,
            ),
            unused=("object", "fee"),
        ),
    ),
    unused=("refunds.*",),
)
