"""Each type of a database arrives with every digit, or is left out with its row in one line."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from .conftest import Mirror

AT = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
LOCAL = AT.replace(tzinfo=None)
BOTH = pytest.mark.parametrize("destination", ["duckdb", "postgres"])

POSTGRES: dict[str, tuple[str, str, Any]] = {
    "an_int": ("smallint", "7", 7),
    "a_bigint": ("bigint", "9223372036854775807", 2**63 - 1),
    "a_numeric": ("numeric(20,4)", "1234567890123456.7891", Decimal("1234567890123456.7891")),
    "no_scale": (
        "numeric",
        "123456789012345678901234567890.123456789012345",
        "123456789012345678901234567890.123456789012345",
    ),
    "not_a_number": ("numeric", "'NaN'", "NaN"),
    "a_real": ("real", "1.5", 1.5),
    "a_double": ("double precision", "0.1", 0.1),
    "a_bool": ("boolean", "true", True),
    "a_text": ("text", "'ä '' \"'", "ä ' \""),
    "empty": ("text", "''", ""),
    "a_char": ("char(4)", "'ab'", "ab  "),
    "an_enum": ("mood", "'sad'", "sad"),
    "a_domain": ("positive", "5", 5),
    "a_uuid": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "an_inet": ("inet", "'10.0.0.1/8'", "10.0.0.1/8"),
    "an_interval": ("interval", "'1 day 02:00'", "1 day 02:00:00"),
    "a_time": ("time", "'10:11:12'", "10:11:12"),
    "a_date": ("date", "'2024-02-29'", date(2024, 2, 29)),
    "an_instant": ("timestamptz", "'2024-05-06 09:08:09.123456+02'", AT),
    "a_local_time": ("timestamp", "'2024-05-06 07:08:09.123456'", LOCAL),
    "a_json": ("json", '\'{"a": 1.50, "b": "\\u0000"}\'', {"a": 1.5, "b": "\ufffd"}),
    "a_jsonb": ("jsonb", "'[1, null]'", [1, None]),
    "an_array": ("text[]", "'{a,NULL}'", ["a", None]),
    "bytes": ("bytea", "'\\x00ff'", b"\x00\xff"),
    "a_range": ("int4range", "'[1,5)'", "[1,5)"),
    "a_point": ("point", "'(1,2)'", "(1,2)"),
    "a_composite": ("pair", "'(1,2)'", "(1,2)"),
    "generated": ("int GENERATED ALWAYS AS (an_int * 2) STORED", "DEFAULT", 14),
    "select": ("int", "1", 1),
    "Mixed Case": ("int", "2", 2),
    "percent%d": ("int", "3", 3),
    "nothing": ("text", "NULL", None),
}
MARIADB: dict[str, tuple[str, str, Any]] = {
    "a_flag": ("tinyint(1)", "2", 2),
    "a_bigint": ("bigint", "-9223372036854775808", -(2**63)),
    "unsigned_one": ("bigint unsigned", "18446744073709551615", Decimal(2**64 - 1)),
    "a_numeric": ("decimal(20,4)", "1234567890123456.7891", Decimal("1234567890123456.7891")),
    "long_numeric": (
        "decimal(65,10)",
        "1234567890123456789012345678901234567890.5",
        "1234567890123456789012345678901234567890.5000000000",
    ),
    "a_float": ("float", "16777216.0", 16777216.0),
    "a_double": ("double", "0.1", 0.1),
    "a_text": ("text", "'ä '' \"'", "ä ' \""),
    "with_nul": ("varchar(10)", "'a\\0b'", "a\ufffdb"),
    "an_enum": ("enum('sad','ok')", "'sad'", "sad"),
    "a_set": ("set('a','b')", "'a,b'", "a,b"),
    "a_json": ("json", "'{\"a\": 1}'", '{"a": 1}'),
    "a_date": ("date", "'2024-02-29'", date(2024, 2, 29)),
    "no_date": ("date", "'0000-00-00'", None),
    "a_local_time": ("datetime(6)", "'2024-05-06 07:08:09.123456'", LOCAL),
    "no_time": ("datetime", "'0000-00-00 00:00:00'", None),
    "an_instant": ("timestamp(6) NULL", "'2024-05-06 07:08:09.123456'", AT),
    "hours": ("time", "'-838:59:59'", "-838:59:59"),
    "a_year": ("year", "2024", 2024),
    "bits": ("bit(10)", "b'1000000001'", Decimal(513)),
    "bytes": ("varbinary(10)", "x'00ff'", b"\x00\xff"),
    "blob": ("blob", "x'00ff'", b"\x00\xff"),
    "generated": ("int AS (a_flag * 2) VIRTUAL", "DEFAULT", 4),
    "select": ("int", "1", 1),
    "Mixed Case": ("int", "2", 2),
    "percent%d": ("int", "3", 3),
    "nothing": ("text", "NULL", None),
}
COLUMNS = {"postgresql": POSTGRES, "mariadb": MARIADB}
BEFORE = {
    "postgresql": [
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        "CREATE TYPE pair AS (a int, b int)",
    ],
    "mariadb": ["SET GLOBAL sql_mode = ''", "SET GLOBAL time_zone = '+00:00'"],
}


@BOTH
@pytest.mark.parametrize("server", COLUMNS)
def test_every_type_arrives(server: str, destination: str, make_mirror: Callable[..., Mirror]) -> None:
    made, columns = make_mirror(server, destination), COLUMNS[server]
    mark = '"' if server == "postgresql" else "`"
    names = {name: f"{mark}{name}{mark}".replace("%", "%%") for name in columns}
    table = ", ".join(f"{names[name]} {type_}" for name, (type_, *_) in columns.items())
    values = ", ".join(value for _, value, _ in columns.values())
    made.execute(
        *BEFORE[server],
        f"CREATE TABLE things (id int PRIMARY KEY, {table})",
        f"INSERT INTO things VALUES (1, {values})",
        "INSERT INTO things (id) VALUES (2)",
    )
    made.declare("things")
    made.sync()
    assert made.gaps() == []
    first, second = made.rows("things")
    for name, (type_, _, expected) in columns.items():
        column = next(c for c in made.entries["things"]["columns"] if c == name)
        actual = first[column.lower().replace(" ", "_").replace("percent%d", "percent_d")]
        if isinstance(expected, list | dict) and isinstance(actual, str):
            actual = json.loads(actual)
        if isinstance(expected, datetime) and expected.tzinfo:
            actual = actual.astimezone(UTC)
        actual = bytes(actual) if isinstance(actual, memoryview) else actual
        assert (actual, type(actual)) == (expected, type(expected)), f"{name} {type_}"
    assert set(second.values()) == {2, None} or set(second.values()) == {2, None, 0}
    assert made.audited() == {"things": (0, 0, 0, 0, 0)}


def test_a_value_that_no_warehouse_holds_leaves_out_its_row_until_it_can_be_read(
    make_mirror: Callable[..., Mirror],
) -> None:
    made = make_mirror("postgresql")
    made.execute(
        'CREATE TABLE prices (id int PRIMARY KEY, "in %%" numeric(8,2), at timestamptz, day date, changed timestamp)',
        "INSERT INTO prices SELECT i, i, now(), '2024-01-01', now() FROM generate_series(1, 50) i",
        "UPDATE prices SET \"in %%\" = 'NaN' WHERE id = 7",
        "UPDATE prices SET at = 'infinity' WHERE id = 8",
        "UPDATE prices SET day = '0044-03-15 BC' WHERE id = 9",
    )
    made.declare("prices", cursor="changed")
    made.sync()
    assert [scope for _, scope, _ in made.gaps()] == ["prices id=7", "prices id=8", "prices id=9"]
    assert made.gaps()[0][2] == "the value nan of the column in % does not fit decimal(8,2)"
    assert len(made.rows("prices")) == 47
    made.execute('UPDATE prices SET "in %%" = 1 WHERE id = 7')
    made.sync()
    assert len(made.rows("prices")) == 48
    made.execute("UPDATE prices SET at = now(), day = NULL")
    made.sync()
    assert made.gaps() == []
    assert len(made.rows("prices")) == 50
    assert made.audited() == {"prices": (0, 0, 0, 0, 0)}
