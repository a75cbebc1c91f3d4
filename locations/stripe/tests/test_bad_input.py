"""What is wrong with a key or a date ends in one line that names it and says what to do."""

import pytest

from ingest_testing import assert_mirrors, run_job

from .origin import Warehouse


def test_a_restricted_key_that_may_not_read_a_table(warehouse: Warehouse) -> None:
    """The others are loaded, and the gap names the right that is missing."""
    warehouse.origin.fail({"kind": "status", "status": 403, "path": "/v1/invoices"})
    run = run_job(warehouse, "billing_ingest")
    assert run.success
    assert not run.checks["invoices", "no_open_load_gaps"]
    ((table, _, status, reason),) = warehouse.gaps()
    assert (table, status) == ("invoices", 403)
    assert "required permissions" in reason
    assert_mirrors(warehouse, "customers", "products", "prices", "subscriptions")
    warehouse.origin.heal()
    assert run_job(warehouse, "billing_ingest").checks["invoices", "no_open_load_gaps"]
    assert_mirrors(warehouse, "invoices")


@pytest.mark.parametrize("date", ["last year", "2024-13-01", "01.02.2024", "1704067200"])
def test_a_start_date_that_is_no_date(date: str, warehouse: Warehouse) -> None:
    run = run_job(warehouse, "billing_ingest", "products", SOURCES__STRIPE__START_DATE=date)
    assert run.failure.startswith(f"sources.stripe.start_date is '{date}'")
    assert run.retries == 0


def test_a_start_date_that_is_still_to_come(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "billing_ingest", "products", SOURCES__STRIPE__START_DATE="2099-01-31")
    assert run.failure.startswith("sources.stripe.start_date is '2099-01-31', which is in the future")
    assert run.retries == 0
    assert run_job(warehouse, "billing_ingest", "products").success
    assert_mirrors(warehouse, "products")
