"""Payment methods: no list shows all of them, those of each customer do."""

from itertools import islice

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from ingest_testing import assert_mirrors
from stripe_location.source import objects
from stripe_location.source.tables import TABLES

from .origin import Origin, Warehouse

pytestmark = pytest.mark.exhaustive

OF_CUSTOMERS = "/stripe/v1/customers/{id}/payment_methods"


def attached(origin: Origin) -> dict[str, str]:
    """Each customer who has a payment method, with one of theirs."""
    return {row["customer"]: row["id"] for row in origin.objects("payment_methods") if row["customer"]}


def customer_of(warehouse: Warehouse, id_: str) -> list[tuple[str | None, ...]]:
    return warehouse.query("SELECT customer FROM {payment_methods} WHERE id = %s", id_)


def test_the_first_load_asks_for_those_of_each_customer(warehouse: Warehouse) -> None:
    warehouse.sync("billing")
    assert warehouse.origin.requests()["by_path"][OF_CUSTOMERS] == len(warehouse.origin.objects("customers"))
    held = {(row["id"],) for row in warehouse.origin.objects("payment_methods") if row["customer"]}
    assert set(warehouse.query("SELECT id FROM {payment_methods}")) == held != set()


@pytest.mark.parametrize("what", ["attached", "updated", "automatically_updated", "detached"])
def test_what_an_event_tells_costs_one_call(what: str, mirrored: Warehouse) -> None:
    origin, kind = mirrored.origin, "create" if what == "attached" else "update"
    for seed in range(50):
        done = origin.change(f"payment_method.{kind}", seed=seed)["changed"]
        if {"type": f"payment_method.{what}"}.items() <= done[-1].items():
            break
    assert done[-1]["type"] == f"payment_method.{what}"
    origin.advance()
    mirrored.sync("billing")
    assert_mirrors(mirrored, "payment_methods")


def test_a_customer_who_is_deleted_loses_theirs_though_no_event_tells(mirrored: Warehouse) -> None:
    customer, method = next(iter(attached(mirrored.origin).items()))
    assert customer_of(mirrored, method) == [(customer,)]
    mirrored.origin.change("customer.delete", id=customer)
    mirrored.origin.advance()
    mirrored.sync("billing")
    assert customer_of(mirrored, method) == [(None,)]
    assert_mirrors(mirrored, "payment_methods")


def test_those_of_a_customer_who_is_new_here_are_listed_though_no_event_tells(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    customer = origin.change("customer.create")["changed"][0]["id"]
    origin.change("payment_method.create", id=customer, untold=["*"])
    origin.advance()
    origin.forget_requests()
    mirrored.sync("billing")
    assert customer in attached(origin)
    assert origin.requests()["by_path"][OF_CUSTOMERS] == 1
    assert_mirrors(mirrored, "payment_methods")


def new_customer(origin: Origin) -> str:
    """One who has a payment method, of which no event tells."""
    customer = str(origin.change("customer.create")["changed"][0]["id"])
    origin.change("payment_method.create", id=customer, untold=["*"])
    origin.advance()
    return customer


def test_a_run_that_loads_a_customer_and_cannot_list_theirs_leaves_them_to_the_next(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    customer = new_customer(origin)
    origin.fail({"kind": "status", "status": 403, "path": f"/v1/customers/{customer}/payment_methods"})
    for _ in range(2):
        mirrored.sync("billing")
        origin.advance(7200)
        assert len(mirrored.gaps()) == 1
    origin.heal()
    mirrored.sync("billing")
    assert mirrored.gaps() == []
    assert_mirrors(mirrored, "payment_methods")


def test_a_run_that_leaves_them_out_leaves_those_of_its_new_customers_to_the_next(mirrored: Warehouse) -> None:
    origin = mirrored.origin
    new_customer(origin)
    mirrored.sync("billing", SOURCES__STRIPE__WITHOUT="payment_methods")
    origin.advance(7200)
    origin.forget_requests()
    mirrored.sync("billing")
    assert origin.requests()["by_path"][OF_CUSTOMERS] == 1
    assert_mirrors(mirrored, "payment_methods")
    origin.forget_requests()
    mirrored.sync("billing")
    assert OF_CUSTOMERS not in origin.requests()["by_path"]


def test_customers_that_could_not_be_read_at_first_bring_theirs_later(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "status", "status": 403, "path": "/v1/customers[?]"})
    warehouse.sync("billing")
    assert not warehouse.rows(TABLES["payment_methods"])
    warehouse.origin.heal()
    warehouse.sync("billing")
    assert_mirrors(warehouse, "customers", "payment_methods")


def test_alone_they_cannot_be_loaded_before_customers(warehouse: Warehouse) -> None:
    with pytest.raises(
        PipelineStepFailed, match=r"payment_methods is read per customer, and customers was never loaded"
    ):
        warehouse.sync("billing", SOURCES__STRIPE__WITHOUT="customers")


def test_an_audit_asks_for_a_part_of_what_no_list_shows_and_the_next_one_goes_on(
    mirrored: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MOST_ASKED", 2)
    origin = mirrored.origin
    for customer in islice(attached(origin), 5):
        origin.change("customer.delete", id=customer)
    origin.advance()
    mirrored.sync("billing")
    hidden = "{payment_methods} WHERE customer IS NULL"
    with mirrored.opened() as database:
        database.execute("UPDATE payment_methods SET type = 'wrong' WHERE customer IS NULL")
    ((left,),) = mirrored.query(f"SELECT count(*) FROM {hidden}")
    assert left >= 5
    while left:
        asked = min(left, 2)
        origin.forget_requests()
        assert mirrored.audit("billing") == {"payment_methods": (0, 0, asked)}
        assert origin.requests()["by_path"]["/stripe/v1/payment_methods/{id}"] == 2
        left -= asked
        assert mirrored.query(f"SELECT count(*) FROM {hidden} AND type = 'wrong'") == [(left,)]
    assert_mirrors(mirrored, "payment_methods", audited=True)
