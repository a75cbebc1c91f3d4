"""What Dagster's UI shows of a table is what its description says."""

from datetime import timedelta

from dagster import AssetKey, AssetSpec, FreshnessPolicy

from ingest_shared.tables import all_columns
from ingest_shared.translator import table_schema
from tests.conftest import ISSUES, LABELS, Warehouse
from tests.dagster_location import EVERYTHING, Location


def spec(warehouse: Warehouse, table: str = "issues") -> AssetSpec:
    return Location(warehouse).assets.specs_by_key[AssetKey([warehouse.location, table])]


def test_tables_and_child_tables_are_assets_of_their_location_and_name(duckdb_warehouse: Warehouse) -> None:
    assert Location(duckdb_warehouse).assets.keys == {
        AssetKey([duckdb_warehouse.location, name]) for name in ("issues", "issue_labels", "labels")
    }


def test_a_child_table_is_as_its_parent_but_for_its_name_columns_and_upstream(duckdb_warehouse: Warehouse) -> None:
    child, parent = spec(duckdb_warehouse, "issue_labels"), spec(duckdb_warehouse)
    for name in ("group_name", "kinds", "owners", "tags", "freshness_policy"):
        assert getattr(child, name) == getattr(parent, name)
    assert child.description == "Labels on issues."
    assert child.metadata["dagster/table_name"] == f"{duckdb_warehouse.location}_raw.issue_labels"
    assert [c.name for c in child.metadata["dagster/column_schema"].columns] == ["issue_id", "label_id", "_undeclared"]
    assert [dep.asset_key for dep in child.deps] == [parent.key]


def test_the_kinds_are_location_dlt_and_destination(warehouse: Warehouse) -> None:
    assert spec(warehouse).kinds == {warehouse.location, "dlt", warehouse.name}


def test_owners_are_those_of_the_location(duckdb_warehouse: Warehouse) -> None:
    assert list(spec(duckdb_warehouse).owners) == ["team:test"]


def test_tag_and_freshness_follow_from_the_group(duckdb_warehouse: Warehouse) -> None:
    issues = spec(duckdb_warehouse)
    assert issues.group_name == EVERYTHING.name
    assert issues.tags["cadence"] == EVERYTHING.cadence
    assert issues.freshness_policy == FreshnessPolicy.time_window(
        warn_window=timedelta(hours=26), fail_window=timedelta(hours=30)
    )


def test_a_table_has_no_upstream(duckdb_warehouse: Warehouse) -> None:
    assert list(spec(duckdb_warehouse).deps) == []


def test_the_table_name_is_the_one_to_query(duckdb_warehouse: Warehouse) -> None:
    location = Location(duckdb_warehouse)
    location.run()
    name = spec(duckdb_warehouse).metadata["dagster/table_name"]
    assert name == f"{duckdb_warehouse.location}_raw.issues"
    with location.pipeline.sql_client() as client:
        assert client.execute_sql(f"SELECT count(*) FROM {name}") == [(0,)]


def test_the_documentation_of_the_source_is_a_link(duckdb_warehouse: Warehouse) -> None:
    assert spec(duckdb_warehouse).metadata["source documentation"].url == ISSUES.docs


def test_the_columns_stand_with_types_and_descriptions(duckdb_warehouse: Warehouse) -> None:
    schema = spec(duckdb_warehouse).metadata["dagster/column_schema"]
    assert [(column.name, column.type, column.description) for column in schema.columns] == [
        (column.name, column.type.dlt, column.description) for column in all_columns(ISSUES)
    ]


def test_key_columns_are_marked() -> None:
    columns = {column.name: column.constraints for column in table_schema(LABELS).columns}
    assert (columns["id"].nullable, columns["id"].unique, columns["id"].other) == (False, True, ["primary key"])
    assert (columns["name"].nullable, columns["name"].unique, columns["name"].other) == (True, False, [])


def test_no_column_of_a_key_of_several_is_unique_by_itself() -> None:
    columns = {column.name: column.constraints for column in table_schema(ISSUES.children[0]).columns}
    assert not columns["issue_id"].unique
    assert not columns["label_id"].unique


def test_the_columns_in_the_warehouse_are_those_of_the_description(duckdb_warehouse: Warehouse) -> None:
    location = Location(duckdb_warehouse)
    location.run()
    with location.pipeline.sql_client() as client:
        rows = client.execute_sql(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = 'issues'",
            f"{duckdb_warehouse.location}_raw",
        )
    assert {name for (name,) in rows or ()} - {"_dlt_id", "_dlt_load_id"} == {c.name for c in all_columns(ISSUES)}
