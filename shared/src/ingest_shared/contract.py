"""Compares tables with the schemas that the vendor publishes for the objects that they mirror.

The schemas are JSON Schema, one for each table. A location's tests derive them from the vendor's own package, so only
the tests need that package.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ingest_shared.tables import AnyTable, Child, Column, Table, names_of, path_of

Schema = Mapping[str, Any]

INSTANT = "instant"
"""The type of a string that is a date and a time."""
ANYTHING = "anything"
_ALL = {"string", INSTANT, "integer", "number", "boolean", "object", "array", ANYTHING}
HOLDS = {
    "text": {"string", INSTANT},
    "bigint": {"integer"},
    "epoch": {"integer", "number"},
    "epoch_millis": {"integer", "number"},
    "date": {"string"},
    "double": {"integer", "number"},
    "boolean": {"boolean"},
    "timestamp": {INSTANT},
    "utc_timestamp": {"string", INSTANT},
    "rfc2822": {"string"},
    "decimal": {"string"},
    "json": _ALL,
    "present": _ALL,
}
"""Which types each column type can hold besides null."""


@dataclass(frozen=True, order=True)
class Difference:
    """A disagreement between a table and the vendor's schema: where (such as ``issues.labels.id``) and how."""

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place} {self.problem}"


@dataclass(frozen=True)
class Contract:
    """What a vendor publishes, by table; ``accepted`` gives a reason for each difference that is allowed."""

    vendor: str
    schemas: Mapping[str, Schema]
    accepted: Mapping[str, str]

    def broken(self, table: Table) -> list[Difference]:
        """The differences of a table and its child tables that are not accepted."""
        return [found for found in self._differences(table) if found.place not in self.accepted]

    def not_met(self, tables: Iterable[Table]) -> set[str]:
        """Accepted differences that no longer exist."""
        return self.accepted.keys() - {found.place for table in tables for found in self._differences(table)}

    def _differences(self, table: Table) -> list[Difference]:
        return sorted(set(differences(table, self.schemas[table.name])))

    def report(self, tables: Iterable[Table]) -> int:
        """Prints the differences of each table; returns the exit code, 1 if there are any."""
        print(self.vendor)
        found = {table.name: self.broken(table) for table in tables}
        for name, broken in found.items():
            print(f"  {name}: {len(broken) or 'no'} difference{'' if len(broken) == 1 else 's'}")
            for difference in broken:
                print(f"    {difference}")
        return 1 if any(found.values()) else 0


def differences(table: Table, schema: Schema) -> Iterator[Difference]:
    """Fields that only the schema has, fields that only the table has, and types that are too narrow."""
    row = Value(schema, (schema,))
    yield from _differences(table, row)
    for child in table.children:
        if value := row.at(child.path):
            yield from _element_differences(child, value.element, f"{table.name}.{child.path}")


def _differences(table: AnyTable, row: "Value") -> Iterator[Difference]:
    for path in _unnamed(row, _named(table)):
        yield Difference(f"{table.name}.{path}", "is neither a column nor unused")
    for path, what, holds in _declared(table):
        value = row.at(path)
        if value is None:
            yield Difference(f"{table.name}.{path}", "is not in the schema")
        elif types := value.types - holds:
            yield Difference(f"{table.name}.{path}", _too_narrow(types, what))


def _element_differences(child: Child, element: "Value", place: str) -> Iterator[Difference]:
    is_plain = any(column.path == "." for column in child.columns)
    if not is_plain and (types := element.types - {"object"}):
        yield Difference(place, _too_narrow(types, "a list of objects"))
    yield from _differences(child, element)


def _too_narrow(types: frozenset[str], what: str) -> str:
    return f"may be {' or '.join(sorted(types))}, but is declared as {what}"


def _named(table: AnyTable) -> set[str]:
    """Every path that the table names."""
    children = table.children if isinstance(table, Table) else ()
    return {*(column.path for column in _columns(table)), *(child.path for child in children), *table.unused}


def _columns(table: AnyTable) -> list[Column]:
    return [column for column in table.columns if column.origin == "payload"]


def _declared(table: AnyTable) -> Iterator[tuple[str, str, set[str]]]:
    """Each path with what it is declared as and the types that this can hold."""
    for column in _columns(table):
        may_be_null = column.name not in table.key
        yield column.path, column.type.name, HOLDS[column.type.name] | ({"null"} if may_be_null else set())
    for child in table.children if isinstance(table, Table) else ():
        yield child.path, "a list", {"array", "null"}
    for path in table.unused:
        yield path.removesuffix("*").removesuffix("."), "unused", {*_ALL, "null"}
    for path in {parent for named in _named(table) for parent in _parents(named)}:
        yield path, "an object", {"object", "null"}


def _parents(path: str) -> list[str]:
    """The objects on the way to a path: ``a`` and ``a.b`` for ``a.b.c``."""
    names = names_of(path) if path != "." else []
    return [path_of(*names[:count]) for count in range(1, len(names))]


def _unnamed(value: "Value", named: set[str], prefix: str = "") -> Iterator[str]:
    """The paths below ``prefix`` that are not named; if parts of an object are named, its other parts."""
    for name, field in value.fields.items():
        path = f"{prefix}{path_of(name)}"
        if path in named:
            continue
        if any(other.startswith(f"{path}.") for other in named):
            yield from _unnamed(field, named, f"{path}.")
        elif f"{prefix}*" not in named:
            yield path


@dataclass(frozen=True)
class Value:
    """What a schema allows in one place: any of the ``alternatives``, which may refer to definitions."""

    root: Schema
    alternatives: tuple[Schema, ...]

    @cached_property
    def plain(self) -> tuple[Schema, ...]:
        """The alternatives one by one, without references."""
        return tuple(plain for schema in self.alternatives for plain in self._resolved(schema))

    def _resolved(self, schema: Schema) -> Iterator[Schema]:
        if "$ref" in schema:
            yield from self._resolved(self.root["$defs"][schema["$ref"].removeprefix("#/$defs/")])
        elif "anyOf" in schema:
            for alternative in schema["anyOf"]:
                yield from self._resolved(alternative)
        else:
            yield schema

    @property
    def types(self) -> frozenset[str]:
        """The JSON types that are legal; ``null`` also where the value may be left out."""
        return frozenset(INSTANT if s.get("format") == "date-time" else s.get("type", ANYTHING) for s in self.plain)

    @property
    def fields(self) -> dict[str, "Value"]:
        """The fields of an object, each from any alternative that has it."""
        found: dict[str, tuple[Schema, ...]] = {}
        for schema in self.plain:
            for name, field in schema.get("properties", {}).items():
                optional = () if name in schema.get("required", ()) else ({"type": "null"},)
                found[name] = (*found.get(name, ()), field, *optional)
        return {name: Value(self.root, alternatives) for name, alternatives in found.items()}

    @property
    def element(self) -> "Value":
        """What the list may contain."""
        return Value(self.root, tuple(schema["items"] for schema in self.plain if "items" in schema))

    def at(self, path: str) -> "Value | None":
        """What is legal at a dotted path; None where the schema has no such field."""
        value: Value | None = self
        for name in names_of(path) if path not in ("", ".") else ():
            value = value and value.fields.get(name)
        return value
