"""A run in Dagster tells what it loaded, and fails with one line that a person can act on."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, ExecuteInProcessResult, MetadataValue
from dlt.pipeline.exceptions import PipelineStepFailed

from ingest_shared.columnar import Decoder, Page
from ingest_shared.errors import ApiError, IngestError, SettingError
from ingest_shared.loading import Load
from tests.conftest import ISSUES, Warehouse
from tests.dagster_location import Location, Read

decoder = Decoder(ISSUES)


def page(*rows: dict[str, Any]) -> Page:
    return decoder.page(json.dumps(rows).encode(), {"repo_id": 1})


def yielding(*pages: Page) -> Read:
    return lambda load: pages


def failing(error: Exception) -> tuple[Read, list[None]]:
    """A reader that raises, and a list with an entry for each time it was asked."""
    asked: list[None] = []

    def read(_: Load) -> Iterable[Page]:
        asked.append(None)
        raise error

    return read, asked


def told(result: ExecuteInProcessResult, table: str) -> Mapping[str, Any]:
    """The plain values of an asset's materialization."""
    assert result.success
    for event in result.get_asset_materialization_events():
        if event.asset_key and event.asset_key.path[-1] == table:
            metadata: Mapping[str, MetadataValue] = event.materialization.metadata
            return {name: value.value for name, value in metadata.items()}
    raise AssertionError(f"{table} was not materialized")


def failure(result: ExecuteInProcessResult) -> Any:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data


# What a run tells


def test_a_materialization_tells_what_was_read_and_what_is_there_now(warehouse: Warehouse) -> None:
    def read(load: Load) -> Iterable[Page]:
        load.usage.api_calls, load.usage.api_bytes, load.usage.quota_left = 3, 1200, 4997
        load.scopes_read = 1
        load.leave_out("octo/gone", "there is no such repository", 404)
        yield page({"id": 2, "title": "b", "mood": 1, "labels": [{"id": 5}, {"id": 6}]}, {"id": 3})

    location = Location(warehouse, {"issues": yielding(page({"id": 1, "labels": [{"id": 5}]}))})
    location.run()
    location.reads["issues"] = read
    result = location.run()
    metadata, child = told(result, "issues"), told(result, "issue_labels")
    assert (metadata["rows_loaded"], metadata["dagster/row_count"]) == (2, 3)
    assert (child["rows_loaded"], child["dagster/row_count"]) == (2, 3)
    assert "api_calls" not in child, "its parent's are not counted twice"
    assert (metadata["api_calls"], metadata["api_bytes"], metadata["pages"]) == (3, 1200, 1)
    assert metadata["quota_left"] == 4997
    assert metadata["new_fields"] == ["mood"]
    assert metadata["open_gaps"] == 1
    assert metadata["seconds"] > 0


def test_a_run_without_rows_succeeds_and_says_so(duckdb_warehouse: Warehouse) -> None:
    metadata = told(Location(duckdb_warehouse).run(), "issues")
    assert (metadata["rows_loaded"], metadata["dagster/row_count"], metadata["open_gaps"]) == (0, 0, 0)
    assert metadata["quota_left"] is None
    assert metadata["new_fields"] == []


def test_a_run_without_rows_leaves_the_totals(duckdb_warehouse: Warehouse) -> None:
    location = Location(duckdb_warehouse, {"issues": yielding(page({"id": 1}))})
    location.run()
    location.reads.clear()
    metadata = told(location.run(), "issues")
    assert (metadata["rows_loaded"], metadata["dagster/row_count"]) == (0, 1)
    assert metadata["schema_changes"] == []


def test_columns_that_a_load_adds_are_told_as_schema_changes(duckdb_warehouse: Warehouse) -> None:
    location = Location(duckdb_warehouse)
    first = location.run()
    assert "title" in told(first, "issues")["schema_changes"]
    assert "label_id" in told(first, "issue_labels")["schema_changes"]
    with location.pipeline.sql_client() as client:
        client.execute_sql(f"ALTER TABLE {client.make_qualified_table_name('issues')} DROP COLUMN title")
        client.execute_sql(f"DELETE FROM {client.make_qualified_table_name('_dlt_version')}")
    assert told(location.run(), "issues")["schema_changes"] == ["title"]


