"""The declaration of a table: contract, documentation and column schema in one.

A location describes each table it mirrors with :class:`Table` and the column functions below.
Everything else follows from the description: the JSON decoder and the Arrow types
(:mod:`ingest_shared.columnar`), the merge in the warehouse (:mod:`ingest_shared.loading`) and what
Dagster's UI shows (:mod:`ingest_shared.translator`).

    issues = Table(
        name="issues",
        description="Issues and pull requests of every repository.",
        docs="https://docs.github.com/en/rest/issues/issues",
        key=("id",),
        columns=(
            bigint("id", "Immutable id."),
            bigint("repo_id", "Repository.", origin="reader"),
            text("user_login", "Author's login.", path="user.login"),
        ),
        children=(
            Child(
                name="issue_labels",
                description="Labels on issues.",
                path="labels",
                key=("issue_id", "label_id"),
                columns=(
                    bigint("issue_id", "Issue.", path="id", origin="parent"),
                    bigint("label_id", "Label.", path="id"),
                ),
            ),
        ),
        unused=("url",),
    )
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, DecimalException
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any, Literal, get_args

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.data_types import TDataType
from dlt.common.normalizers.naming.snake_case import NamingConvention

_NAMES = NamingConvention()
UNDECLARED = "_undeclared"
"""The column that keeps, as JSON, what the API sent without a column for it."""

_DOT = re.compile(r"(?<!\\)\.")

Origin = Literal["payload", "reader", "parent", "position", "derived"]


def names_of(path: str) -> list[str]:
    r"""The names in a path: ``owner.id`` has two; a dot within a name is written ``\.``."""
    return [name.replace(r"\.", ".") for name in _DOT.split(path)]


def path_of(*names: str) -> str:
    """The path made of these names: the inverse of :func:`names_of`."""
    return ".".join(name.replace(".", r"\.") for name in names)


@dataclass(frozen=True)
class ColumnType:
    """How one kind of value is read from JSON, held in Arrow and named in dlt.

    ``payload`` is the type msgspec accepts in the JSON; ``convert`` turns the list of such values
    (or None) into an Arrow array of type ``arrow``; ``dlt`` is dlt's data type.
    """

    name: str
    dlt: TDataType
    arrow: pa.DataType
    payload: Any
    convert: Callable[[list[Any], pa.DataType], pa.Array]


_INSTANT = pa.timestamp("us", "UTC")
_WIDE_DECIMAL = pa.decimal256(76, 12)
_YEARS_1_TO_9999 = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""In microseconds since 1970."""


def plain(values: list[Any], arrow: pa.DataType) -> pa.Array:
    return pa.array(values, arrow)


def _from_text(values: list[Any], arrow: pa.DataType) -> pa.Array:
    """Empty text is null: some APIs have no other way to express that."""
    return pc.cast(pa.array([value or None for value in values], pa.string()), arrow)


