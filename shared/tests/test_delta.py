"""Delta tables: what only they have. That they hold what any warehouse holds, the other modules test."""

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import dlt
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from deltalake import DeltaTable
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
from s3fs import S3FileSystem  # type: ignore[import-untyped]

from ingest_shared import delta, pipelines
from ingest_shared.columnar import Decoder
from ingest_shared.delta import _LoadJob
from ingest_shared.destinations import check_destination
from ingest_shared.errors import SettingError, WarehouseError
from ingest_shared.loading import Load
from ingest_shared.shards import shards_setting
from ingest_shared.tables import Table, bigint, decimal
from tests.conftest import ISSUES, LABELS, Warehouse, closed_port, read_by, reading
from tests.test_loading import issue, label_page, page

issues = Decoder(ISSUES)
labels = Decoder(LABELS)
pytestmark = pytest.mark.parametrize("warehouse", ["delta"], indirect=True)


def wait_for(port: int) -> None:
    """Returns once a server listens: on a busy machine it takes longer to start than boto3 retries."""
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)


@pytest.fixture
def in_s3(warehouse: Warehouse) -> Iterator[Warehouse]:
    """A warehouse in S3: moto's server stands in for it, in another process, as deltalake holds Python's lock."""
    port = closed_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    credentials = {"aws_access_key_id": "key", "aws_secret_access_key": "a secret", "region_name": "us-east-1"}
    credentials["endpoint_url"] = f"http://127.0.0.1:{port}"
    wait_for(port)
    boto3.resource("s3", **credentials).create_bucket(Bucket="lake")
    for name, value in credentials.items():
        os.environ[f"DESTINATION__DELTA__CREDENTIALS__{name.upper()}"] = value
    os.environ["DESTINATION__DELTA__BUCKET_URL"] = "s3://lake/raw"
    yield warehouse
    server.terminate()
    server.wait()


def opened(warehouse: Warehouse, table: str) -> DeltaTable:
    folder = os.environ["DESTINATION__DELTA__BUCKET_URL"]
    return DeltaTable(f"{folder}/{warehouse.location}_raw/{table}")


def files(warehouse: Warehouse) -> set[str]:
    """All files of the warehouse."""
    folder = Path(os.environ["DESTINATION__DELTA__BUCKET_URL"])
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_in_s3_rows_and_lists_are_replaced_and_what_is_there_is_known(in_s3: Warehouse) -> None:
    assert in_s3.tables() == set()
    with pytest.raises(DatabaseUndefinedRelation):
        in_s3.rows("_dlt_loads", "status")
    in_s3.load(reading(issues, page(issue(1, "one", 5, 6), issue(2, "two", 5))))
    assert in_s3.tables() == {"issues", "issue_labels", "load_gaps"}
    in_s3.load(reading(issues, page(issue(1, "uno", 7), issue(3, "three"))))
    assert in_s3.rows("issues", "id", "title") == [(1, "uno"), (2, "two"), (3, "three")]
    assert in_s3.rows("issue_labels", "issue_id", "label_id") == [(1, 7), (2, 5)]
    assert in_s3.rows("_dlt_loads", "status") == [(0,), (0,)]


def test_storage_in_which_commits_replace_each_other_is_refused(
    in_s3: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_destination(in_s3.pipeline())
    call = S3FileSystem._call_s3

    async def ignoring(files: Any, method: str, *args: Any, IfNoneMatch: str = "", **options: Any) -> Any:  # noqa: N803
        return await call(files, method, *args, **options)

    monkeypatch.setattr(S3FileSystem, "_call_s3", ignoring)
    with pytest.raises(WarehouseError, match=r"s3://lake/raw ignores If-None-Match") as caught:
        check_destination(in_s3.pipeline())
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("DESTINATION__DELTA__DELTALAKE_STORAGE_OPTIONS", '{"aws_s3_allow_unsafe_rename": "true"}')
    check_destination(in_s3.pipeline())


def test_a_merge_is_one_commit(warehouse: Warehouse) -> None:
    warehouse.load(reading(issues, page(issue(1, "one", 5))))
    before = opened(warehouse, "issue_labels").version()
    warehouse.load(reading(issues, page(issue(1, "one", 6, 7), issue(2, "two", 5))))
    assert opened(warehouse, "issue_labels").version() == before + 1


def test_a_load_that_finds_nothing_new_writes_nothing(warehouse: Warehouse) -> None:
    warehouse.load(reading(issues, page(issue(1, "one", 5))))
    before = files(warehouse)
    warehouse.load(reading(issues))
    assert files(warehouse) == before


def test_a_load_that_ends_between_two_tables_is_completed_by_the_next(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.load(reading(issues, page(issue(1, "one", 5))))
    changed = page(issue(1, "uno", 6))
    merge = _LoadJob._merge

    def fail(job: Any, *args: Any) -> None:
        if job.load_table_name == "issue_labels":
            raise DestinationTerminalException("as if it had been killed")
        merge(job, *args)

    with monkeypatch.context() as patch:
        patch.setattr(_LoadJob, "_merge", fail)
        with pytest.raises(Exception, match="as if it had been killed"):
            warehouse.load(reading(issues, changed))
    assert warehouse.rows("issues", "id", "title") == [(1, "uno")]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 5)]
    warehouse.load(reading(issues, page(issue(1, "uno", 6))))
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 6)]


