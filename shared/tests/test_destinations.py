"""The warehouse is chosen by configuration; what is wrong with it is said in one line, at the run."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from adbc_driver_manager.dbapi import Cursor
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient as PostgresSqlClient
from dlt.pipeline.pipeline import Pipeline

from ingest_shared import destinations
from ingest_shared.columnar import Decoder
from ingest_shared.destinations import check_destination, duckdb_file
from ingest_shared.errors import IngestError, SettingError, WarehouseError
from tests.conftest import ISSUES, Warehouse, closed_port, reading


def error_of(pipeline: Pipeline) -> IngestError:
    with pytest.raises(IngestError) as caught:
        check_destination(pipeline)
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_default_is_a_duckdb_file_in_the_folder_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INGEST_DATA_DIR")
    github = Warehouse("duckdb", "github")
    github.load(reading(Decoder(ISSUES)))
    assert duckdb_file("github") == tmp_path / "data" / "github.duckdb"
    assert duckdb_file("github").is_file()


def test_the_folder_of_the_duckdb_files_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INGEST_DATA_DIR", str(tmp_path / "deep" / "elsewhere"))
    Warehouse("duckdb", "github").load(reading(Decoder(ISSUES)))
    assert (tmp_path / "deep" / "elsewhere" / "github.duckdb").is_file()


@pytest.mark.parametrize("name", ["INGEST_DESTINATION", "INGEST_DATA_DIR"])
def test_a_blank_setting_is_as_good_as_none(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(name, " ")
    assert duckdb_file("github").parent == tmp_path / "data"
    check_destination(Warehouse("duckdb", "github").pipeline())


def test_a_destination_whose_merge_is_not_proven_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INGEST_DESTINATION", "filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path))
    error = error_of(Warehouse("", "github").pipeline())
    assert isinstance(error, SettingError)
    assert "INGEST_UNPROVEN=1" in str(error)


def test_a_destination_whose_driver_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_DESTINATION", "mariadb")
    monkeypatch.setitem(destinations.DRIVERS, "mariadb", "no_such_driver")
    error = error_of(Warehouse("", "github").pipeline())
    assert isinstance(error, SettingError)
    assert "add ingest-shared[mariadb] to the dependencies" in str(error)


def test_a_destination_that_is_not_proven_may_be_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INGEST_DESTINATION", "sqlalchemy")
    monkeypatch.setenv("INGEST_UNPROVEN", "1")
    monkeypatch.setenv("DESTINATION__SQLALCHEMY__CREDENTIALS", f"sqlite:///{tmp_path}/tried.db")
    check_destination(Warehouse("", "github").pipeline())


@pytest.mark.parametrize("name", ["oracle", "no.such.module", "duck db"])
def test_an_unknown_destination_is_an_error_of_the_run_and_not_of_the_import(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_DESTINATION", name)
    error = error_of(Warehouse("", "github").pipeline())
    assert isinstance(error, SettingError)
    assert not error.retry
    assert f"INGEST_DESTINATION is {name!r}" in str(error)


def test_a_data_folder_that_cannot_be_written_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INGEST_DATA_DIR", str(tmp_path / "file" / "data"))
    error = error_of(Warehouse("duckdb", "github").pipeline())
    assert isinstance(error, SettingError)
    assert str(error) == (
        f"cannot write to the data folder {tmp_path}/file/data (Not a directory); "
        "set INGEST_DATA_DIR to a writable folder"
    )


def test_a_data_folder_is_left_as_it_was_found(tmp_path: Path, duckdb_warehouse: Warehouse) -> None:
    check_destination(duckdb_warehouse.pipeline())
    assert {path.suffix for path in (tmp_path / "data").iterdir()} <= {".duckdb", ".wal"}


def test_a_duckdb_file_in_use_by_another_process_is_named(duckdb_warehouse: Warehouse) -> None:
    duckdb_warehouse.load(reading(Decoder(ISSUES)))
    file = duckdb_file(duckdb_warehouse.location)
    hold = f"import duckdb; held = duckdb.connect({str(file)!r}); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        error = error_of(duckdb_warehouse.pipeline())
        holder.kill()
    assert isinstance(error, WarehouseError)
    assert error.retry
    assert "another process is using the DuckDB file" in str(error)
    assert str(file) in str(error)
    check_destination(duckdb_warehouse.pipeline())


def test_a_duckdb_file_that_is_none_is_not_said_to_be_in_use(tmp_path: Path) -> None:
    """Also where a name says otherwise: this location's has the word lock in it."""
    (tmp_path / "data").mkdir()
    duckdb_file("block").write_bytes(b"no database" * 1000)
    error = error_of(Warehouse("duckdb", "block").pipeline())
    assert isinstance(error, WarehouseError)
    assert "another process is using" not in str(error)
    assert "cannot open the warehouse" in str(error)


