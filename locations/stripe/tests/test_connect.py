"""Connected accounts are read as themselves, with the key of their platform."""

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from ingest_testing.runs import run_job

from .origin import ACCOUNT, Warehouse

pytestmark = pytest.mark.exhaustive

CONNECTED = "acct_1SandboxConnected"
WANTED = "SOURCES__STRIPE__CONNECTED_ACCOUNTS"


def held(warehouse: Warehouse, table: str) -> set[str]:
    """The living objects of the connected account."""
    sql = f"SELECT id FROM {{{table}}} WHERE account_id = %s AND deleted_at IS NULL"
    return {id_ for (id_,) in warehouse.query(sql, CONNECTED)}


def ids(warehouse: Warehouse, table: str) -> set[str]:
    return {row["id"] for row in warehouse.origin.connected_objects(table)}


@pytest.fixture
def connected(warehouse: Warehouse) -> Warehouse:
    """A warehouse with the connected account as well."""
    warehouse.settings[WANTED] = CONNECTED
    warehouse.sync("billing", "checkout", "payments")
    return warehouse


def test_all_of_a_connected_account_is_loaded_and_its_events_change_it_alone(connected: Warehouse) -> None:
    for table in ("customers", "invoices", "quotes", "charges"):
        assert held(connected, table) == ids(connected, table) != set()
    own = connected.query("SELECT count(*) FROM {customers} WHERE account_id = %s", ACCOUNT)
    assert own == [(len(connected.origin.objects("customers")),)]
    customer = min(ids(connected, "customers"))
    connected.origin.advance(600)
    connected.sync("billing")
    connected.origin.change("customer.update", id=customer, connected=True, set={"name": "as it is now"})
    connected.origin.advance()
    connected.sync("billing")
    assert connected.query("SELECT name FROM {customers} WHERE id = %s", customer) == [("as it is now",)]
    assert connected.audit("billing") == {}


def test_one_that_cannot_be_read_is_a_gap_and_stops_no_other(connected: Warehouse) -> None:
    made = connected.origin.change("customer.create", connected=True)["changed"][0]["id"]
    connected.origin.advance()
    run = run_job(connected, "billing_ingest", "customers", **{WANTED: f"acct_1Unknown, {CONNECTED}"})
    assert run.success
    assert not run.checks["customers", "no_open_load_gaps"]
    ((table, scope, status, reason),) = connected.gaps()
    assert (table, scope, status) == ("customers", "acct_1Unknown (test mode)", 403)
    assert "does not have access to account" in reason
    assert made in held(connected, "customers")


def test_all_accounts_are_those_that_the_platform_lists(warehouse: Warehouse) -> None:
    warehouse.sync("checkout", SOURCES__STRIPE__CONNECTED_ACCOUNTS="all")
    asked = warehouse.origin.requests()["by_path"]
    assert asked["/stripe/v1/tax_rates"] >= 1 + len(warehouse.origin.objects("accounts"))
    assert warehouse.gaps() == []


def test_what_is_no_id_of_an_account(warehouse: Warehouse) -> None:
    with pytest.raises(PipelineStepFailed, match=r"connected_accounts has 'everything'; set it to ids"):
        warehouse.sync("billing", SOURCES__STRIPE__CONNECTED_ACCOUNTS="everything")