def test_each_asset_tells_of_its_own_tables(duckdb_warehouse: Warehouse) -> None:
    result = Location(duckdb_warehouse, {"issues": yielding(page({"id": 1}))}).run()
    assert told(result, "issues")["rows_loaded"] == 1
    assert told(result, "labels")["rows_loaded"] == 0


def test_a_materialization_leaves_table_name_and_columns_to_the_translator(duckdb_warehouse: Warehouse) -> None:
    metadata = told(Location(duckdb_warehouse).run(), "issues")
    assert "dagster/table_name" not in metadata
    assert "dagster/column_schema" not in metadata


@pytest.mark.parametrize("selected", [{"issues"}, {"issue_labels"}, {"issues", "issue_labels"}])
def test_a_table_and_its_child_tables_are_loaded_together_and_nothing_else(
    selected: set[str], duckdb_warehouse: Warehouse
) -> None:
    location = Location(duckdb_warehouse, {"issues": yielding(page({"id": 1, "labels": [{"id": 5}]}))})
    result = location.run(asset_selection=[AssetKey([duckdb_warehouse.location, name]) for name in selected])
    assert [told(result, name)["rows_loaded"] for name in ("issues", "issue_labels")] == [1, 1]
    assert sorted(e.asset_key.path[-1] for e in result.get_asset_materialization_events() if e.asset_key) == [
        "issue_labels",
        "issues",
    ]


# How a run fails


def test_a_wrong_setting_fails_the_run_with_its_line_and_is_not_tried_again(duckdb_warehouse: Warehouse) -> None:
    read, asked = failing(SettingError("sources.x.key is not set: set it"))
    result = Location(duckdb_warehouse, {"issues": read}).run()
    assert not result.success
    assert failure(result).user_failure_data.description == "sources.x.key is not set: set it"
    assert len(asked) == 1


def test_trouble_that_passes_fails_with_its_line_after_the_retries(duckdb_warehouse: Warehouse) -> None:
    read, asked = failing(ApiError("the API is down", retry=True))
    result = Location(duckdb_warehouse, {"issues": read}).run()
    assert failure(result).user_failure_data.description == "the API is down"
    assert len(asked) == 3


def test_trouble_that_passed_ends_well(duckdb_warehouse: Warehouse) -> None:
    answers: list[Callable[[], Iterable[Page]]] = []

    def down() -> Iterable[Page]:
        raise ApiError("the API is down", retry=True)

    answers[:] = [down, lambda: [page({"id": 1})]]
    result = Location(duckdb_warehouse, {"issues": lambda load: answers.pop(0)()}).run()
    assert told(result, "issues")["dagster/row_count"] == 1


def test_the_line_stands_without_the_stack_of_what_dlt_wrapped_around_it(duckdb_warehouse: Warehouse) -> None:
    read, _ = failing(IngestError("one line"))
    error = failure(Location(duckdb_warehouse, {"issues": read}).run()).error
    assert error.cause is None
    assert "PipelineStepFailed" not in error.to_string()


def test_any_other_error_keeps_its_own_name(duckdb_warehouse: Warehouse) -> None:
    read, _ = failing(ZeroDivisionError("a bug"))
    data = failure(Location(duckdb_warehouse, {"issues": read}).run())
    assert data.user_failure_data is None
    assert PipelineStepFailed.__name__ in data.error.to_string()
    assert "ZeroDivisionError" in data.error.to_string()


def test_a_destination_that_is_wrong_fails_before_the_api_is_asked(duckdb_warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.environ["INGEST_DATA_DIR"] = str(tmp_path / "file" / "data")
    read, asked = failing(AssertionError("was asked"))
    result = Location(duckdb_warehouse, {"issues": read}).run()
    assert "set INGEST_DATA_DIR to a writable folder" in failure(result).user_failure_data.description
    assert asked == []


def test_an_unknown_destination_loads_as_definitions_and_fails_as_a_run(duckdb_warehouse: Warehouse) -> None:
    os.environ["INGEST_DESTINATION"] = "oracle"
    read, asked = failing(AssertionError("was asked"))
    location = Location(duckdb_warehouse, {"issues": read})
    description = failure(location.run()).user_failure_data.description
    assert description.startswith("INGEST_DESTINATION is 'oracle'")
    assert asked == []
