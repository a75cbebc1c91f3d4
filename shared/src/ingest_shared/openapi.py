"""Drafts a table, and how its list is read, from the API's OpenAPI document; `ingest draft` calls it.

    python -m ingest_shared.openapi openapi.yaml /tickets

A draft is a beginning: it has every field of the document, in the document's words. What a document cannot
say, such as how rows change, is for you to declare: docs/lists.md.
https://spec.openapis.org/oas/v3.1.1
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, pairwise
from pathlib import Path
from typing import Any

import yaml
from dlt.common.normalizers.naming.snake_case import NamingConvention

from ingest_shared import tables
from ingest_shared.contract import INSTANT, Schema, Value
from ingest_shared.errors import IngestError, SettingError
from ingest_shared.notes import check_name
from ingest_shared.tables import Column, Table

_NAMES = NamingConvention()
_COLUMNS = {
    INSTANT: tables.timestamp,
    "string": tables.text,
    "integer": tables.bigint,
    "number": tables.double,
    "boolean": tables.boolean,
}
KEYS = ("id", "uuid", "key", "code", "name")
"""What rows are known by, if the document has it; the first that it has."""
DELETED_AT = tables.timestamp("deleted_at", "When it was found to be deleted; null while it exists.", origin="reader")
LONGEST = 100
"""Characters of a description that are kept: its first sentence, as a rule."""


@dataclass(frozen=True)
class Draft:
    """A table, and the arguments of its ``Listing`` as Python."""

    table: Table
    listing: str

    def __str__(self) -> str:
        return f"{source_of(self.table)}\n\n{self.listing}\n"


def draft(document: Mapping[str, Any], path: str) -> Draft:
    """What the document says about a list; raises :class:`SettingError` if it has none there."""
    operation = document.get("paths", {}).get(path, {}).get("get")
    if operation is None:
        near = [known for known in document.get("paths", {}) if path.strip("/") in known]
        raise SettingError(f"the document has no GET {path}; it has {', '.join(near[:5]) or 'nothing like it'}")
    answer = _resolved(document, operation.get("responses", {}).get("200", {}))
    media = answer.get("content", {"application/json": {"schema": answer.get("schema", {})}})  # 2.0 has no `content`
    whole = Value(_definitions(document), (_plain(next(iter(media.values())).get("schema", {})),))
    rows, row = _rows(whole, path)
    given = re.findall(r"\{(\w+)\}", path)
    params = [_resolved(document, one) for one in operation.get("parameters", ())]
    params += [_resolved(document, one) for one in document["paths"][path].get("parameters", ())]
    owners = [_owner(name, params) for name in given]
    table = _table(_name(path), row, owners, operation)
    return Draft(table, _listing(table, path, given, _envelope({one["name"] for one in params}, answer, whole, rows)))


def _definitions(document: Mapping[str, Any]) -> Schema:
    """The document's schemas where :class:`Value` looks for them."""
    schemas = document.get("components", {}).get("schemas") or document.get("definitions", {})
    return {"$defs": {name: _plain(schema) for name, schema in schemas.items()}}


def _resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of the document, which may only refer to where it is."""
    while "$ref" in part:
        reference, part = part["$ref"], document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name.replace("~1", "/").replace("~0", "~")]
    return part


def _plain(schema: Schema) -> Schema:
    """The schema in the words that :class:`Value` knows: ``anyOf``, one type each, definitions in ``$defs``."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref'].rpartition('/')[2]}"}
    found = {word: schema[word] for word in ("type", "format", "required", "description") if word in schema}
    if "properties" in schema:
        found |= {"type": "object", "properties": {name: _plain(one) for name, one in schema["properties"].items()}}
    if "items" in schema:
        found |= {"type": "array", "items": _plain(schema["items"])}
    if "allOf" in schema:
        found["allOf"] = [_plain(one) for one in schema["allOf"]]
    alternatives = [_plain(one) for one in schema.get("anyOf") or schema.get("oneOf") or ()]
    if isinstance(found.get("type"), list):
        alternatives = [{**found, "type": one} for one in found["type"]]
    if schema.get("nullable"):
        alternatives = [*(alternatives or [found]), {"type": "null"}]
    return {"anyOf": alternatives} if alternatives else found


