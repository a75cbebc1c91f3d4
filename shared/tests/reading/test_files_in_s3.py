"""Files in S3-compatible storage: a server of moto stands in for it."""

import os
from collections.abc import Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from moto.server import ThreadedMotoServer

from ingest_shared.loading import mirror
from ingest_shared.pipelines import run
from ingest_shared.reading.files import FileReader, Files, Folder
from ingest_shared.reading.formats import Csv
from tests.conftest import Warehouse
from tests.reading.test_files import ORDERS

FILES = Files(table=ORDERS, pattern="**/*.csv", format=Csv())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> Any:
    """An empty bucket, and the settings of a location that reads the folder ``shop`` in it."""
    credentials = {"aws_access_key_id": "key", "aws_secret_access_key": "a secret", "region_name": "us-east-1"}
    for name, value in {**credentials, "endpoint_url": server}.items():
        os.environ[f"SOURCES__SHOP__CREDENTIALS__{name.upper()}"] = value
    name = f"bucket-{abs(hash(request.node.name))}"
    os.environ["SOURCES__SHOP__BUCKET_URL"] = f"s3://{name}/shop"
    resource = boto3.resource("s3", endpoint_url=server, **credentials)
    return resource.create_bucket(Bucket=name)


def put(bucket: Any, name: str, content: bytes) -> None:
    bucket.put_object(Key=f"shop/{name}", Body=content)


def sync(warehouse: Warehouse, *, audit: bool = False) -> dict[str, Any]:
    folder = Folder("sources.shop")
    source = dlt.source(lambda: mirror(FileReader(FILES, folder, audit)), name="shop")()
    return run(warehouse.pipeline(), source).metrics["orders"]


def test_objects_that_come_change_and_vanish(bucket: Any, duckdb_warehouse: Warehouse) -> None:
    put(bucket, "2026/01/a.csv", b"id,name\n1,one\n")
    put(bucket, "b.csv", b"id,name\n2,two\n")
    bucket.put_object(Key="elsewhere/c.csv", Body=b"id\n9\n")
    sync(duckdb_warehouse)
    rows = duckdb_warehouse.rows("orders", "file", "id", "name")
    assert rows == [("2026/01/a.csv", 1, "one"), ("b.csv", 2, "two")]
    assert sync(duckdb_warehouse)["pages"] == 0
    put(bucket, "b.csv", b"id,name\n2,duo\n")  # as large as before, and perhaps in the same second
    assert sync(duckdb_warehouse)["pages"] == 1
    bucket.Object("shop/2026/01/a.csv").delete()
    sync(duckdb_warehouse)
    assert duckdb_warehouse.rows("orders", "file", "id", "name") == [("b.csv", 2, "duo")]
    assert sync(duckdb_warehouse, audit=True)["rows"] == 0


def test_a_bad_object_is_a_gap(bucket: Any, duckdb_warehouse: Warehouse) -> None:
    put(bucket, "a.csv", b"id,name\n1,one\n2,two,three\n")
    put(bucket, "b.csv", b"id,name\n2,two\n")
    found = sync(duckdb_warehouse)
    assert found["first_gap"]["scope"] == "a.csv"
    assert found["first_gap"]["reason"].startswith("line 3: Expected 2 columns, got 3")
    assert duckdb_warehouse.rows("orders", "id") == [(2,)]


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("BUCKET_URL", "s3://not-there/shop", "is 's3://not-there/shop': the folder does not exist or is empty"),
        ("CREDENTIALS__ENDPOINT_URL", "http://127.0.0.1:9", "`sources.shop.credentials`"),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_one_line(
    setting: str, value: str, told: str, bucket: Any, duckdb_warehouse: Warehouse
) -> None:
    os.environ |= {f"SOURCES__SHOP__{setting}": value, "AWS_MAX_ATTEMPTS": "1"}
    with pytest.raises(PipelineStepFailed) as raised:
        sync(duckdb_warehouse)
    error = raised.value.__cause__
    while error and not str(error).startswith(("sources.", "cannot")):
        error = error.__cause__ or error.__context__
    assert told in str(error)
    assert "\n" not in str(error)
