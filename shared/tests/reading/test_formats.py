"""CSV, JSON Lines and Parquet as the columns that a table declares; what does not fit is named with its line."""

import gzip
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_shared.errors import PayloadError
from ingest_shared.reading.files import FILE
from ingest_shared.reading.formats import Batch, Csv, Format, JsonLines, Parquet, decompressed
from ingest_shared.tables import Table, bigint, boolean, decimal, double, epoch, json, text, timestamp
from ingest_shared.tables import date as day

ORDERS = Table(
    name="orders",
    description="Orders.",
    docs="https://example.com",
    key=("id",),
    merge_key=("file",),
    columns=(
        FILE,
        bigint("id", "Immutable id."),
        text("name", "Name.", path="Full name"),
        double("weight", "Weight."),
        boolean("paid", "Paid."),
        timestamp("at", "When."),
        epoch("seen", "When it was seen."),
        day("on", "Day."),
        decimal("price", "Price."),
        json("of", "Whatever."),
    ),
    unused=("internal",),
)


def read(format_: Format, content: bytes, name: str = "a") -> list[Batch]:
    return list(format_.batches(lambda: decompressed(io.BytesIO(content), name), ORDERS))


def rows(format_: Format, content: bytes, name: str = "a") -> list[dict[str, Any]]:
    """The rows, with the values that are not null."""
    found = [row for batch in read(format_, content, name) for row in batch.rows.to_pylist()]
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def parquet(table: pa.Table | None = None, **columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table or pa.table(columns), sink)
    return sink.getvalue()


AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALL = {
    "id": 1,
    "name": "a",
    "weight": 1.5,
    "paid": True,
    "at": AT,
    "seen": AT,
    "on": date(2026, 1, 2),
    "price": Decimal("9.900000000000"),
}
HEADER = "id,Full name,weight,paid,at,seen,on,price,of\n"
LINE = '1,a,1.5,true,2026-01-02T03:04:05Z,1767323045,2026-01-02,9.90,"{""n"": 1}"\n'


def test_each_type_of_a_csv() -> None:
    assert rows(Csv(), (HEADER + LINE).encode()) == [{**ALL, "of": '{"n": 1}'}]


def test_each_type_of_json_lines() -> None:
    line = (
        b'{"id": 1, "Full name": "a", "weight": 1.5, "paid": true, "at": "2026-01-02T03:04:05Z", "seen": 1767323045, '
        b'"on": "2026-01-02", "price": "9.90", "of": {"n": 1}, "internal": 1}\n'
    )
    assert rows(JsonLines(), b"\xef\xbb\xbf" + line + b"\n") == [{**ALL, "of": '{"n": 1}'}]


def test_each_type_of_a_parquet_file() -> None:
    content = parquet(
        price=pa.array([Decimal("9.90")]),
        id=pa.array([1], pa.int16()),
        paid=[True],
        weight=pa.array([1.5], pa.float32()),
        at=pa.array([AT.replace(tzinfo=None)], pa.timestamp("ms")),
        seen=[1767323045],
        on=[date(2026, 1, 2)],
        of=[{"n": 1}],
        **{"Full name": pa.array(["a"]).dictionary_encode()},
    )
    assert rows(Parquet(), content) == [{**ALL, "of": '{"n":1}'}]


@pytest.mark.parametrize("compress", [gzip.compress, partial(pa.compress, codec="zstd", asbytes=True)])
def test_a_compressed_file(compress: Any) -> None:
    name = "a.csv.gz" if compress is gzip.compress else "a.csv.zst"
    assert rows(Csv(), compress(b"id\n1\n2\n"), name) == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbfid\n1\n", [{"id": 1}]),
        (b"id,Full name\r\n1,b\r\n", [{"id": 1, "name": "b"}]),
        (b'Full name,id\n"two\nlines",1', [{"id": 1, "name": "two\nlines"}]),
        (b'id,Full name,price\n"1","",""\n2,,\n', [{"id": 1, "name": ""}, {"id": 2}]),
        (b"id,at\n1,2026-01-02 03:04:05\n", [{"id": 1, "at": AT}]),
        (b"id,at\n1,2026-01-02 05:04:05+02:00\n", [{"id": 1, "at": AT}]),
        (b"id,Full name\n1,a\0b\n", [{"id": 1, "name": "a\ufffdb"}]),
        (b'id,of\n1,"""\\u0000"""\n', [{"id": 1, "of": '"\\ufffd"'}]),
        (b"id,votes\n1,a\0b\n", [{"id": 1, "_undeclared": '{"votes":"a\\ufffdb"}'}]),
        (b"id,votes,internal\n1,3,x\n2,,\n", [{"id": 1, "_undeclared": '{"votes":"3"}'}, {"id": 2}]),
        (b"id\n\n1\n", [{"id": 1}]),
        (b"id,Full name\n", []),
    ],
    ids=[
        "BOM",
        "CRLF",
        "line break",
        "empty text",
        "no zone",
        "zone",
        "NUL",
        "NUL in JSON",
        "undeclared NUL",
        "undeclared",
        "blank line",
        "no row",
    ],
)
def test_what_a_csv_may_have(content: bytes, expected: list[Any]) -> None:
    assert rows(Csv(), content) == expected


def test_another_delimiter_quote_and_encoding() -> None:
    content = "id;Full name\n1;'Grüße; alle'\n".encode("latin-1")
    assert rows(Csv(delimiter=";", quote="'", encoding="latin-1"), content) == [{"id": 1, "name": "Grüße; alle"}]


