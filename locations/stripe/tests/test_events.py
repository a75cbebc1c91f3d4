"""What Stripe's events leave out, and what they bring that is not ours."""

import pytest

from ingest_testing import assert_mirrors

from .origin import BILLING, EVENTS_KEPT, Origin, Warehouse
from .test_deletions import change_before

pytestmark = pytest.mark.exhaustive

HOUR = 3_600


def any_of(origin: Origin, collection: str, **values: object) -> str:
    """The id of an object that has these values."""
    return next(
        str(row["id"])
        for row in origin.objects(collection)
        if all(row[name] == value for name, value in values.items())
    )


def test_an_object_that_cannot_be_read_keeps_back_no_other(synced: Warehouse) -> None:
    origin = synced.origin
    one, other = (str(row["id"]) for row in origin.objects("customers")[:2])
    for customer in (one, other):
        origin.change("customer.update", id=customer, set={"name": "Changed"})
    origin.advance()
    origin.fail({"kind": "replace_field", "path": f"/v1/customers/{one}", "field": "balance", "value": "many"})
    synced.sync("billing")
    origin.heal()
    ((reason,),) = synced.query("SELECT reason FROM {load_gaps}")
    assert reason.startswith(f"table customers, column balance, row id='{one}': ")
    assert synced.query("SELECT id FROM {customers} WHERE name = 'Changed'") == [(other,)]
    synced.sync("billing")
    assert_mirrors(synced, "customers")


def test_a_dispute_marks_its_charge(synced: Warehouse) -> None:
    charge = any_of(synced.origin, "charges", paid=True, disputed=False)
    synced.origin.change("dispute.create", id=charge)
    synced.origin.advance()
    synced.sync("payments")
    assert synced.query("SELECT disputed FROM {charges} WHERE id = %s", charge) == [(True,)]


def test_an_event_of_a_subscription_changes_its_schedule(synced: Warehouse) -> None:
    """No event of its own tells that a schedule goes to its next phase."""
    origin = synced.origin
    schedule = next(row for row in origin.objects("subscription_schedules") if row["status"] == "active")
    change = {"id": schedule["id"], "set": {"metadata": {"phase": "2"}}}
    origin.change("subscription_schedule.update", untold=["*"], **change)
    origin.change("subscription.update", id=schedule["subscription"])
    origin.advance()
    synced.sync("billing")
    assert_mirrors(synced, "subscriptions", "subscription_schedules")


def test_a_schedule_that_is_released_changes_the_subscription_it_names(synced: Warehouse) -> None:
    origin = synced.origin
    subscription = any_of(origin, "subscriptions", status="active")
    origin.change("subscription.update", id=subscription, untold=["*"])
    released = {"id": "sub_sched_gone", "object": "subscription_schedule", "created": 1, "subscription": None}
    told = {"type": "subscription_schedule.released", "account": None}
    origin.change("event.plant", set={**told, "object": {**released, "released_subscription": subscription}})
    origin.advance()
    synced.sync("billing")
    assert_mirrors(synced, "subscriptions")


@pytest.mark.parametrize("shown", [{"object": "card"}, {"object": "source", "type": "card"}], ids=["card", "source"])
def test_a_card_of_the_older_apis_is_a_payment_method_too(shown: dict[str, str], synced: Warehouse) -> None:
    origin = synced.origin
    card = next(row for row in origin.objects("payment_methods") if row["customer"])
    change = {"id": card["id"], "set": {"metadata": {"expires": "soon"}}}
    origin.change("payment_method.update", untold=["*"], **change)
    told = {"type": "customer.source.updated", "account": None}
    origin.change("event.plant", set={**told, "object": {"id": card["id"], "customer": card["customer"], **shown}})
    origin.advance()
    synced.sync("billing")
    assert_mirrors(synced, "payment_methods")


def test_another_source_is_no_payment_method(synced: Warehouse) -> None:
    origin = synced.origin
    transfer = {"id": "src_transfer", "object": "source", "type": "ach_credit_transfer", "customer": None}
    origin.change("event.plant", set={"type": "customer.source.created", "account": None, "object": transfer})
    origin.advance()
    origin.forget_requests()
    synced.sync("billing")
    assert "/stripe/v1/payment_methods/{id}" not in origin.requests()["by_path"]


@pytest.mark.parametrize("kinds", [("discount.create",), ("discount.create", "discount.delete")])
def test_a_discount_changes_its_customer(kinds: tuple[str, ...], synced: Warehouse) -> None:
    customer = any_of(synced.origin, "customers", discount=None)
    for kind in kinds:
        synced.origin.change(kind, id=customer)
        synced.origin.advance()
        synced.sync("billing")
        assert_mirrors(synced, "customers")


def test_events_of_connected_accounts_and_of_objects_without_id_change_nothing(synced: Warehouse) -> None:
    origin = synced.origin
    origin.change("event.plant")
    origin.change("invoice.upcoming")
    stray = {"id": "tax_1", "object": "tax_id", "created": None}
    origin.change("event.plant", set={"type": "customer.tax_id.created", "account": None, "object": stray})
    origin.advance()
    synced.sync()
    assert not synced.query("SELECT * FROM {load_gaps}")
    assert_mirrors(synced)


def test_an_event_that_comes_late_is_mended_by_the_audit(synced: Warehouse) -> None:
    origin = synced.origin
    customer = any_of(origin, "customers")
    origin.advance(7_200)
    synced.sync("billing")
    origin.change("customer.update", id=customer, late=7_000)
    origin.advance()
    synced.sync("billing")
    assert synced.audit("billing") == {"customers": (0, 0, 1)}
    assert_mirrors(synced, *BILLING)


def test_an_event_that_passes_30_days_while_an_audit_runs_is_not_deleted(
    synced: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe counts its 30 days back from each request, and an audit's first request may be hours old by then."""
    origin = synced.origin
    origin.change("customer.update")
    origin.advance()
    synced.sync("payments")
    origin.advance(EVENTS_KEPT - HOUR)
    change_before(monkeypatch, "/v1/events", lambda: origin.advance(2 * HOUR))
    assert synced.audit("payments") == {}
    assert synced.query("SELECT count(*) FROM {events} WHERE deleted_at IS NOT NULL") == [(0,)]


def test_a_key_that_may_not_read_events_reads_everything_anew(synced: Warehouse) -> None:
    origin = synced.origin
    origin.change("customer.update")
    origin.change("customer.delete")
    origin.advance()
    origin.fail({"kind": "status", "status": 403, "path": "/v1/events"})
    synced.sync("billing")
    origin.heal()
    customers = synced.query("SELECT count(*) FROM {customers} WHERE deleted_at IS NULL")
    assert customers == [(len(origin.objects("customers")),)]


def test_a_live_key_after_a_test_key_is_another_origin(synced: Warehouse) -> None:
    """All of the live mode is loaded, and nothing of the test mode is taken for gone."""
    before = synced.query("SELECT count(*) FROM {customers} WHERE NOT livemode AND deleted_at IS NULL")
    synced.sync("billing", SOURCES__STRIPE__API_KEY="sk_live_sandbox")
    live = synced.query("SELECT id FROM {customers} WHERE livemode")
    assert {id_ for (id_,) in live} == {row["id"] for row in synced.origin.live_objects("customers")}
    synced.sync("billing", audit=True, SOURCES__STRIPE__API_KEY="sk_live_sandbox")
    assert synced.query("SELECT count(*) FROM {customers} WHERE NOT livemode AND deleted_at IS NULL") == before