def _parts(value: Value) -> dict[str, Value]:
    """The fields of an object, also of one that is made of several (``allOf``)."""
    found = dict(value.fields)
    for schema in value.plain:
        for part in schema.get("allOf", ()):
            found |= _parts(Value(value.root, (part,)))
    return found


def _types(value: Value) -> set[str]:
    """The JSON types that are legal, without null."""
    found = set(value.types) - {"null"}
    return {"object"} if _parts(value) else found


def _rows(whole: Value, path: str) -> tuple[str, Value]:
    """Where in the response the rows are, and one of them; raises :class:`SettingError` if there is no list."""
    if "array" in _types(whole):
        return "", whole.element
    lists = {name: value.element for name, value in _parts(whole).items() if "array" in _types(value)}
    for name, element in lists.items():
        if _parts(element) and (len(lists) == 1 or name in ("data", "items", "results") or name in path):
            return name, element
    raise SettingError(f"the response of GET {path} holds no list of objects: {', '.join(_parts(whole)) or 'nothing'}")


def _name(path: str) -> str:
    """What the table is called: the last word of the path, after the one whose rows have such a list each."""
    words = path.removesuffix(".json").strip("/").split("/")
    of = [word for word, later in pairwise(words) if "{" in later and "{" not in word]
    name = _NAMES.normalize_identifier("_".join([*(word.removesuffix("s") for word in of[-1:]), words[-1]]))
    check_name(name)
    return name


def _owner(name: str, params: list[Mapping[str, Any]]) -> Column:
    """The column for a parameter of the path, which rows of several lists are told apart by."""
    told = next((one for one in params if one.get("name") == name), {})
    is_number = {**told, **told.get("schema", {})}.get("type") == "integer"
    function = tables.bigint if is_number else tables.text
    column: Column = function(_NAMES.normalize_identifier(name), f"{_title(name)}.", origin="reader")
    return column


def _table(name: str, row: Value, owners: list[Column], operation: Mapping[str, Any]) -> Table:
    found: dict[str, Column] = {}
    for column in _columns(row):
        known = {*found, *(owner.name for owner in owners)}
        numbered = (f"{column.name}_{number}" for number in count(2))
        named = next(name for name in chain([column.name], numbered) if name not in known)
        found[named] = replace(column, name=named)
    if not found:
        raise SettingError(f"the rows of {name} have no fields in the document")
    names = [*found]
    known_by = next((key for key in KEYS if key in names), names[0])
    said = operation.get("summary") or operation.get("description")
    return Table(
        name=name,
        description=_sentence(said, name),
        docs=operation.get("externalDocs", {}).get("url", ""),
        key=(*(owner.name for owner in owners), known_by),
        columns=(*owners, *found.values(), *(() if DELETED_AT.name in names else (DELETED_AT,))),
        unused=tuple(f"{field}.*" for field, value in _parts(row).items() if _is_another(value)),
    )


def _is_another(field: Value) -> bool:
    """Whether a field is an object that a table of its own should have, of which its id is enough here."""
    return _types(field) == {"object"} and "id" in _parts(field)


def _columns(row: Value, within: str = "") -> Iterator[Column]:
    """A column for each field; for an object in the row, its id or its fields, and JSON for what is deeper."""
    is_another = within and "id" in _parts(row)
    for name, field in _parts(row).items():
        if "." in name or (is_another and name != "id"):  # no path leads to the former: it comes in `_undeclared`
            continue
        path, types = f"{within}{name}", _types(field)
        if types == {"object"} and _parts(field) and not within:
            yield from _columns(field, f"{name}.")
            continue
        formats = {schema.get("format") for schema in field.plain}
        if types == {"string"} and "date" in formats:
            function = tables.date
        elif types == {"integer", "number"}:
            function = tables.double
        else:
            function = _COLUMNS.get(next(iter(types)), tables.json) if len(types) == 1 else tables.json
        said = next((schema["description"] for schema in field.plain if schema.get("description")), "")
        yield function(_NAMES.normalize_identifier(path.replace(".", "_")), _sentence(said, path), path=path)