def _from_iso(values: list[Any], arrow: pa.DataType) -> pa.Array:
    try:
        instants = _from_text(values, arrow)
    except pa.ArrowInvalid:
        # Some APIs write nanoseconds, which most warehouses do not keep. They are cut off in the text, because Arrow
        # has nanoseconds only from 1677 to 2262, and such APIs also write the years 1 and 9999 for "never".
        texts = pa.array([value or None for value in values], pa.string())
        instants = pc.cast(pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1"), arrow)
    return storable(instants)


def _from_iso_without_zone(values: list[Any], arrow: pa.DataType) -> pa.Array:
    return storable(pc.assume_timezone(_from_iso(values, pa.timestamp("us")), "UTC"))


def _from_rfc2822(values: list[Any], arrow: pa.DataType) -> pa.Array:
    try:
        return pa.array([parsedate_to_datetime(value) if value else None for value in values], arrow)
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from None


def _from_decimal_text(values: list[Any], arrow: pa.DataType) -> pa.Array:
    return decimals(pa.array([value or None for value in values], pa.string()), arrow)


def decimals(texts: pa.Array, arrow: pa.DataType) -> pa.Array:
    """The numbers that the texts represent; raises ArrowInvalid for one that does not fit.

    Converts through a wider type: with 128 bits, Arrow returns a wrong number for some texts of more than 28 digits.
    """
    return pc.cast(pc.cast(texts, _WIDE_DECIMAL), arrow)


def _from_epoch(values: list[Any], arrow: pa.DataType) -> pa.Array:
    return _since_1970(values, "s", 1_000_000, arrow)


def _from_epoch_millis(values: list[Any], arrow: pa.DataType) -> pa.Array:
    return _since_1970(values, "ms", 1_000, arrow)


def _since_1970(values: list[Any], unit: str, micros: int, arrow: pa.DataType) -> pa.Array:
    """The instants that numbers of this unit represent; fractions and numbers in quotes take longer."""
    if {float, str}.isdisjoint(map(type, values)):
        return storable(pc.cast(pc.cast(pa.array(values, pa.int64()), pa.timestamp(unit, "UTC")), arrow))
    try:
        exact = [None if value in (None, "") else round(Decimal(value) * micros) for value in values]
    except (DecimalException, ValueError, OverflowError):
        raise pa.ArrowInvalid("not a number") from None
    return storable(pc.cast(pa.array(exact, pa.int64()), arrow))


def storable(instants: pa.Array) -> pa.Array:
    """The instants; raises ArrowInvalid outside the years that warehouses and Python's datetime support."""
    ends = pc.min_max(instants)
    if ends["min"].is_valid and not (ends["min"].value in _YEARS_1_TO_9999 and ends["max"].value in _YEARS_1_TO_9999):
        raise pa.ArrowInvalid("a year from 1 to 9999")
    return instants


def _from_raw(values: list[Any], arrow: pa.DataType) -> pa.Array:
    texts = [None if value is None or (text := bytes(value)) == b"null" else text for value in values]
    return pc.cast(pa.array(texts, pa.binary()), arrow)


def _is_present(values: list[Any], arrow: pa.DataType) -> pa.Array:
    return pa.array([value is not None and bytes(value) != b"null" for value in values], arrow)


TEXT = ColumnType("text", "text", pa.string(), str, plain)
BIGINT = ColumnType("bigint", "bigint", pa.int64(), int, plain)
DOUBLE = ColumnType("double", "double", pa.float64(), float, plain)
BOOLEAN = ColumnType("boolean", "bool", pa.bool_(), bool, plain)
TIMESTAMP = ColumnType("timestamp", "timestamp", _INSTANT, str, _from_iso)
UTC_TIMESTAMP = ColumnType("utc_timestamp", "timestamp", _INSTANT, str, _from_iso_without_zone)
RFC2822 = ColumnType("rfc2822", "timestamp", _INSTANT, str, _from_rfc2822)
EPOCH = ColumnType("epoch", "timestamp", _INSTANT, int | float, _from_epoch)
EPOCH_MILLIS = ColumnType("epoch_millis", "timestamp", _INSTANT, int | float, _from_epoch_millis)
EPOCHS = (EPOCH.name, EPOCH_MILLIS.name)
"""The names of these types, also if they are sent as text."""
DATE = ColumnType("date", "date", pa.date32(), str, _from_text)
DECIMAL = ColumnType("decimal", "decimal", pa.decimal128(38, 12), str, _from_decimal_text)
JSON = ColumnType("json", "json", pa.string(), msgspec.Raw, _from_raw)
PRESENT = ColumnType("present", "bool", pa.bool_(), msgspec.Raw, _is_present)


@dataclass(frozen=True)
class Column:
    """One column: where its value comes from and what it means.

    ``origin`` is *payload* (the value at ``path`` in the row's JSON), *parent* (the same, in the
    row that a child list belongs to), *position* (the element's place in that list, from 0), *reader* (it
    passes one value for a whole page), or *derived* (``compute`` makes it from the columns named in
    ``of``). ``to`` is the table that it refers to, by the last column of that table's key. ``volatile`` is for what the
    API generates for each response, such as an address that expires: no audit compares it.
    """

    name: str
    type: ColumnType
    description: str
    path: str
    origin: Origin = "payload"
    of: tuple[str, ...] = ()
    compute: Callable[..., pa.Array] | None = None
    to: str = ""
    volatile: bool = False

    def __post_init__(self) -> None:
        if self.origin not in get_args(Origin):
            raise ValueError(f"column {self.name}: origin {self.origin!r} must be one of {', '.join(get_args(Origin))}")
        if self.to and not self.to.isidentifier():
            raise ValueError(f"column {self.name}: to={self.to!r} must be just the name of a table")


def _column_function(type_: ColumnType, doc: str) -> Callable[..., Column]:
    def column(
        name: str,
        description: str,
        *,
        path: str | None = None,
        origin: Origin = "payload",
        to: str = "",
        sent_as_text: bool = False,
        volatile: bool = False,
    ) -> Column:
        told = f"{description.removesuffix('.')}, an id of the table {to}." if to else description
        if volatile:
            told = f"{told.removesuffix('.')}; generated for each response, so no audit compares it."
        is_text = type_.payload is str  # always in quotes, with its own conversion
        convert = type_.convert if type_.name in EPOCHS else _from_text
        sent = replace(type_, payload=str, convert=convert) if sent_as_text and not is_text else type_
        return Column(name, sent, told, path or name, origin, to=to, volatile=volatile)

    column.__name__ = type_.name
    column.__doc__ = (
        f"{doc} ``path`` defaults to the column's name. ``sent_as_text`` is for a number or boolean in quotes."
    )
    return column


text = _column_function(TEXT, "A string.")
bigint = _column_function(BIGINT, "A 64-bit integer.")
double = _column_function(DOUBLE, "A floating-point number.")
boolean = _column_function(BOOLEAN, "True or false.")
timestamp = _column_function(TIMESTAMP, "An instant, sent as ISO 8601 with a zone, kept in UTC.")
utc_timestamp = _column_function(UTC_TIMESTAMP, "An instant in UTC, sent as ISO 8601 without a zone.")
rfc2822 = _column_function(RFC2822, "An instant, sent as in e-mail, ``Wed, 31 Jan 2024 09:30:00 +0000``, kept in UTC.")
epoch = _column_function(EPOCH, "An instant, sent as seconds since 1970, kept in UTC.")
epoch_millis = _column_function(EPOCH_MILLIS, "An instant, sent as milliseconds since 1970, kept in UTC.")
date = _column_function(DATE, "A calendar day, sent as ``2024-01-31``.")
decimal = _column_function(DECIMAL, "An exact number, sent as a string, kept with 12 decimals.")
json = _column_function(JSON, "Any value, kept as the JSON the API sent.")
present = _column_function(PRESENT, "True if the API sent something other than null at ``path``.")


DELETED_AT = timestamp("deleted_at", "When it was found to be deleted; null while it exists.", origin="reader")
"""The column of rows that are gone, for a table of which the API does not send one."""


def derived(
    name: str,
    description: str,
    type_: ColumnType,
    of: tuple[str, ...],
    compute: Callable[..., pa.Array],
) -> Column:
    """A column that ``compute`` derives from the Arrow arrays of the columns named in ``of``."""
    return Column(name, type_, description, name, "derived", of, compute)


@dataclass(frozen=True, kw_only=True)
class Child:
    """A table made from a list inside each row of another table, with its own keys.

    ``path`` is the path of the list in the parent's JSON. When a parent is loaded again, all its child rows are
    replaced, even if its list is now empty. A list of plain values has one payload column with the path ``"."``.
    ``more`` is the path at which the parent's JSON says whether the list continues beyond the elements that it
    contains.
    """

    name: str
    description: str
    path: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    unused: tuple[str, ...] = ()
    more: str | None = None

    @property
    def merge_key(self) -> tuple[str, ...]:
        """The columns that identify the parent: all rows that agree on them are replaced together."""
        return tuple(c.name for c in self.columns if c.origin == "parent" and c.name in self.key)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that mirrors one list of an API.

    Rows are merged by ``key``. If ``merge_key`` (dlt's term) names columns instead, each load
    brings every row of the scopes it touches (all labels of one repository), and rows that are gone
    from a scope are deleted. ``unused`` lists payload paths that are deliberately not kept
    (``user.*``: whatever else the object ``user`` has); any other path without a column is
    kept in the column ``_undeclared`` and reported. ``limits`` says what the API cannot provide.
    """

    name: str
    description: str
    docs: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("id",)
    children: tuple[Child, ...] = ()
    unused: tuple[str, ...] = ()
    merge_key: tuple[str, ...] = ()
    limits: str = ""

    @property
    def with_children(self) -> "tuple[AnyTable, ...]":
        """The table itself, then its child tables."""
        return (self, *self.children)

    def __post_init__(self) -> None:
        for table in self.with_children:
            if (called := _NAMES.normalize_identifier(table.name)) != table.name:
                raise ValueError(f"table {table.name}: dlt would call it {called!r} in the warehouse: use that name")
            names = [column.name for column in table.columns]
            for name in (*table.key, *table.merge_key):
                if name not in names:
                    raise ValueError(f"table {table.name}: key column {name!r} is not declared")
            if isinstance(table, Table) and any(column.origin == "position" for column in table.columns):
                raise ValueError(f'table {table.name}: origin="position" is only for the elements of a child list')
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"table {table.name}: column {name!r} is declared twice")
                if (called := _NAMES.normalize_identifier(name)) != name:
                    raise ValueError(
                        f"table {table.name}: dlt would call the column {name!r} {called!r} in the warehouse: "
                        f"declare it as {called!r}, with path={name!r}"
                    )
        for child in self.children:
            named = {column.path for column in child.columns if column.name in child.merge_key}
            for name in self.key:
                if name not in named:
                    raise ValueError(
                        f'table {child.name}: its key needs a column with path={name!r} and origin="parent", '
                        f"by which its rows are replaced with their row of {self.name}"
                    )


AnyTable = Table | Child


def tables_in(*modules: ModuleType) -> dict[str, Table]:
    """The tables that modules declare, by name, in order."""
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Table))
    return {table.name: table for table in found}


UNDECLARED_COLUMN = Column(
    UNDECLARED, JSON, "Fields that the API sent but no column holds, as JSON; null if there are none.", UNDECLARED
)


def all_columns(table: AnyTable) -> Sequence[Column]:
    """The table's columns in the warehouse, ``_undeclared`` last."""
    return (*table.columns, UNDECLARED_COLUMN)
