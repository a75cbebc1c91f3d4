"""Events as they come from Stripe: of others, without ids, late, and of a child in place of its parent."""

from typing import Any

import pytest

from ingest_sandbox import wire
from ingest_sandbox.control import held
from ingest_sandbox.moment import Change
from ingest_sandbox.wire import Json
from ingest_sandbox.world import World

from .conftest import ANCHOR, make_world


@pytest.fixture
def fresh() -> World:
    """A world of its own for each test, since these change it."""
    return make_world(size=0.1)


def events(world: World, kind: str, **what: Any) -> list[Json]:
    """The events that a change leaves."""
    done = world.change(Change(f"stripe.{kind}", **what))["changed"]
    made = {row["id"] for row in done if row["collection"] == "events"}
    return [row for row in wire.decode(wire.encode(held(world, "stripe", "events"))) if row["id"] in made]


def test_an_event_may_be_of_a_connected_account(fresh: World) -> None:
    (event,) = events(fresh, "event.plant")
    assert event["account"] == "acct_1SandboxConnected"
    assert event["data"]["object"]["id"] not in fresh.stripe.tables["customers"].rows


def test_an_event_may_be_about_anything(fresh: World) -> None:
    thing = {"id": "tax_1", "object": "tax_id", "created": None}
    (event,) = events(fresh, "event.plant", set={"type": "customer.tax_id.created", "account": None, "object": thing})
    assert event["type"] == "customer.tax_id.created"
    assert event["data"]["object"] == thing
    assert "account" not in event


def test_an_upcoming_invoice_has_no_id(fresh: World) -> None:
    (event,) = events(fresh, "invoice.upcoming")
    assert event["type"] == "invoice.upcoming"
    assert "id" not in event["data"]["object"]
    assert event["data"]["object"]["lines"]["data"]


def test_events_may_show_later_than_they_were_created(fresh: World) -> None:
    fresh.advance(100)
    (event,) = events(fresh, "customer.create", late=90)
    assert event["created"] == ANCHOR + 10
    assert event["data"]["object"]["created"] == ANCHOR + 100


def test_a_dispute_changes_its_charge_without_an_event_of_the_charge(fresh: World) -> None:
    id = next(row["id"] for row in fresh.stripe.objects("charges") if row["paid"])
    (event,) = events(fresh, "dispute.create", id=id)
    assert event["type"] == "charge.dispute.created"
    assert event["data"]["object"]["charge"] == id
    assert fresh.stripe.row("charges", id).object["disputed"] is True


def test_a_discount_changes_its_customer_without_an_event_of_the_customer(fresh: World) -> None:
    id = next(row["id"] for row in fresh.stripe.objects("customers"))
    (given,) = events(fresh, "discount.create", id=id)
    assert given["type"] == "customer.discount.created"
    assert given["data"]["object"] == fresh.stripe.row("customers", id).object["discount"]
    (ended,) = events(fresh, "discount.delete", id=id)
    assert ended["type"] == "customer.discount.deleted"
    assert fresh.stripe.row("customers", id).object["discount"] is None


def test_a_refund_has_an_event_of_the_charge_too(fresh: World) -> None:
    assert [event["type"] for event in events(fresh, "refund.create")] == ["refund.created", "charge.refunded"]