def _sentence(said: str | None, name: str) -> str:
    """The first sentence of a description in one line, or the name as words."""
    line = " ".join(re.sub(r"<[^>]+>|[`*\\]", "", said or "").split())
    line = re.split(r"(?<=[.!?])\s", line, maxsplit=1)[0]
    if len(line) > LONGEST:
        line = line[:LONGEST].rpartition(" ")[0] + " ..."
    return line if line.endswith((".", "!", "?")) else f"{line or _title(name)}."


def _title(name: str) -> str:
    return re.sub(r"[._]+", " ", _NAMES.normalize_identifier(name.replace(".", "_"))).strip().capitalize()


def _envelope(params: set[str], answer: Mapping[str, Any], whole: Value, rows: str) -> str:
    """How its pages continue, as far as parameters and response say so."""
    fields = _parts(whole)
    nested = {f"{name}.{part}": value for name, field in fields.items() for part, value in _parts(field).items()}
    fields |= nested if rows else {}
    at = f'rows="{rows}"' if rows else ""

    def first(*names: str) -> str:
        return next((name for wanted in names for name in fields if name.rpartition(".")[2] == wanted), "")

    if "Link" in answer.get("headers", {}):
        return f"LinkHeader({at})"
    if "starting_after" in params and (more := first("has_more")):
        return f'HasMore({at}, more="{more}", after="starting_after")'
    if after := first("next_cursor", "after_cursor", "after", "cursor"):
        param = next((name for name in ("cursor", "after", "page[after]", "page_token") if name in params), "cursor")
        return f'CursorIn({at}, at="{after}", param="{param}")'
    following = first("next", "next_page", "next_url")
    if following and "string" in _types(fields[following]):
        return f'NextLink({at}, at="{following}")'
    if "page" in params:
        pages = first("total_pages", "page_count", "last_page")
        more = "" if pages else first("has_more", "more")
        told = f', pages="{pages}"' if pages else f', more="{more}"' if more else ""
        return f"PageNumber({at}{told})"
    if "offset" in params:
        total = first("total", "total_count", "count")
        told = f', total="{total}"' if total else ""
        return f"Offset({at}{told}, limit=100)"
    return f"Envelope({at})"


def _listing(table: Table, path: str, given: list[str], envelope: str) -> str:
    per = ""
    if given:
        values = ", ".join(f'"{one}": "id"' for one in given)
        parent = _name(path.partition("/{")[0])
        per = f"    per=PerRow(tables.{parent}, {{{values}}}),\n"
    return (
        "# In source/__init__.py; whether a sync may read less than all of it: docs/lists.md.\n"
        f'Listing(\n    tables.{table.name},\n    "{path}",\n    walk=FullList(),\n    envelope={envelope},\n{per})'
    )


def source_of(table: Table) -> str:
    """The declaration of a table as Python."""

    def column(one: Column) -> str:
        path = "" if one.path == one.name else f", path={json.dumps(one.path)}"
        origin = "" if one.origin == "payload" else f', origin="{one.origin}"'
        said = json.dumps(one.description, ensure_ascii=False)
        return f"        {one.type.name}({json.dumps(one.name)}, {said}{path}{origin}),\n"

    return (
        f"{table.name} = Table(\n"
        f"    name={json.dumps(table.name)},\n"
        f"    description={json.dumps(table.description, ensure_ascii=False)},\n"
        f"    docs={json.dumps(table.docs)},\n"
        f"    key={table.key},\n"
        f"    columns=(\n{''.join(map(column, table.columns))}    ),\n"
        + (f"    unused={table.unused},\n)" if table.unused else ")")
    )


def _read(file: Path) -> Mapping[str, Any]:
    """The document; raises :class:`SettingError`."""
    try:
        text = file.read_text()
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except OSError as error:
        raise SettingError(f"cannot read {file} ({error.strerror})") from None
    except (ValueError, yaml.YAMLError):
        raise SettingError(f"{file} is neither JSON nor YAML") from None
    if not isinstance(document, dict) or "paths" not in document:
        raise SettingError(f"{file} is not an OpenAPI document: it has no `paths`")
    return dict(document)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if the draft was printed; otherwise 1, with one line that says why."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("document", type=Path, help="JSON or YAML")
    parser.add_argument("paths", nargs="+", help="of lists, as the document has them")
    given = parser.parse_args(arguments)
    try:
        document = _read(given.document)
        print("\n\n".join(str(draft(document, path)) for path in given.paths))
    except IngestError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