def test_a_merge_that_another_pipeline_was_faster_than_is_tried_again(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pipelines of a location note their gaps in one table."""
    merge = _LoadJob._merge
    attempts: list[str] = []

    def left_out(load: Load) -> tuple[()]:
        load.leave_out("octo/private", "it may not be read", 403)
        return ()

    def load(group: str, decoder: Decoder) -> None:
        pipelines.run(warehouse.pipeline(group), dlt.source(lambda: read_by(decoder, left_out), name=group)())

    def meanwhile(job: Any, *args: Any) -> None:
        attempts.append(job.load_table_name)
        if attempts == ["load_gaps"]:
            thread = threading.Thread(target=load, args=("other", labels))  # dlt keeps its pipeline by thread
            thread.start()
            thread.join()
        merge(job, *args)

    load("one", issues)
    monkeypatch.setattr(_LoadJob, "_merge", meanwhile)
    load("one", issues)
    assert attempts == ["load_gaps"] * 3
    assert warehouse.rows("load_gaps", "resource", "scope") == [("issues", "octo/private"), ("labels", "octo/private")]


def test_first_loads_at_the_same_time_leave_each_row_once(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table is there from its first commit on, so the slower one learns of it only when it writes its own."""
    create, late = _LoadJob._create, warehouse.pipeline()
    began: list[Any] = []

    def load(pipeline: Any) -> None:
        pipelines.run(pipeline, reading(issues, page(issue(1, "one", 5, 6))))

    def meanwhile(job: Any) -> None:
        if not began:
            began.append(job)
            thread = threading.Thread(target=lambda: load(warehouse.pipeline()))  # dlt keeps its pipeline by thread
            thread.start()
            thread.join()
        create(job)

    monkeypatch.setattr(_LoadJob, "_create", meanwhile)
    load(late)
    assert warehouse.rows("issues", "id", "title") == [(1, "one")]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 5), (1, 6)]


