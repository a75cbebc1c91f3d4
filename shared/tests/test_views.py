"""Views: a file of SQL is an asset below the tables it reads, and a view of the warehouse."""

from pathlib import Path

import pytest
from dagster import AssetKey, AssetsDefinition, materialize

from ingest_shared.columnar import Decoder
from ingest_shared.destinations import DATABASES
from ingest_shared.views import View, view_assets, views_in
from tests.conftest import ISSUES, Warehouse, reading

TITLES = """-- Every title, in
-- capital letters.

SELECT upper(title) AS title, {one} AS one FROM {issues} -- of all
"""
LONG = "-- Long titles.\n\nSELECT title FROM {capitals} WHERE length(title) > {one}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two views, of which one reads the other."""
    (tmp_path / "capitals.sql").write_text(TITLES)
    (tmp_path / "a_long_title.sql").write_text(LONG)
    return tmp_path


def made(warehouse: Warehouse, views: list[View]) -> AssetsDefinition:
    return view_assets(warehouse.location, "finance", views, warehouse.pipeline(), ["team:test"], {"one": "1"})


def load(warehouse: Warehouse, *titles: str) -> None:
    rows = ",".join(f'{{"id": {number}, "title": "{title}"}}' for number, title in enumerate(titles))
    decoder = Decoder(ISSUES)
    warehouse.load(reading(decoder, decoder.page(f"[{rows}]".encode(), {"repo_id": 1})))


def test_a_view_comes_after_those_that_it_reads(folder: Path) -> None:
    assert [view.name for view in views_in(folder)] == ["capitals", "a_long_title"]


def test_an_asset_shows_its_definition_and_has_what_it_reads_above_it(folder: Path, warehouse: Warehouse) -> None:
    specs = {spec.key.path[-1]: spec for spec in made(warehouse, views_in(folder)).specs}
    assert specs["capitals"].description == "Every title, in\ncapital letters."
    assert [dep.asset_key for dep in specs["capitals"].deps] == [AssetKey([warehouse.location, "issues"])]
    assert [dep.asset_key for dep in specs["a_long_title"].deps] == [AssetKey([warehouse.location, "capitals"])]


@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_view_shows_what_is_in_the_tables_now_and_changes_with_its_file(folder: Path, warehouse: Warehouse) -> None:
    load(warehouse, "a", "bc")
    assert materialize([made(warehouse, views_in(folder))]).success
    load(warehouse, "a", "bcd")
    assert warehouse.rows("capitals", "title", "one") == [("A", 1), ("BCD", 1)]
    assert warehouse.rows("a_long_title", "title") == [("BCD",)]
    (folder / "capitals.sql").write_text("-- As they are.\n\nSELECT id, title FROM {issues}")
    assert materialize([made(warehouse, views_in(folder))]).success
    assert warehouse.rows("a_long_title", "title") == [("bcd",)]


@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_view_whose_table_was_never_loaded_is_left_out_and_the_run_says_so(
    folder: Path, warehouse: Warehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "others.sql").write_text("-- Others.\n\nSELECT * FROM {never_loaded}")
    load(warehouse, "a")
    result = materialize([made(warehouse, views_in(folder))])
    assert result.success
    keys = {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}
    assert keys == {"capitals", "a_long_title"}
    assert "view others was not created: never_loaded, which it reads, was never loaded" in capfd.readouterr().err


def test_views_that_are_written_for_other_warehouses_are_not_made_and_the_run_says_so(
    folder: Path, duckdb_warehouse: Warehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    load(duckdb_warehouse, "a")
    pipeline = duckdb_warehouse.pipeline()
    views = view_assets("test", "finance", views_in(folder), pipeline, ["team:test"], destinations=("postgres",))
    result = materialize([views])
    assert result.success
    assert not result.get_asset_materialization_events()
    assert "no views were created: their SQL is for postgres, not for duckdb" in capfd.readouterr().err
