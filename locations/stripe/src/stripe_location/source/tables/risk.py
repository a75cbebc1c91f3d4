"""Risks of payments: disputes, warnings, reviews."""

from ingest_shared.tables import bigint, boolean, epoch, json, text
from stripe_location.source.tables.columns import API, amounts, object_table

disputes = object_table(
    name="disputes",
    description="Charges that customers have disputed through their bank.",
    columns=(
        text("charge", "Charge.", to="charges"),
        text("payment_intent", "Payment intent.", to="payment_intents"),
        text("status", "needs_response, under_review, won, lost, ..."),
        text("reason", "Why, as the bank says."),
        text("network_reason_code", "Why, as a code of the network."),
        text("currency", "Currency."),
        *amounts(amount="What is disputed"),
        boolean("is_charge_refundable", "Whether the charge can still be refunded."),
        text("intended_submission_method", "How the evidence is to be submitted."),
        epoch("due_by", "Until when evidence can be submitted.", path="evidence_details.due_by"),
        boolean("has_evidence", "Whether evidence was collected.", path="evidence_details.has_evidence"),
        boolean("past_due", "Whether the deadline has passed.", path="evidence_details.past_due"),
        bigint("submission_count", "How often evidence was submitted.", path="evidence_details.submission_count"),
        json("balance_transactions", "Its balance transactions, at most two."),
        json("enhanced_eligibility_types", "Programs for enhanced evidence."),
        json("evidence", "Evidence."),
        json("payment_method_details", "Details by payment method."),
    ),
    unused=("evidence_details.*",),
)

early_fraud_warnings = object_table(
    name="early_fraud_warnings",
    description="Charges that an issuer suspects of fraud.",
    docs=f"{API}/radar/early_fraud_warnings/object",
    columns=(
        text("charge", "Charge.", to="charges"),
        text("payment_intent", "Payment intent.", to="payment_intents"),
        boolean("actionable", "Whether a refund can still prevent a dispute."),
        text("fraud_type", "What the issuer suspects."),
    ),
    lacks=("metadata",),
)

reviews = object_table(
    name="reviews",
    description="Payments under manual review.",
    docs=f"{API}/radar/reviews/object",
    columns=(
        text("charge", "Charge.", to="charges"),
        text("payment_intent", "Payment intent.", to="payment_intents"),
        boolean("open", "Whether it is still to be decided."),
        text("reason", "Why it is open, or how it was closed."),
        text("opened_reason", "rule or manual."),
        text("closed_reason", "approved, refunded, refunded_as_fraud, disputed, ..."),
        text("billing_zip", "Postal code of the payer."),
        text("ip_address", "IP address of the payer."),
        json("ip_address_location", "Where that is."),
        json("session", "Browser and device of the payer."),
    ),
    lacks=("metadata",),
)
