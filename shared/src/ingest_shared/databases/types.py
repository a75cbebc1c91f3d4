"""What each type of a database becomes in the warehouse, and the SQL that reads it.

Types that Arrow or the warehouse do not have are read as the text that the database itself makes of them, so that
no digit is lost. https://docs.sqlalchemy.org/en/20/core/types.html
"""

import re
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

from ingest_shared.columnar import json_without_nul, text_without_nul
from ingest_shared.tables import BIGINT, BOOLEAN, DATE, DOUBLE, JSON, TEXT, TIMESTAMP, ColumnType, plain, storable

BINARY = ColumnType("binary", "binary", pa.binary(), msgspec.Raw, plain)
LOCAL_TIMESTAMP = ColumnType("timestamp without time zone", "timestamp", pa.timestamp("us"), msgspec.Raw, plain)
KNOWN = {type_.name: type_ for type_ in (TEXT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE, JSON, BINARY, LOCAL_TIMESTAMP)}
MOST_DIGITS = 38
"""Most digits of a decimal in Arrow."""
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_DAYS = range(-719_162, 2_932_897)
"""The years 1 to 9999, in days since 1970."""
NO_DATE = "0000-00-00"
"""What MySQL keeps in place of a date that is missing or wrong; it is null here."""


def decimal(precision: int, scale: int) -> ColumnType:
    return ColumnType(f"decimal({precision},{scale})", "decimal", pa.decimal128(precision, scale), msgspec.Raw, plain)


def named(name: str) -> ColumnType:
    """The type of a name as ``tables.yaml`` has it; raises KeyError."""
    found = _DECIMAL.fullmatch(name)
    return decimal(int(found[1]), int(found[2])) if found else KNOWN[name]


def column_type(type_: TypeEngine[Any], dialect: str) -> ColumnType | None:
    """The warehouse's type for a type of the database; None if its values cannot be read."""
    if isinstance(type_, postgresql.DOMAIN):
        type_ = type_.data_type
    match type_:
        case mysql.BIT():
            return decimal(20, 0)
        case mysql.BIGINT(unsigned=True):
            return decimal(20, 0)
        case sa.Boolean():
            return BOOLEAN
        case sa.Integer() | mysql.YEAR():
            return BIGINT
        case sa.Float():
            return DOUBLE
        case sa.Numeric():
            digits, scale = type_.precision, type_.scale or 0
            return decimal(digits, scale) if digits and digits <= MOST_DIGITS and 0 <= scale <= digits else TEXT
        case sa.DateTime():
            is_instant = type_.timezone or isinstance(type_, mysql.TIMESTAMP)
            return TIMESTAMP if is_instant else LOCAL_TIMESTAMP
        case sa.Date():
            return DATE
        case sa.JSON() | sa.ARRAY():
            return JSON
        case sa.types._Binary():
            return BINARY
        case sa.types.NullType():
            return TEXT if dialect == "postgresql" else None
    return TEXT


def expression(column: sa.ColumnClause[Any], type_: TypeEngine[Any], dialect: str) -> sa.ColumnElement[Any]:
    """The SQL that reads a column, so that what arrives can be cast to its type in the warehouse."""
    if isinstance(type_, postgresql.DOMAIN):
        type_ = type_.data_type
    wanted = column_type(type_, dialect)
    if dialect == "postgresql":
        if isinstance(type_, sa.ARRAY):
            return sa.cast(sa.func.to_json(column), sa.Text)
        is_text = isinstance(type_, sa.String) and not isinstance(type_, sa.Enum)
        return sa.cast(column, sa.Text) if wanted in (TEXT, JSON) and not is_text else column
    if dialect in ("mysql", "mariadb"):
        if isinstance(type_, mysql.BIT):
            return sa.cast(column, mysql.BIGINT(unsigned=True))
        if isinstance(type_, mysql.FLOAT):  # which MySQL rounds where it shows it
            return column * sa.literal_column("1e0")
        if wanted is not None and not isinstance(type_, sa.Text) and wanted not in (BIGINT, DOUBLE, BINARY):
            return sa.cast(column, sa.CHAR)
    return column


def readable(values: pa.ChunkedArray, type_: ColumnType) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """The values as the warehouse has them, and by row number those that it cannot hold, which become null."""
    try:
        return typed(values, type_), {}
    except pa.ArrowException:
        if len(values) == 1:
            return pa.chunked_array([pa.nulls(1, type_.arrow)]), {0: str(_plain_values(values).cast(pa.string())[0])}
    half = len(values) // 2
    (left, wrong), (right, others) = (readable(part, type_) for part in (values.slice(0, half), values.slice(half)))
    return pa.chunked_array([*left.chunks, *right.chunks], type_.arrow), wrong | {
        i + half: v for i, v in others.items()
    }


def _plain_values(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not isinstance(values.type, pa.BaseExtensionType):
        return values
    return pa.chunked_array([chunk.storage for chunk in values.chunks], values.type.storage_type)


def typed(values: pa.ChunkedArray, type_: ColumnType) -> pa.ChunkedArray:
    """The values as the warehouse has them; raises ArrowInvalid for one that it cannot hold."""
    values = _plain_values(values)
    wanted = type_.arrow
    if pa.types.is_string(values.type):
        if type_ in (DATE, TIMESTAMP, LOCAL_TIMESTAMP):
            values = pc.if_else(pc.starts_with(values, NO_DATE), None, values)
        if type_ is TIMESTAMP:
            wanted = pa.timestamp("us")
    elif pa.types.is_timestamp(values.type) and type_ is TIMESTAMP and values.type.tz is None:
        values = values.cast(pa.timestamp(values.type.unit))
    values = values.cast(wanted)
    if wanted != type_.arrow:
        values = pc.assume_timezone(values, "UTC")
    if pa.types.is_timestamp(values.type):
        storable(values)
    elif pa.types.is_date32(values.type):
        ends = pc.min_max(values.cast(pa.int32()))
        if ends["min"].is_valid and not (ends["min"].as_py() in _DAYS and ends["max"].as_py() in _DAYS):
            raise pa.ArrowInvalid("a year from 1 to 9999")
    elif type_ is TEXT:
        return text_without_nul(values)
    elif type_ is JSON:
        return json_without_nul(values)
    return values
