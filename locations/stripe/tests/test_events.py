"""What Stripe's events leave out, and what they bring that is not ours."""

import pytest

from ingest_testing import assert_mirrors

from .origin import BILLING, EVENTS_KEPT, Origin, Warehouse
from .test_deletions import change_before

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