def test_a_postgres_that_does_not_answer_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_DESTINATION", "postgres")
    address = f"postgresql://u:hunter2@127.0.0.1:{closed_port()}/db"
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", address)
    error = error_of(Warehouse("postgres", "github").pipeline())
    assert isinstance(error, WarehouseError)
    assert error.retry
    assert "refused" in str(error)
    assert "`destination.postgres.credentials`" in str(error)
    assert "hunter2" not in str(error)


def test_a_postgres_without_credentials_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_DESTINATION", "postgres")
    assert "`destination.postgres.credentials`" in str(error_of(Warehouse("postgres", "github").pipeline()))


def test_a_warehouse_in_order_passes(warehouse: Warehouse) -> None:
    check_destination(warehouse.pipeline())


def test_settings_are_looked_for_once_and_every_client_connects_on_its_own(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = warehouse.pipeline()
    with pipeline.sql_client():
        pass

    def look_again(*_: object, **__: object) -> None:
        raise AssertionError("the settings of the destination were looked for once more")

    monkeypatch.setattr("dlt.common.destination.reference.resolve_configuration", look_again)
    one, other = pipeline.sql_client(), pipeline.sql_client()
    assert one.credentials is not other.credentials
    with one, other:
        one.execute_sql("CREATE TEMPORARY TABLE of_one (id INT)")
        with pytest.raises(DatabaseUndefinedRelation):
            other.execute_sql("SELECT * FROM of_one")


def test_a_role_that_may_make_no_schema_has_the_platform_make_what_it_stages_in(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    walled = postgres.replace("/postgres?", "/walled?")
    execute(postgres, "CREATE ROLE confined LOGIN", "CREATE DATABASE walled")
    execute(
        walled,
        "CREATE SCHEMA platform",
        "GRANT USAGE ON SCHEMA platform TO confined",
        "CREATE FUNCTION platform.make_schema(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
        " AS $$ BEGIN EXECUTE format('CREATE SCHEMA %I AUTHORIZATION confined', name); END $$",
        "CREATE SCHEMA confined_raw AUTHORIZATION confined",
    )
    monkeypatch.setenv("INGEST_DESTINATION", "postgres")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", walled.replace("postgres:x@", "confined:x@"))
    confined = Warehouse("postgres", "confined")
    for title in (b"one", b"two"):
        confined.load(reading(Decoder(ISSUES), Decoder(ISSUES).page(b'[{"id": 1, "title": "%s"}]' % title)))
    assert confined.rows("issues", "title") == [("two",)]


def test_postgres_is_given_a_row_group_at_a_time(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows of a file at once would need its size in memory, for each of the files loaded side by side."""
    given: list[int] = []
    ingest = Cursor.adbc_ingest

    def noted(cursor: Cursor, table_name: str, data: Any, *rest: Any, **options: Any) -> int:
        given.append(data.num_rows if table_name == "issues" else 0)
        return ingest(cursor, table_name, data, *rest, **options)

    monkeypatch.setattr(Cursor, "adbc_ingest", noted)
    monkeypatch.setenv("INGEST_DESTINATION", "postgres")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres)
    monkeypatch.setenv("DATA_WRITER__ROW_GROUP_SIZE", "2")
    grouped = Warehouse("postgres", "grouped")
    page = b"[%s]" % b",".join(b'{"id": %d}' % number for number in range(5))
    grouped.load(reading(Decoder(ISSUES), Decoder(ISSUES).page(page)))
    assert [rows for rows in given if rows] == [2, 2, 1]
    assert len(grouped.rows("issues", "id")) == 5


def test_rows_that_are_no_arrow_table_are_inserted_a_little_at_a_time(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To parse dlt's own 16 MB, a session needs more memory than the platform's Postgres gives it."""
    lengths: list[int] = []
    insert = PostgresSqlClient.execute_fragments

    def noted(client: Any, fragments: list[str], *rest: Any, **options: Any) -> Any:
        lengths.append(sum(map(len, fragments)))
        return insert(client, fragments, *rest, **options)

    monkeypatch.setattr(PostgresSqlClient, "execute_fragments", noted)
    monkeypatch.setenv("INGEST_DESTINATION", "postgres")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres)
    plain = Warehouse("postgres", "plain")
    rows = [{f"column_{number}": row for number in range(12)} for row in range(20_000)]
    plain.pipeline().run(rows, table_name="plain")
    assert sum(lengths) > 1_500_000 > 600_000 > max(lengths)
    assert plain.rows("plain", "count(*)") == [(len(rows),)]


def execute(address: str, *statements: str) -> None:
    with closing(psycopg2.connect(address)) as opened, opened.cursor() as cursor:
        opened.autocommit = True
        for statement in statements:
            cursor.execute(statement)
