"""The map from events to the objects they change: nothing that Stripe has an event for is left to chance."""

import pytest
from stripe._object_classes import get_object_class

from ingest_shared.contract import Value
from stripe_location import source
from stripe_location.source.account import PARENTS
from stripe_location.source.nested import WholeList
from stripe_location.source.objects import Objects

from .vendor import json_schema, vendor_event_types

LISTINGS = {listing.table.name: listing for listing in source.LISTINGS}
TOLD = {listing.walk.type_in(listing.table) for listing in source.LISTINGS if isinstance(listing.walk, Objects)}
"""The types of objects of which events tell."""
WHOLE = {"account", "payment_link", "quote"}
"""The types of objects whose lists are read whole, so that no event is needed."""

OBJECTS = {
    "account.": "account",
    "account.application.": "application",
    "account.external_account.": "bank_account",
    "application_fee.refund.": "fee_refund",
    "charge.dispute.": "dispute",
    "charge.refund.": "refund",
    "checkout.session.": "checkout.session",
    "customer.discount.": "discount",
    "customer.source.": "source",
    "customer.subscription.": "subscription",
    "customer.tax_id.": "tax_id",
    "radar.early_fraud_warning.": "radar.early_fraud_warning",
    "source.transaction.": "source_transaction",
}
"""The objects that events are about, where they are not called after them: by the longest beginning."""

NO_TABLE = set(
    """
    application apps balance balance_settings billing billing_portal capability cash_balance climate entitlements
    financial_connections identity issuing_authorization issuing_card issuing_cardholder issuing_dispute
    issuing_personalization_design issuing_token issuing_transaction mandate person plan
    reporting reserve sigma source_transaction tax terminal test_helpers three_d_secure treasury
    """.split()
)
"""Objects, and families of objects, that no table mirrors and that change none of a table."""


def object_of(event: str) -> str:
    beginnings = [beginning for beginning in OBJECTS if event.startswith(beginning)]
    return OBJECTS[max(beginnings, key=len)] if beginnings else event.partition(".")[0]


@pytest.mark.parametrize("event", sorted(vendor_event_types()))
def test_an_event_of_stripe_is_of_a_table_or_changes_a_row_of_one_or_is_set_aside(event: str) -> None:
    assert object_of(event) in TOLD | WHOLE | PARENTS.keys() | NO_TABLE


@pytest.mark.parametrize("type_", sorted(TOLD))
def test_of_an_object_that_is_fetched_when_named_stripe_has_events(type_: str) -> None:
    assert type_ in {object_of(event) for event in vendor_event_types()}


@pytest.mark.parametrize(
    ("child", "path", "parent"),
    [(child, path, parent) for child, parents in PARENTS.items() for path, parent in parents.items()],
)
def test_a_child_names_its_parent_where_stripe_publishes_it(child: str, path: str, parent: str) -> None:
    assert parent in TOLD | WHOLE
    schema = json_schema(get_object_class("V1", child))
    value = Value(schema, (schema,))
    for name in path.split("."):
        value = value.element if value.types == {"array"} else value
        found = value.fields.get(name)
        assert found, f"{child} has no {name}"
        value = found
    assert "string" in value.types


def test_nothing_is_set_aside_that_stripe_has_no_event_for() -> None:
    assert {object_of(event) for event in vendor_event_types()} >= NO_TABLE


def test_a_list_is_read_whole_where_stripe_takes_no_span_of_time() -> None:
    whole = {name for name, listing in LISTINGS.items() if isinstance(listing.walk, WholeList)}
    assert whole == {"payment_links", "quotes"}
