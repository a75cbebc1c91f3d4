"""The comparison of a warehouse with its origin: every row, and every value that is declared.

What a table must hold is derived here from the origin's JSON, using the paths that the table's description declares and
nothing else of the code under test.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest_shared.reading.tombstones import DELETED_AT
from ingest_shared.tables import UNDECLARED, Child, Column, Table, names_of

if TYPE_CHECKING:
    from ingest_testing.sandbox import Json
    from ingest_testing.warehouse import Warehouse

Key = tuple[Any, ...]
Row = dict[str, Any]
Rows = dict[Key, Row]


class Held(NamedTuple):
    """An object of the origin, and the values that belong to its whole page."""

    payload: "Json"
    given: Mapping[str, Any] = {}


def assert_mirrors(warehouse: "Warehouse[Any]", *tables: str, audited: bool = False) -> None:
    """Asserts that every row and every declared value of the tables (by default of all groups) equals the origin's.

    The location's :class:`Mirror` says how the two may differ if the API does not report everything;
    ``audited`` is whether the last load was an audit, after which less may differ.
    """
    location = warehouse.location
    with warehouse.kept_open():
        for name in tables or [name for group in warehouse.groups for name in location.tables_of(group)]:
            location.mirror(warehouse, location.tables[name], audited).assert_equal()


class Mirror:
    """Compares one table of the warehouse with its collection at the origin: nothing may differ.

    A location whose API shows its objects differently, or hides something, says so in a subclass.
    """

    def __init__(self, warehouse: "Warehouse[Any]", table: Table, audited: bool) -> None:
        self.warehouse = warehouse
        self.origin = warehouse.origin
        self.table = table
        self.audited = audited

    def held(self) -> Iterable[Held]:
        """The objects of the origin; if an object has a field named like a reader's column, that is the column's
        value."""
        columns = [c.path for c in self.table.columns if c.origin == "reader" and c.name != DELETED_AT]
        for payload in self.origin.objects(self.table.name):
            yield Held(payload, {path: payload[path] for path in columns if path in payload})

    def gone(self) -> Iterable[Held]:
        """Former objects of the origin whose rows must remain."""
        return ()

    def may_be_missing(self, row: Row) -> bool:
        """Whether a row need not be in the warehouse."""
        return False

    def may_remain(self, row: Row) -> bool:
        """Whether a row may be in the warehouse although the origin no longer has it: by default, if it is marked as
        deleted."""
        return row.get(DELETED_AT) is not None

    def child_may_remain(self, child: Child, row: Row) -> bool:
        """The same for a row of a child table whose parent still exists."""
        return False

    def same(self, row: Row, actual: Any, expected: Any) -> bool:
        """Whether two values of a column count as equal."""
        return bool(actual == expected)

    def derived(self, column: Column, *of: Any) -> Any:
        """What a derived column must hold, given the values of the columns that it is ``of``."""
        raise NotImplementedError(f"how {column.name} follows from {column.of}")

    def assert_equal(self) -> None:
        held = list(self.held())
        living = by_key(self.table, [self._expected(self.table, *item) for item in held])
        gone = by_key(self.table, [self._expected(self.table, *item) for item in self.gone()])
        actual = self._actual(self.table)
        expected = {key: row for key, row in (gone | living).items() if key in actual or not self.may_be_missing(row)}
        remaining = {key for key in actual.keys() - expected.keys() if self.may_remain(actual[key])}
        self._compare(self.table, expected, actual, remaining)
        for child in self.table.children:
            of_gone = {_owner(child, row) for key, row in actual.items() if key not in living}
            rows = self._actual(child)
            expected = by_key(child, [row for item in held for row in self.children(child, *item)])
            remaining = {
                key
                for key in rows.keys() - expected.keys()
                if tuple(rows[key][name] for name in _owner_columns(child)) in of_gone
                or self.child_may_remain(child, rows[key])
            }
            self._compare(child, expected, rows, remaining)

    def children(self, child: Child, payload: Any, given: Mapping[str, Any]) -> list[Row]:
        """The rows of a child table for an object."""
        columns = {column.name: column for column in self.table.columns}
        owner = {
            column.name: self._value(columns[column.path], payload, given)
            if column.path in columns
            else value_at(payload, column.path)
            for column in child.columns
            if column.origin == "parent"
        }
        elements = [element for element in value_at(payload, child.path) or () if element is not None]
        places = [column.name for column in child.columns if column.origin == "position"]
        return [
            self._expected(child, element, {}, owner | dict.fromkeys(places, place))
            for place, element in enumerate(elements)
        ]

    def _expected(
        self, table: Table | Child, payload: Any, given: Mapping[str, Any], owner: Mapping[str, Any] = {}
    ) -> Row:
        own = [column for column in table.columns if column.origin in ("payload", "reader")]
        row = {**owner, UNDECLARED: None} | {column.name: self._value(column, payload, given) for column in own}
        derived = [column for column in table.columns if column.origin == "derived"]
        return row | {column.name: self.derived(column, *(row[name] for name in column.of)) for column in derived}

    def _actual(self, table: Table | Child) -> Rows:
        return by_key(table, [parsed(table, row) for row in self.warehouse.rows(table)])

    def _value(self, column: Column, payload: Any, given: Mapping[str, Any]) -> Any:
        value = given.get(column.path) if column.origin == "reader" else value_at(payload, column.path)
        return _converted(column, value)

    def _compare(self, table: Table | Child, expected: Rows, actual: Rows, remaining: set[Key]) -> None:
        problems = [f"missing: {expected[key]}" for key in expected.keys() - actual.keys()]
        problems += [f"not at the origin: {actual[key]}" for key in actual.keys() - expected.keys() - remaining]
        volatile = {column.name for column in table.columns if column.volatile}

        def same(key: Key, column: str, value: Any) -> bool:
            """For values that are generated for each response, only whether there is one."""
            held = actual[key][column]
            if column in volatile and held is not None:
                return value is not None
            return held == value or self.same(expected[key], held, value)

        for key in expected.keys() & actual.keys():
            problems += [
                f"{key} {column}: {actual[key][column]!r}, at the origin {value!r}"
                for column, value in expected[key].items()
                if not same(key, column, value)
            ]
        shown = "\n".join(problem[:500] for problem in problems[:10])
        assert not problems, f"{table.name}: {len(problems)} differences\n{shown}"


def _owner_columns(child: Child) -> dict[str, str]:
    """The columns that name the parent, with their names there."""
    return {column.name: column.path for column in child.columns if column.name in child.merge_key}


def _owner(child: Child, row: Row) -> Key:
    return tuple(row[path] for path in _owner_columns(child).values())


def by_key(table: Table | Child, rows: Iterable[Row]) -> Rows:
    """The rows by their key; fails where two have the same."""
    found: Rows = {}
    for row in rows:
        key = tuple(row[name] for name in table.key)
        assert key not in found, f"{table.name}: two rows with the key {key}"
        found[key] = row
    return found


def value_at(payload: Any, path: str) -> Any:
    """The value at a dotted path; None if it, or an object on the way, is missing."""
    if path == ".":
        return payload
    for name in names_of(path):
        if payload is None:
            return None
        payload = payload.get(name)
    return payload


def _converted(column: Column, value: Any) -> Any:
    """The value as the warehouse must hold it."""
    if column.type.name == "present":
        return value is not None
    if value is None or (value == "" and column.type.name not in ("text", "json")):
        return None
    match column.type.name:
        case "bigint" | "double" | "boolean" if isinstance(value, str):  # declared with `sent_as_text`
            return json.loads(value)
        case "timestamp":
            return datetime.fromisoformat(value).astimezone(UTC)
        case "utc_timestamp":
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        case "rfc2822":
            return parsedate_to_datetime(value).astimezone(UTC)
        case "epoch":
            return datetime.fromtimestamp(value, UTC)
        case "epoch_millis":
            return datetime.fromtimestamp(value // 1000, UTC).replace(microsecond=value % 1000 * 1000)
        case "date":
            return date.fromisoformat(value)
        case "decimal":
            return Decimal(value)
        case "text" | "json":
            return _storable(value)
        case _:
            return value


def _storable(value: Any) -> Any:
    """The value with U+FFFD for NUL, which PostgreSQL cannot hold."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_storable(element) for element in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(element) for name, element in value.items()}
    return value


def parsed(table: Table | Child, row: Mapping[str, Any]) -> Row:
    """A row of the warehouse with its JSON parsed and its times in UTC."""
    as_json = {column.name for column in table.columns if column.type.name == "json"} | {UNDECLARED}
    return {
        name: json.loads(value)
        if isinstance(value, str) and name in as_json
        else value.astimezone(UTC)
        if isinstance(value, datetime)
        else value
        for name, value in row.items()
    }
