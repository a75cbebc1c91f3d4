"""What a deploy tries in a run's container: all that a run needs is opened, and nothing is loaded."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef

from ingest_shared import trial
from ingest_shared.destinations import duckdb_file
from ingest_shared.errors import SettingError

DEFINITIONS = """
import dlt
from dagster import AssetExecutionContext, Definitions
from dagster_dlt import DagsterDltResource, dlt_assets
from ingest_shared.pipelines import pipeline

@dlt.source(name="tried_all", section="tried")
def source():
    yield dlt.resource([{"id": 1}], name="items")

@dlt_assets(dlt_source=source(), dlt_pipeline=pipeline("tried", "all"), name="all")
def assets(context: AssetExecutionContext, dlt: DagsterDltResource):
    yield from dlt.run(context)

defs = Definitions(assets=[assets], resources={"dlt": DagsterDltResource()})
"""
API = """
from ingest_shared.settings import secret_setting

def connect():
    secret_setting("sources.tried.access_token", "the API is read with a token")
"""


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the location `tried`, with its token set."""
    package = tmp_path / "tried_location"
    (package / "source").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "source" / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    (package / "source" / "api.py").write_text(API)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])  # Dagster passes over the first folder
    monkeypatch.setenv("SOURCES__TRIED__ACCESS_TOKEN", "a-token")
    for name in [name for name in sys.modules if name.startswith("tried_location")]:
        monkeypatch.delitem(sys.modules, name)
    return package


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceRef]:
    with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as instance:
        yield instance.get_ref()


def test_all_is_opened_and_nothing_is_loaded(location: Path, instance: InstanceRef) -> None:
    trial.open_all("tried", instance)
    assert duckdb_file("tried").exists()
    assert duckdb_file("tried").stat().st_size < 20_000


def test_code_that_does_not_import(location: Path, instance: InstanceRef) -> None:
    (location / "definitions.py").write_text("import no_such_module")
    with pytest.raises(ImportError, match="no_such_module"):
        trial.open_all("tried", instance)


def test_a_warehouse_that_cannot_be_opened(
    location: Path, instance: InstanceRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INGEST_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(SettingError, match="cannot write to the data folder"):
        trial.open_all("tried", instance)


def test_a_setting_of_the_source_that_is_missing(
    location: Path, instance: InstanceRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCES__TRIED__ACCESS_TOKEN")
    with pytest.raises(SettingError, match=r"sources\.tried\.access_token is not set"):
        trial.open_all("tried", instance)