def test_what_python_does_not_have_is_kept_as_text() -> None:
    nanoseconds = pa.array([1], pa.timestamp("ns"))
    assert rows(Parquet(), parquet(id=[1], x=nanoseconds)) == [
        {"id": 1, "_undeclared": '{"x":"1970-01-01 00:00:00.000000001"}'}
    ]
    with pytest.raises(PayloadError, match=r"row 1, column at: .* '1970-01-01 00:00:00.000000001'"):
        rows(Parquet(), parquet(id=[1], at=nanoseconds))


def test_what_a_file_has_too_much_and_what_it_lacks_is_told() -> None:
    (batch,) = read(Csv(), b"id,votes\n1,3\n")
    assert set(batch.undeclared) == {"votes"}
    assert "name" in batch.missing


GOOD = b"id\n" + b"".join(b"%d\n" % n for n in range(100_000))
BAD: dict[str, tuple[Format, str, bytes, str]] = {
    "empty": (Csv(), "a", b"", "the file is empty: it has no header"),
    "fields": (Csv(), "a", b'id,Full name\n1,"x\ny"\n2,y,z\n', "line 4: Expected 2 columns, got 3"),
    "value": (
        Csv(),
        "a",
        b'Full name,id\n"x\ny",1\nz,four\n',
        "line 4, column id: expected bigint; the value is 'four'",
    ),
    "decimal": (
        Csv(),
        "a",
        b"id,price\n1,2\n2,1e-20\n",
        "line 3, column price: expected decimal; the value is '1e-20'",
    ),
    "large decimal": (Csv(), "a", b"id,price\n1,2\n2,12345678901234567890123456789\n", "line 3, column price"),
    "year": (Csv(), "a", b"id,at\n1,99999-01-01\n", "line 2, column at"),
    "json": (Csv(), "a", b"id,of\n1,{\n", "line 2, column of: expected json"),
    "UTF-8": (
        Csv(),
        "a",
        b"id,Full name\n1,a\n2,\xff\n",
        "line 3: In CSV column #1: CSV conversion error to string: invalid UTF8",
    ),
    "quote": (Csv(), "a", b'id,Full name\n1,a\n2,"b\n3,c\n', "line 3: a quotation mark is not closed"),
    "quote in UTF-16": (
        Csv(encoding="utf-16"),
        "a",
        'id,Full name\n1,a\n2,"b\n3,c\n'.encode("utf-16"),
        "line 3: a quotation mark is not closed",
    ),
    "quote of a long file": (
        Csv(),
        "a",
        b'id,Full name\n1,a\n2,"b\n' + GOOD * 13,
        "line 3: a quotation mark is not closed",
    ),
    "long row": (Csv(), "a", b"id\n" + b"1" * 8_000_000 + b"\n", "a row is longer than 4,000,000 bytes"),
    "long header": (Csv(), "a", b"a" * 1_100_000 + b",id\n,2\n", "line 1: the header is longer than 1,048,576 bytes"),
    "header": (Csv(), "a", b"id,\xff\n1,2\n", "line 1: the header is not utf-8"),
    "twice": (Csv(), "a", b"id,id\n1,2\n", "two columns are called 'id'"),
    "delimiter": (Csv(), "a", b"id;name\n1;2\n", "none of the columns is declared: id;name"),
    "cut gzip": (Csv(), "a.gz", gzip.compress(GOOD)[:-50], "Truncated compressed stream"),
    "no gzip": (Csv(), "a.gz", b"id\n1\n", "incorrect header check"),
    "JSON": (JsonLines(), "a", b'{"id": 1}\n{"id": 2\n', "line 2: table orders: this is not valid JSON"),
    "JSON value": (JsonLines(), "a", b'\n{"id": 1}\n{"id": "2"}\n', "line 3: table orders, column id"),
    "JSON over two lines": (
        JsonLines(),
        "a",
        b'{"id": 1\n"name": "a"}\n',
        "line 1: table orders: this is not valid JSON",
    ),
    "JSON without a line break": (JsonLines(), "a", b'{"id": 1},{"id": 2}\n', "line 1: expected an object"),
    "JSON key": (JsonLines(), "a", b'{"name": "x"}\n', "line 1: table orders, column id"),
    "Parquet": (Parquet(), "a", parquet(id=[1])[:-9], "cannot be read as Parquet"),
    "no Parquet": (Parquet(), "a", b"", "cannot be read as Parquet"),
    "Parquet twice": (
        Parquet(),
        "a",
        parquet(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"])),
        "two columns are called 'id'",
    ),
    "type": (Parquet(), "a", parquet(id=["1"]), "column id: it is string in the file, but declared as bigint"),
    "loss": (Parquet(), "a", parquet(id=[1, 2], price=[0.5, 1.0]), "column price: it is double in the file"),
    "range": (Parquet(), "a", parquet(id=pa.array([1, 2**63], pa.uint64())), "row 2, column id: expected bigint"),
}


@pytest.mark.parametrize(("format_", "name", "content", "reason"), BAD.values(), ids=BAD)
def test_a_bad_file_is_named_with_its_line(format_: Format, name: str, content: bytes, reason: str) -> None:
    with pytest.raises((PayloadError, OSError)) as raised:
        read(format_, content, name)
    assert reason in str(raised.value)


def test_a_csv_of_many_blocks_counts_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest_shared.reading.formats.BYTES_AT_ONCE", 10_000)
    batches = read(Csv(), GOOD)
    assert len(batches) > 10
    assert [batch.first - 1 for batch in batches] == [batch.rows["id"][0].as_py() for batch in batches]
    with pytest.raises(PayloadError, match=r"line 100002, column id: .* 'x'"):
        read(Csv(), GOOD + b"x\n")
    with pytest.raises(PayloadError, match=r"line 100002: Expected 1 columns, got 2"):
        read(Csv(), GOOD + b"1,2\n")
