"""The columnar path: JSON pages in, typed Arrow tables out, root and child tables alike.

A :class:`~ingest_shared.tables.Table` is compiled once into msgspec structs that hold just the
declared fields. Decoding a page then checks every type and finds every unknown field while it
parses, at the cost of parsing alone; columns are read off the structs and handed to Arrow. A page
that does not fit is decoded once more, the slow way, to keep its unknown fields or to name the
value that is wrong. ``docs/columnar-path.md`` lists the alternatives that were measured.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from keyword import iskeyword
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ingest_shared.errors import NotJson, PayloadError
from ingest_shared.tables import (
    BIGINT,
    TEXT,
    UNDECLARED,
    AnyTable,
    Child,
    Column,
    Table,
    all_columns,
    names_of,
    path_of,
)

Row = Any
"""A row of a page: an instance of the table's compiled struct."""

_NULL = msgspec.Raw(b"null")
_DOES_NOT_FIT = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)
_NUL = b"\\u0000"
_REPLACEMENT = b"\\ufffd"
_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d*)\]")
_MISSING = re.compile(r"missing required field `(.+)`")


@dataclass
class Page:
    """The rows of one response, and the values that the reader adds to all of them.

    ``told`` is what the response says besides its rows, by path. ``new_fields`` are the paths that
    the API sent but no column holds. ``empty`` marks the page of :meth:`Decoder.nothing`,
    whose row is not the API's.
    """

    rows: list[Row]
    given: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    scope: Any = None
    """The part of the list that they belong to, as their reader knows it."""
    empty: bool = False
    new_fields: frozenset[str] = frozenset()
    unreadable: tuple[PayloadError, ...] = ()
    """One for each row that :meth:`Decoder.readable` left out."""


def without_nul(body: bytes) -> bytes:
    r"""JSON text with each NUL character (``\u0000``) replaced by U+FFFD.

    PostgreSQL cannot store NUL in text; the replacement is the same for every destination.
    """
    if body.rfind(_NUL) < 0:  # finds nothing in less than half of the time that `in` takes
        return body
    parts = body.split(_NUL)
    for i, part in enumerate(parts[:-1]):
        backslashes = len(part) - len(part.rstrip(b"\\"))  # an odd one escapes the backslash of \u0000
        parts[i] = part + (_NUL if backslashes % 2 else _REPLACEMENT)
    return b"".join(parts)


TextsT = TypeVar("TextsT", pa.Array, pa.ChunkedArray)


def text_without_nul(texts: TextsT) -> TextsT:
    """The texts with each NUL character replaced by U+FFFD."""
    return pc.replace_substring(texts, "\0", "\ufffd") if pc.any(pc.match_substring(texts, "\0")).as_py() else texts


def json_without_nul(texts: TextsT) -> TextsT:
    """The same for JSON in an array of texts."""
    if not pc.any(pc.match_substring(texts, _NUL.decode())).as_py():
        return texts
    kept = [None if text is None else without_nul(text.encode()).decode() for text in texts.to_pylist()]
    return pa.chunked_array([kept], pa.string()) if isinstance(texts, pa.ChunkedArray) else pa.array(kept, pa.string())


def arrow_schema(table: AnyTable) -> pa.Schema:
    """The Arrow schema of a table; the key of a table that is merged by key is not null."""
    not_null = table.key if isinstance(table, Table) and not table.merge_key else ()
    return pa.schema([pa.field(c.name, c.type.arrow, c.name not in not_null) for c in all_columns(table)])


