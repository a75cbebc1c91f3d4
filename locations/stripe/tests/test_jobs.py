"""The jobs run green against the sandbox, as people start them, and tell what they did."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from stripe_location.source.tables import TABLES

from .mirror import TABLES_OF, Warehouse, assert_mirrors
from .runs import run_job


def test_a_run_tells_what_it_read_and_what_is_there_now(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_billing_ingest")
    assert run.success
    told = run.metadata["products"]
    (rows,) = warehouse.query("SELECT count(*) FROM {products}")[0]
    assert told["rows_loaded"] == told["dagster/row_count"] == rows
    assert told["pages"] == told["api_calls"] == 2  # of what is older than the account, and of the rest
    assert told["api_bytes"] > 1000
    assert told["seconds"] >= 0
    assert told["new_fields"] == []
    assert "name" in told["schema_changes"]
    (children,) = warehouse.query("SELECT count(*) FROM {invoice_lines}")[0]
    assert run.metadata["invoice_lines"]["dagster/row_count"] == children


def test_a_run_that_finds_nothing_new_is_green_and_says_zero(warehouse: Warehouse) -> None:
    run_job(warehouse, "stripe_billing_ingest")
    run = run_job(warehouse, "stripe_billing_ingest")
    assert run.success
    assert run.metadata["products"]["rows_loaded"] == 0
    assert run.metadata["products"]["dagster/row_count"] > 0
    assert run.metadata["products"]["schema_changes"] == []


def test_every_check_passes_where_nothing_is_left_out(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_billing_ingest")
    roots = [TABLES[name] for name in TABLES_OF["billing"]]
    checks = {(table.name, check) for table in roots for check in ("no_open_load_gaps", "equals_origin")}
    checks |= {(table.name, "key_is_unique_and_not_null") for root in roots for table in root.with_children}
    assert run.checks == dict.fromkeys(checks, True)


def test_the_audit_finds_mends_and_tells_what_was_lost(warehouse: Warehouse) -> None:
    run_job(warehouse, "stripe_ingest")
    with duckdb.connect(warehouse.folder / "stripe.duckdb") as database:
        database.execute("DELETE FROM stripe_raw.products WHERE id = (SELECT min(id) FROM stripe_raw.products)")
    run = run_job(warehouse, "stripe_audit")
    assert run.success
    assert [table for (table, check), passed in run.checks.items() if not passed] == ["products"]
    assert not run.checks["products", "equals_origin"]
    assert_mirrors(warehouse)
    assert run_job(warehouse, "stripe_audit", "products").checks["products", "equals_origin"]


def test_some_assets_of_a_job_can_be_run_alone(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "stripe_ingest", "products", "charges")
    assert run.success
    assert run.metadata.keys() == {"products", "charges"}
    assert_mirrors(warehouse, "products", "charges")


def test_the_command_line_runs_the_whole_location(warehouse: Warehouse, tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    command = [
        sys.executable,
        "-m",
        "dagster",
        "job",
        "execute",
        "-m",
        "stripe_location.definitions",
        "-j",
        "stripe_ingest",
    ]
    environment = os.environ | warehouse.settings | {"DAGSTER_HOME": str(home)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_mirrors(warehouse)


@pytest.mark.parametrize("table", [*TABLES_OF["billing"], *TABLES_OF["payments"]])
def test_a_description_names_all_that_the_api_sends(table: str, mirrored: Warehouse) -> None:
    assert {row["_undeclared"] for row in mirrored.rows(TABLES[table])} == {None}
