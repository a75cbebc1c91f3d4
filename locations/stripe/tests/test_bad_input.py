"""What is wrong ends in one line that names it and says what to do; nothing is lost or half-written."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_shared.reading.api import ATTEMPTS
from stripe_location.source.tables import TABLES

from .mirror import TABLES_OF, Warehouse, assert_mirrors
from .runs import run_job


def test_no_credential(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_billing_ingest", SOURCES__STRIPE__API_KEY="")
    assert "`sources.stripe.api_key`" in run.failure
    assert "SOURCES__STRIPE__API_KEY" in run.failure
    assert run.retries == 0
    assert warehouse.origin.requests()["total"] == 0


def test_a_wrong_credential_is_tried_once(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_billing_ingest", SOURCES__STRIPE__API_KEY="sk_test_entirely_wrong")
    assert "Invalid API Key" in run.failure
    assert "`sources.stripe.api_key`" in run.failure
    assert "entirely" not in run.failure
    assert run.retries == 0
    assert warehouse.origin.requests()["by_status"] == {"401": 1}


def test_a_line_end_after_the_credential_does_no_harm(warehouse: Warehouse) -> None:
    key = warehouse.settings["SOURCES__STRIPE__API_KEY"]
    assert run_job(warehouse, "stripe_billing_ingest", "products", SOURCES__STRIPE__API_KEY=f"{key}\n").success


def test_a_restricted_key_that_may_not_read_a_table(warehouse: Warehouse) -> None:
    """The others are loaded, and the gap names the right that is missing."""
    warehouse.origin.fail({"kind": "status", "status": 403, "path": "/v1/invoices"})
    run = run_job(warehouse, "stripe_billing_ingest")
    assert run.success
    assert not run.checks["invoices", "no_open_load_gaps"]
    (gap,) = warehouse.query("SELECT resource, status, reason FROM {load_gaps}")
    assert gap[:2] == ("invoices", 403)
    assert "required permissions" in gap[2]
    assert_mirrors(warehouse, "customers", "products", "prices", "subscriptions")
    warehouse.origin.heal()
    assert run_job(warehouse, "stripe_billing_ingest").checks["invoices", "no_open_load_gaps"]
    assert_mirrors(warehouse, "invoices")


@pytest.mark.parametrize("date", ["last year", "2024-13-01", "01.02.2024", "1704067200"])
def test_a_start_date_that_is_no_date(date: str, warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_billing_ingest", "products", SOURCES__STRIPE__START_DATE=date)
    assert run.failure.startswith(f"sources.stripe.start_date is '{date}'")
    assert run.retries == 0


def test_a_start_date_that_is_still_to_come(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_billing_ingest", "products", SOURCES__STRIPE__START_DATE="2099-01-31")
    assert run.failure.startswith("sources.stripe.start_date is '2099-01-31', which is still to come")
    assert run.retries == 0
    assert run_job(warehouse, "stripe_billing_ingest", "products").success
    assert_mirrors(warehouse, "products")


def test_an_unknown_destination(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_billing_ingest", INGEST_DESTINATION="postgers")
    assert "INGEST_DESTINATION is 'postgers'" in run.failure
    assert run.retries == 0
    assert warehouse.origin.requests()["total"] == 0


def test_a_data_folder_that_cannot_be_written(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = run_job(warehouse, "stripe_billing_ingest", INGEST_DATA_DIR=str(tmp_path / "file" / "data"))
    assert "INGEST_DATA_DIR" in run.failure
    assert run.retries == 0
    assert warehouse.origin.requests()["total"] == 0


@pytest.fixture
def locked(warehouse: Warehouse) -> Iterator[Warehouse]:
    """A warehouse whose DuckDB file another process has open."""
    script = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(warehouse.folder / "stripe.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        yield warehouse
        other.kill()


def test_a_duckdb_file_that_another_process_has_open(locked: Warehouse) -> None:
    run = run_job(locked, "stripe_billing_ingest")
    assert "the DuckDB file is in use by another process" in run.failure
    assert locked.origin.requests()["total"] == 0


def test_a_page_of_html(warehouse: Warehouse) -> None:
    """Where nothing else can be read either, the run fails; it may pass when tried again."""
    warehouse.origin.fail({"kind": "html", "path": "/v1/products"})
    run = run_job(warehouse, "stripe_billing_ingest", "products")
    assert "products" in run.failure
    assert "not valid JSON" in run.failure
    assert "`sources.stripe.api_base`" in run.failure


def test_an_account_of_html(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "html", "path": "/v1/account"})
    run = run_job(warehouse, "stripe_billing_ingest", "products")
    assert "JSON" in run.failure
    assert "`sources.stripe.api_base`" in run.failure


def test_an_api_that_is_down(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_billing_ingest", "products", SOURCES__STRIPE__API_BASE="http://127.0.0.1:9")
    assert "did not answer" in run.failure
    assert "`sources.stripe.api_base`" in run.failure


def test_an_api_that_answers_500_is_asked_again_a_few_times(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "status", "status": 500, "path": "/v1/account"})
    with pytest.raises(Exception, match="did not answer"):
        warehouse.sync("payments")
    assert warehouse.origin.requests()["by_status"] == {"500": ATTEMPTS}


def test_a_value_of_the_wrong_type_leaves_its_table_out(warehouse: Warehouse) -> None:
    warehouse.sync("billing")
    before = warehouse.contents("billing")["invoices"]
    for kind in ("customer.create", "product.update", "invoice.create"):
        warehouse.origin.change(kind)
    warehouse.origin.advance()
    warehouse.origin.fail({"kind": "replace_field", "path": "/v1/invoices", "field": "total", "value": "much"})
    assert run_job(warehouse, "stripe_billing_ingest").success
    warehouse.origin.heal()
    ((reason,),) = warehouse.query("SELECT reason FROM {load_gaps} WHERE resource = %s", "invoices")
    assert reason.startswith("table invoices, column total, row ")
    assert "id='in_" in reason
    assert "'much'" in reason
    assert warehouse.contents("billing")["invoices"] == before
    assert_mirrors(warehouse, "customers", "products")
    warehouse.sync("billing")
    assert_mirrors(warehouse, *TABLES_OF["billing"])


def test_a_new_field_is_kept_and_reported(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "extra_field", "path": "/v1/products", "field": "votes", "value": {"up": 3}})
    run = run_job(warehouse, "stripe_billing_ingest", "products")
    assert run.metadata["products"]["new_fields"] == ["votes"]
    kept = {str(row["_undeclared"]).replace(" ", "") for row in warehouse.rows(TABLES["products"])}
    assert kept == {'{"votes":{"up":3}}'}


def test_a_failed_run_is_tried_again_when_that_can_help(warehouse: Warehouse) -> None:
    warehouse.origin.fail({"kind": "status", "status": 500, "path": "/v1/account", "times": ATTEMPTS})
    run = run_job(warehouse, "stripe_billing_ingest", "products")
    assert run.success
    assert run.retries == 1
    assert_mirrors(warehouse, "products")