class Decoder:
    """Decodes the JSON of one table's rows into Arrow tables.

    ``rows_at`` is the path of the list of rows in a response (Stripe's ``data``); None if the response is the list
    itself. ``told`` are the paths of everything else that is read from it.
    """

    key: Callable[[Row], Any]
    """What distinguishes a row from others with the same ``given`` values: the value of its key column, or a tuple of
    several."""

    def __init__(self, table: AnyTable, rows_at: str | None = None, told: Sequence[str] = ()) -> None:
        self.table = table
        self._rows_at = rows_at
        self._told = told
        self._rows_of = getter(rows_at) if rows_at else None
        self._payload = _Object(table)
        self._strict = self._compile(strict=True)
        self._tolerant = self._compile(strict=False)
        self._blank = _blank(self._strict.row)
        children = table.children if isinstance(table, Table) else ()
        self._children = [(child, _blank(_element(self._strict.row, names_of(child.path)))) for child in children]
        keys = [c for c in table.columns if c.name in table.key and c.origin == "payload" and c.path != "."]
        if keys:
            self.key = _key(keys)
        self._key_given = [c.path for c in table.columns if c.name in table.key and c.origin == "reader"]

    def _compile(self, strict: bool) -> "_Decoders":
        row = self._payload.struct(self.table.name, strict)
        response: Any = list[row] if strict else list[row | None]  # type: ignore[valid-type]
        if self._rows_at:
            response = _response(self._rows_at, response, self._told)
        return _Decoders(row, msgspec.json.Decoder(response), msgspec.json.Decoder(row))

    def key_given(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """The part of the key that all rows of a page share, because it comes from the reader."""
        return tuple(given[path] for path in self._key_given)

    def page(self, body: bytes, given: Mapping[str, Any] | None = None) -> Page:
        """The rows of a response that lists them.

        Raises :class:`NotJson` or :class:`PayloadError`.
        """
        return self._decode(without_nul(body), given or {}, single=False)

    def readable(self, body: bytes, given: Mapping[str, Any] | None = None) -> Page:
        """Like :meth:`page`, without the rows that have a value of the wrong type; raises if no row is left."""
        try:
            return self.page(body, given)
        except NotJson:
            raise
        except PayloadError:
            raws = self._raws(without_nul(body), given or {})
            pages, errors = [], []
            for raw in raws.rows:
                try:
                    pages.append(self.row(bytes(raw), given))
                except PayloadError as error:
                    errors.append(error)
            if not pages:
                raise
        rows = [row for page in pages for row in page.rows]
        new_fields = frozenset[str]().union(*(page.new_fields for page in pages))
        return replace(raws, rows=rows, new_fields=new_fields, unreadable=tuple(errors))

    def row(self, body: bytes, given: Mapping[str, Any] | None = None) -> Page:
        """A page of one row, from a response that is the row itself; raises the same errors as :meth:`page`."""
        return self._decode(without_nul(body), given or {}, single=True)

    def nothing(self, given: Mapping[str, Any]) -> Page:
        """A page that says: the scope named by ``given`` has no rows (any more)."""
        return Page([self._blank], given, empty=True)

    def _decode(self, body: bytes, given: Mapping[str, Any], single: bool) -> Page:
        try:
            try:
                return self._page(self._strict.decode(body, single), given, single)
            except msgspec.ValidationError:
                return self._decode_tolerantly(body, given, single)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._not_json(error) from None

    def _raws(self, body: bytes, given: Mapping[str, Any]) -> Page:
        """The page with each row as a piece of JSON, without rows that are null."""
        rows: Any = list[msgspec.Raw]
        try:
            page = self._page(
                msgspec.json.decode(body, type=_response(self._rows_at, rows, self._told) if self._rows_at else rows),
                given,
                single=False,
            )
        except msgspec.ValidationError:  # the error is outside the rows
            return Page([], given)
        page.rows = [raw for raw in page.rows if bytes(raw) != b"null"]
        return page

    def _not_json(self, error: Exception) -> NotJson:
        return NotJson(f"table {self.table.name}: the response body is not valid JSON ({error})")

    def _decode_tolerantly(self, body: bytes, given: Mapping[str, Any], single: bool) -> Page:
        """Keeps unknown fields with their rows, or names the value that is wrong."""
        payload = msgspec.json.decode(body)
        try:
            page = self._page(self._tolerant.decode(body, single), given, single)
        except msgspec.ValidationError as error:
            raise self._payload_error(error, payload) from None
        payloads = [payload] if single else _json_at(payload, self._rows_at)
        new_fields: set[str] = set()
        for row, sent in zip(page.rows, payloads, strict=True):
            if row is not None:
                self._payload.keep_undeclared(row, sent, "", new_fields)
        page.rows = [row for row in page.rows if row is not None]
        page.new_fields = frozenset(new_fields)
        return page

    def _page(self, response: Any, given: Mapping[str, Any], single: bool) -> Page:
        if single:
            return Page([response], given)
        if not self._rows_of:
            return Page(response, given)
        return Page(self._rows_of(response), given, {path: value_at(response, path) for path in self._told})

    def _payload_error(self, error: msgspec.ValidationError, value: Any) -> PayloadError:
        """Names table, column, row key and value: msgspec names only the position in the response."""
        reason, _, place = str(error).partition(" - at `$")
        row, names = "unknown", []
        for name, index in _STEP.findall(place):
            if row == "unknown" and isinstance(value, dict):
                row = self._name_row(value)
            try:
                value = value[name] if name else value[int(index)]
            except (KeyError, IndexError, ValueError, TypeError):
                break
            names += [name] if name else []
        names += _MISSING.findall(reason)
        path = ".".join(names).removeprefix(f"{self._rows_at}.")
        by_path = {c.path: c.name for c in self.table.columns if c.origin == "payload"}
        column = f", column {by_path.get(path, path)}" if path else ""
        return PayloadError(
            f"table {self.table.name}{column}, row {row}: {reason[:1].lower()}{reason[1:]}; the value is {shown(value)}"
        )

    def _name_row(self, payload: Mapping[str, Any]) -> str:
        paths = {c.path for c in self.table.columns if c.name in self.table.key and c.origin == "payload"}
        return ", ".join(f"{p}={payload[p]!r}" for p in sorted(paths) if p in payload) or "unknown"

    def arrow(self, pages: Sequence[Page]) -> dict[str, pa.Table]:
        """The pages' rows as Arrow tables by table name: the table itself, then its children.

        Raises :class:`PayloadError` if a text is not the timestamp or number that its column needs.
        """
        rows = _Rows([row for page in pages for row in page.rows], self._blank)

        def given(column: Column) -> pa.Array:
            values = (repeat(page.given.get(column.path), len(page.rows)) for page in pages)
            return _convert(self.table, column, list(chain.from_iterable(values)), rows)

        root = _arrow_table(self.table, rows, given)
        return {self.table.name: root} | {
            child.name: _child_table(child, blank, rows, root) for child, blank in self._children
        }


@dataclass(frozen=True)
class _Decoders:
    row: type[msgspec.Struct]
    many: msgspec.json.Decoder[Any]
    one: msgspec.json.Decoder[Any]

    def decode(self, body: bytes, single: bool) -> Any:
        return (self.one if single else self.many).decode(body)


class _Object:
    """The fields of one JSON object that a description names: types, objects and lists by name."""

    def __init__(self, table: AnyTable | None = None) -> None:
        self._fields: dict[str, Any] = {}
        self._required: set[str] = set()
        self._open = False
        self._is_element = isinstance(table, Child)
        if table is None:
            return
        for column in table.columns:
            if column.origin == "payload" and column.path != ".":
                self._place(column.path, column.type.payload)
        for child in table.children if isinstance(table, Table) else ():
            element = next((c.type.payload for c in child.columns if c.path == "."), None)
            self._place(child.path, [element or _Object(child)])
            if child.more:
                self._place(child.more, bool)
        for path in table.unused:
            if path.endswith("*"):
                self._object(names_of(path)[:-1])._open = True
            else:
                self._place(path, msgspec.Raw)
        for path in {c.path for c in table.columns if c.name in table.key and c.origin == "payload"} - {"."}:
            *parents, name = names_of(path)
            self._object(parents, required=True)._required.add(name)

    def _object(self, path: Sequence[str], *, required: bool = False) -> "_Object":
        node = self
        for name in path:
            if required:
                node._required.add(name)
            node = node._fields.setdefault(name, _Object())
            if not isinstance(node, _Object):
                raise ValueError(f"{name!r} in {'.'.join(path)!r} is declared both as a value and as an object")
        return node

    def _place(self, path: str, value: Any) -> None:
        *parents, name = names_of(path)
        node = self._object(parents)
        if node._fields.setdefault(name, value) != value:
            raise ValueError(f"path {path!r} is declared as {node._fields[name]} and as {value}")

    def struct(self, name: str, strict: bool) -> type[msgspec.Struct]:
        """The msgspec struct of this object; a strict one rejects undeclared fields."""
        required = self._required if strict or not self._is_element else set()
        fields: list[Any] = [(_attribute(k), self._type(name, k, strict)) for k in sorted(required)]
        for key in self._fields.keys() - required:
            type_ = self._type(name, key, strict)
            optional = (type_, _NULL) if type_ is msgspec.Raw else (type_ | None, None)
            fields.append((_attribute(key), *optional))
        fields.append((UNDECLARED, msgspec.Raw, _NULL))
        renames = {_attribute(key): key for key in self._fields}
        return msgspec.defstruct(
            name, fields, rename=renames, forbid_unknown_fields=strict and not self._open, gc=False
        )

    def _type(self, name: str, key: str, strict: bool) -> Any:
        value = self._fields[key]
        if isinstance(value, _Object):
            return value.struct(f"{name}_{key}", strict)
        if isinstance(value, list):
            element: Any = value[0].struct(f"{name}_{key}", strict) if isinstance(value[0], _Object) else value[0]
            return list[element] if strict else list[element | None]
        return value

    def keep_undeclared(self, row: Row, payload: Mapping[str, Any], path: str, new_fields: set[str]) -> None:
        """Writes into ``row`` what ``payload`` has but no description names, at any depth."""
        unknown = self._unknown(row, payload, path, new_fields)
        if unknown:
            setattr(row, UNDECLARED, msgspec.Raw(msgspec.json.encode(unknown)))

    def _unknown(self, row: Row, payload: Mapping[str, Any], path: str, new_fields: set[str]) -> dict[str, Any]:
        unknown = {k: v for k, v in payload.items() if k not in self._fields} if not self._open else {}
        new_fields.update(path + path_of(key) for key in unknown)
        for key, value in self._fields.items():
            sent = payload.get(key)
            if isinstance(value, _Object) and sent:
                if inner := value._unknown(getattr(row, _attribute(key)), sent, f"{path}{path_of(key)}.", new_fields):
                    unknown[key] = inner
            elif isinstance(value, list) and sent:
                elements = getattr(row, _attribute(key))
                if left := self._leave_out_elements(value[0], elements, sent, f"{path}{path_of(key)}", new_fields):
                    unknown[key] = left
        return unknown

    def _leave_out_elements(
        self, kind: Any, elements: list[Any], sent: list[Any], path: str, new_fields: set[str]
    ) -> list[Any]:
        """Removes null elements from a list, and elements without their key, which no row can hold; returns the
        latter."""
        kept, left = [], []
        for element, part in zip(elements, sent, strict=True):
            if isinstance(kind, _Object) and element is not None:
                kind.keep_undeclared(element, part, f"{path}.", new_fields)
                if missing := [key for key in sorted(kind._required) if part.get(key) is None]:
                    new_fields.add(f"{path} without {missing[0]}")
                    left.append(part)
                    continue
            if element is not None:
                kept.append(element)
        elements[:] = kept
        return left


def shown(value: Any) -> str:
    """A value for an error message: one line of limited length."""
    return repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."


def _json_at(payload: Any, path: str | None) -> Any:
    for name in names_of(path) if path else ():
        payload = payload[name]
    return payload


def value_at(response: Any, path: str) -> Any:
    """The value at a path of a row or response; None if it, or an object on the way, is missing."""
    for name in names_of(path):
        response = getattr(response, _attribute(name), None)
    return response


def _response(rows_at: str, rows: Any, told: Sequence[str]) -> type[msgspec.Struct]:
    """The struct of a response that holds its rows at a path, with whatever else is read from it."""
    tree: dict[str, Any] = {}
    for path in (*told, rows_at):
        *parents, name = names_of(path)
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = rows if path == rows_at else Any

    def struct(node: Mapping[str, Any], on_the_way: Sequence[str]) -> type[msgspec.Struct]:
        """Only the objects that lead to the rows are required."""
        name, further = (on_the_way[0], on_the_way[1:]) if on_the_way else ("", ())
        types = {
            key: struct(value, further if key == name else ()) if isinstance(value, dict) else value
            for key, value in node.items()
        }
        required: list[Any] = [(_attribute(name), types.pop(name))] if name else []
        optional = [(_attribute(key), type_ | None if type_ is not Any else Any, None) for key, type_ in types.items()]
        return msgspec.defstruct("Response", required + optional, rename={_attribute(key): key for key in node})

    return struct(tree, names_of(rows_at))


def _key(columns: Sequence[Column]) -> Callable[[Row], Any]:
    """Returns the key of a row as the warehouse would: for example an instant instead of its text."""
    sent = getter(*(column.path for column in columns))
    if all(column.type in (TEXT, BIGINT) for column in columns):
        return sent

    def held(column: Column, value: Any) -> Any:
        try:
            return column.type.convert([value], column.type.arrow)[0].as_py()
        except _DOES_NOT_FIT:  # nor does it become a row
            return value

    if len(columns) == 1:
        return lambda row: held(columns[0], sent(row))
    return lambda row: tuple(map(held, columns, sent(row)))


def getter(path: str, *more: str) -> Callable[[Row], Any]:
    """Returns the value at a path of a row, or a tuple of values at several; raises AttributeError if a path leads
    nowhere."""
    return attrgetter(*(".".join(map(_attribute, names_of(one))) for one in (path, *more)))


def _attribute(name: str) -> str:
    """The struct attribute of a JSON name: the name itself wherever Python allows it."""
    if name.isidentifier() and not iskeyword(name):
        return name
    return "field_" + "_".join(str(byte) for byte in name.encode())


def _struct_in(type_: Any) -> Any:
    """The struct behind ``Struct | None`` or ``list[Struct] | None``; None if there is none."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_
    return next(filter(None, map(_struct_in, getattr(type_, "__args__", ()))), None)


def _element(struct: type[msgspec.Struct], path: Sequence[str]) -> Any:
    """The struct of the list elements at ``path``; None for plain values."""
    for name in path:
        types = {f.name: f.type for f in msgspec.structs.fields(struct)}
        struct = _struct_in(types[_attribute(name)])
    return struct


def _blank(struct: Any) -> Any:
    """A row whose fields are all null: it stands in for a missing object."""
    return struct and struct(**{f.name: None for f in msgspec.structs.fields(struct)})


class _Rows:
    """The values of a batch of rows by path, with a blank struct where an object is null."""

    def __init__(self, rows: list[Row], blank: Row) -> None:
        self._blank = blank
        self._levels: dict[tuple[str, ...], list[Any]] = {(): rows}

    def values(self, path: str) -> list[Any]:
        """The value at ``path`` in each row; None if it or an object on the way is null."""
        if self._blank is None:  # a list of plain values, which have no fields
            return self._levels[()] if path == "." else [None] * len(self._levels[()])
        *parents, name = names_of(path)
        return list(map(attrgetter(_attribute(name)), self._level(tuple(parents))))

    def _level(self, path: tuple[str, ...]) -> list[Any]:
        if path not in self._levels:
            objects = map(attrgetter(_attribute(path[-1])), self._level(path[:-1]))
            blank = _blank(_element(type(self._blank), path))
            self._levels[path] = [blank if value is None else value for value in objects]
        return self._levels[path]


def _arrow_table(table: AnyTable, rows: _Rows, not_in_payload: Callable[[Column], pa.Array]) -> pa.Table:
    arrays: dict[str, pa.Array] = {}
    for column in all_columns(table):
        if column.compute:
            arrays[column.name] = column.compute(*(arrays[name] for name in column.of))
        elif column.origin == "payload":
            arrays[column.name] = _convert(table, column, rows.values(column.path), rows)
        else:
            arrays[column.name] = not_in_payload(column)
    return pa.table(list(arrays.values()), schema=arrow_schema(table))


def _child_table(child: Child, blank: Row, parents: _Rows, root: pa.Table) -> pa.Table:
    """The child's rows; a parent whose list is empty gets one row whose own key is null.

    That row makes the merge delete what the parent had before, and is itself never inserted
    (:func:`ingest_shared.loading.write_disposition`).
    """
    found = parents.values(child.path)
    lists = [values or (blank,) for values in found]
    owners = pa.array(chain.from_iterable(repeat(i, len(values)) for i, values in enumerate(lists)), pa.int64())
    elements = _Rows(list(chain.from_iterable(lists)), blank)

    def of_parent(column: Column) -> pa.Array:
        if column.origin == "position":
            return pa.array(
                chain.from_iterable(range(len(values)) if values else (None,) for values in found), pa.int64()
            )
        return root[column.path].combine_chunks().take(owners)

    return _arrow_table(child, elements, of_parent)


def _convert(table: AnyTable, column: Column, values: list[Any], rows: _Rows) -> pa.Array:
    """The values as Arrow; if that fails, converts one by one to name the first that does not fit."""
    try:
        return column.type.convert(values, column.type.arrow)
    except _DOES_NOT_FIT:
        for index, value in enumerate(values):
            try:
                column.type.convert([value], column.type.arrow)
            except _DOES_NOT_FIT as error:
                keys = [c for c in table.columns if c.name in table.key and c.origin == "payload"]
                row = ", ".join(f"{c.name}={rows.values(c.path)[index]!r}" for c in keys)
                raise PayloadError(
                    f"table {table.name}, column {column.name}, row {row or 'unknown'}: "
                    f"expected {column.type.name} ({' '.join(str(error).split())}); the value is {shown(value)}"
                ) from None
        raise