def test_a_first_commit_whose_answer_is_lost_is_not_added_again(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, lost = _LoadJob._create, []

    def answer_is_lost(job: Any) -> None:
        create(job)
        if job.load_table_name not in lost:
            lost.append(job.load_table_name)
            raise OSError("timed out")

    monkeypatch.setattr(_LoadJob, "_create", answer_is_lost)
    warehouse.load(reading(issues, page(issue(1, "one", 5, 6))))
    assert {"issues", "issue_labels"} <= set(lost)
    assert warehouse.rows("issues", "id", "title") == [(1, "one")]
    assert warehouse.rows("issue_labels", "issue_id", "label_id") == [(1, 5), (1, 6)]


def test_a_panic_of_deltalake_ends_the_run(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no ``Exception``, for which alone dlt looks: the run would wait for the load without an end."""

    class PanicException(BaseException):
        pass

    def panic(*_: Any) -> None:
        raise PanicException("called `Option::unwrap()` on a `None` value")

    warehouse.load(reading(issues, page(issue(1, "one", 5))))
    monkeypatch.setattr(_LoadJob, "_merge", panic)
    with pytest.raises(Exception, match="deltalake failed: called `Option::unwrap"):
        warehouse.load(reading(issues, page(issue(1, "uno", 5))))


def test_rows_that_no_longer_belong_to_an_owner_are_merged_by_key(warehouse: Warehouse) -> None:
    by_key = Decoder(replace(LABELS, merge_key=()))
    warehouse.load(reading(labels, label_page(1, "bug", "new")))
    warehouse.load(reading(by_key, by_key.page(b'[{"id": 100, "name": "error"}]', {"repo_id": 1})))
    assert warehouse.rows("labels", "id", "name") == [(100, "error"), (101, "new")]


def test_a_run_that_ends_in_the_middle_of_a_file_of_dlts_does_not_stop_the_next(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of them it is."""
    write, to_go = AbstractFileSystem.write_text, 0

    def cut(files: Any, path: str, value: str, **options: Any) -> None:
        nonlocal to_go
        to_go -= 1
        write(files, path, "" if to_go == 0 else value, **options)
        if to_go == 0:
            raise DestinationTerminalException("as if it had been killed")

    monkeypatch.setattr(AbstractFileSystem, "write_text", cut)
    for number in itertools.count(1):
        to_go, another = number, Warehouse("delta", f"test_{number}")
        with suppress(Exception):
            another.load(reading(issues, page(issue(1, "one", 5))))
        if to_go > 0:
            break
        another.load(reading(issues, page(issue(1, "one", 5))))
        assert another.rows("issues", "id", "title") == [(1, "one")]
        assert set(another.rows("_dlt_loads", "status")) == {(0,)}
    assert number > 3


def test_any_engine_finds_a_decimal_by_its_value(warehouse: Warehouse) -> None:
    """delta-rs would note its files' least and greatest decimals as rounded: whoever skips files by them finds none."""
    amounts = Table(
        name="amounts",
        description="Amounts.",
        docs="https://example.com",
        key=("id",),
        columns=(bigint("id", "The id."), decimal("amount", "The amount.")),
    )
    rows = Decoder(amounts)
    warehouse.load(reading(rows, rows.page(b'[{"id": 1, "amount": "1234567.891234567891"}]')))
    warehouse.load(reading(rows, rows.page(b'[{"id": 2, "amount": "7.000000000003"}]')))
    stored = opened(warehouse, "amounts").to_pyarrow_dataset()
    amount, precise = pads.field("amount"), stored.schema.field("amount").type
    for value in ("1234567.891234567891", "7.000000000003"):
        assert stored.count_rows(amount == pa.scalar(Decimal(value), precise)) == 1


def test_many_small_files_become_one(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "FILES", 3)
    for number in range(7):
        warehouse.load(reading(issues, page(issue(number, "one", 5))))
        assert len(opened(warehouse, "issues").file_uris()) < 3
    assert warehouse.rows("issues", "id") == [(number,) for number in range(7)]


def test_it_may_be_compacted_and_vacuumed_between_loads(warehouse: Warehouse) -> None:
    for number in range(3):
        warehouse.load(reading(issues, page(issue(number, "one", 5))))
    table = opened(warehouse, "issues")
    assert len(table.file_uris()) > 1
    table.optimize.compact()
    assert table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert len(table.file_uris()) == 1
    warehouse.load(reading(issues, page(issue(1, "uno", 5))))
    assert warehouse.rows("issues", "id", "title") == [(0, "one"), (1, "uno"), (2, "one")]


def test_it_is_read_without_an_extension_from_the_network(warehouse: Warehouse) -> None:
    warehouse.load(reading(issues, page(issue(1, "one", 5))))
    with warehouse.pipeline().sql_client() as client:
        assert client.execute_sql(f"SELECT title FROM {client.make_qualified_table_name('issues')}") == [("one",)]
        loaded = "SELECT extension_name FROM duckdb_extensions() WHERE loaded AND install_mode <> 'STATICALLY_LINKED'"
        assert client.execute_sql(loaded) == []


def test_a_folder_that_cannot_be_made_is_named_with_its_setting(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.environ["DESTINATION__DELTA__BUCKET_URL"] = f"{tmp_path}/file/lake"
    with pytest.raises(WarehouseError, match=r"Not a directory.*`destination\.delta\.bucket_url` and its"):
        check_destination(warehouse.pipeline())


def test_a_bucket_that_is_not_set_is_named_with_its_setting(warehouse: Warehouse) -> None:
    del os.environ["DESTINATION__DELTA__BUCKET_URL"]
    with pytest.raises(WarehouseError, match=r"`destination\.delta\.bucket_url`") as caught:
        check_destination(warehouse.pipeline())
    assert "\n" not in str(caught.value)


def test_shards_are_refused(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__TEST__SHARDS", "4")
    with pytest.raises(SettingError, match=r"sources.test.shards is 4, but delta tables take one writer at a time"):
        shards_setting("sources.test.shards")
