"""Drafts a table, and how its list is read, from the API's OpenAPI document; `ingest draft` calls it.

    python -m ingest_shared.openapi openapi.yaml /tickets

A draft is a starting point: it has every field of the document, with the document's descriptions. What a document
cannot say, such as how rows change, is left to you: docs/lists.md.
https://spec.openapis.org/oas/v3.1.1
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from dlt.common.normalizers.naming.snake_case import NamingConvention

from ingest_shared import tables
from ingest_shared.contract import INSTANT, Schema, Value
from ingest_shared.errors import IngestError, SettingError
from ingest_shared.notes import check_name
from ingest_shared.tables import DELETED_AT, Column, Table, names_of, path_of

_NAMES = NamingConvention()
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*(Z|[+-]\d\d:?\d\d)")
_COLUMNS = {
    INSTANT: tables.timestamp,
    "string": tables.text,
    "integer": tables.bigint,
    "number": tables.double,
    "boolean": tables.boolean,
}
IDS = ("id", "_id", "gid", "uid", "uuid", "guid", "sid")
"""Names of keys; the first that the document has is used, or the id with the table's own name, ``contact_id``."""
KEYS = ("key", "code", "slug", "number", "name")
"""Names of possible keys if there is no id; the draft says that it is a guess."""
VERBS = ("get", "list", "query", "search", "all", "index")
"""Words in a path that do not name its rows."""
LISTS = ("data", "items", "results", "values", "entries", "records", "list", "nodes")
"""Names of the list of rows in a response, if it is not named as in the path."""
CURSORS = (
    *("next_cursor", "next_page_token", "next_token", "after_cursor", "end_cursor", "after", "cursor", "next_marker"),
    *("continuation_token", "marker"),
)
LINKS = ("next", "next_page", "next_url", "next_link", "next_uri", "next_page_url", "next_page_uri", "odata_next_link")
PAGES = ("total_pages", "page_count", "last_page", "num_pages", "pages")
TOTALS = ("total", "total_count", "total_items", "total_results", "total_size")
"""Not ``count``: with some vendors, that is the number of rows on the page."""
MORE = ("has_more", "more", "has_next_page", "has_next")
LIMITS = ("limit", "count", "per_page", "page_size", "max_results", "size", "take", "top")
LONGEST = 100
"""Most characters of a description that are kept, usually its first sentence."""


@dataclass(frozen=True)
class Draft:
    """A table, and its ``Listing`` as Python."""

    table: Table
    listing: str

    def __str__(self) -> str:
        return f"{source_of(self.table)}\n\n{self.listing}\n"


def draft(document: Mapping[str, Any], path: str) -> Draft:
    """A draft from what the document says about a list; raises :class:`SettingError` if there is none at this path."""
    methods = document.get("paths", {}).get(path, {})
    operation = methods.get("get") or methods.get("post")
    if operation is None:
        near = [known for known in document.get("paths", {}) if path.strip("/") in known]
        raise SettingError(f"the document has no GET {path}; it has {', '.join(near[:5]) or 'nothing like it'}")
    answer = _answer(document, operation)
    media = _json(answer.get("content", {"application/json": answer}))  # 2.0 has no `content`
    root = {"$defs": _Definitions(document)}
    whole = Value(root, (_plain(media.get("schema", {})),))
    try:
        rows, row = _rows(whole, path)
    except SettingError:
        if (example := _example(media, answer)) is None:
            raise
        whole = Value(root, (_seen(example),))
        rows, row = _rows(whole, path)
    given = re.findall(r"\{(\w+)\}", path)
    params = [_resolved(document, one) for one in operation.get("parameters", ())]
    params += [_resolved(document, one) for one in methods.get("parameters", ())]
    body = _resolved(document, operation.get("requestBody", {}))
    names = {one["name"] for one in params if one.get("in") != "path"}
    names |= set(_parts(Value(root, (_plain(_json(body.get("content", {})).get("schema", {})),))))
    owners = [_owner(name, params) for name in given]
    fields = {column.name for column in _columns(row)}
    for place, owner in enumerate(owners):  # a path with {id}, where the rows have an id, too
        if owner.name in fields and owner.name in IDS:
            own = f"{_parent(path).removesuffix('s')}_{owner.name}"
            path, given[place] = path.replace(f"{{{given[place]}}}", f"{{{own}}}"), own
            owners[place] = replace(owner, name=own, path=own)
    table, is_sure = _table(_name(path), row, owners, operation)
    envelope = _envelope(names, answer, whole, rows)
    return Draft(table, _listing(table, path, given, envelope, is_post="get" not in methods, is_sure=is_sure))


def _answer(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The response for success; YAML may have parsed its status as a number."""
    answers = {str(status): answer for status, answer in operation.get("responses", {}).items()}
    success = min((status for status in answers if status.startswith("2")), default="default")
    return _resolved(document, answers.get(success, {}))


def _json(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry for JSON, or else for the first media type."""
    return next((content[kind] for kind in sorted(content, key=lambda kind: "json" not in kind)), {})


def _example(media: Mapping[str, Any], answer: Mapping[str, Any]) -> Any:
    """An example of the response: some documents describe it in no other way."""
    found = [media.get("example"), *(one.get("value") for one in media.get("examples", {}).values() if "value" in one)]
    if "content" not in answer:  # 2.0: by media type
        found = [*answer.get("examples", {}).values()]
    for one in found:
        with suppress(ValueError):  # another format, or truncated
            parsed = json.loads(one) if isinstance(one, str) else one
            if isinstance(parsed, dict | list):
                return parsed
    return None


def _seen(value: Any) -> Schema:
    """The schema of an example value."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {name: _seen(one) for name, one in value.items()}}
    if isinstance(value, list):
        return {"type": "array", "items": {"anyOf": [_seen(one) for one in value]}} if value else {"type": "array"}
    if isinstance(value, str):
        return {"type": "string", **({"format": "date-time"} if _INSTANT.fullmatch(value) else {})}
    names = {bool: "boolean", int: "integer", float: "number"}
    return {"type": names.get(type(value), "null")}


class _Definitions(Mapping[str, Schema]):
    """The parts of the document that references point to, as :class:`Value` looks them up."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._known: dict[str, Schema] = {}

    def __getitem__(self, reference: str) -> Schema:
        if reference not in self._known:
            self._known[reference] = _plain(_part(self._document, reference))
        return self._known[reference]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _part(document: Mapping[str, Any], reference: str) -> Any:
    """The target of a reference; raises :class:`SettingError` if it does not exist.

    https://www.rfc-editor.org/rfc/rfc6901#section-6
    """
    part: Any = document
    try:
        for name in unquote(reference).removeprefix("#/").split("/"):
            plain = name.replace("~1", "/").replace("~0", "~")
            part = part[int(plain) if isinstance(part, list) else plain]
    except (LookupError, TypeError, ValueError):
        raise SettingError(f"the document refers to {reference}, which it does not have") from None
    return part


def _resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of the document, with references resolved."""
    while "$ref" in part:
        part = _part(document, part["$ref"])
    return part


def _plain(schema: Schema) -> Schema:
    """The schema in the subset that :class:`Value` supports: ``anyOf``, one type each, definitions in ``$defs``."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
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
    """The fields of an object, including those that it is composed of (``allOf``)."""
    found = dict(value.fields)
    for schema in value.plain:
        for part in schema.get("allOf", ()):
            found |= _parts(Value(value.root, (part,)))
    return found


def _types(value: Value) -> set[str]:
    """The legal JSON types, without null."""
    found = set(value.types) - {"null"}
    return {"object"} if _parts(value) else found


def _rows(whole: Value, path: str) -> tuple[str, Value]:
    """Where in the response the rows are, and one of them; raises :class:`SettingError` if there is no list."""
    if "array" in _types(whole):
        return "", whole.element
    fields = _parts(whole)
    lists = [(name, value) for name, value in _nested(whole, 2) if "array" in _types(value) and _parts(value.element)]
    if not lists:
        only = f"has no list of objects, only the fields {', '.join(fields)}"
        said = only if fields else "is not described in the document"
        raise SettingError(f"the response of GET {path} {said}")

    def likely(found: tuple[str, Value]) -> tuple[bool, int, int]:
        name = names_of(found[0])[-1]
        return name in path or name in LISTS, -len(names_of(found[0])), len(_parts(found[1].element))

    name, value = max(lists, key=likely)
    return name, value.element


def _nested(value: Value, depth: int) -> Iterator[tuple[str, Value]]:
    """The fields of an object by path, and those of the objects in it."""
    for name, field in _parts(value).items():
        yield path_of(name), field
        if depth > 1 and "array" not in _types(field):
            yield from ((f"{path_of(name)}.{inner}", one) for inner, one in _nested(field, depth - 1))


def _words(path: str) -> list[str]:
    """The words of a path, without a final verb: ``users.list``, ``users/query``."""
    words = re.findall(r"\{[^}]*\}|[^/.]+", path.removesuffix(".json"))
    is_done = words[-1:] and words[-1].lower() in VERBS and "{" not in "".join(words[-2:-1])
    return (words[:-1] if is_done else words) or ["rows"]


def _name(path: str) -> str:
    """The name of the table: the last word of the path, after the name of its parent."""
    words = _words(path)
    last = next((word for word in reversed(words) if "{" not in word), "rows")
    of = [word for word, later in pairwise(words) if "{" in later and "{" not in word and word != last]
    return _normal("_".join([*(word.removesuffix("s") for word in of[-1:]), last]))


def _parent(path: str) -> str:
    """The parent: the table whose rows have such a list each."""
    words = _words(path)
    place = max(place for place, word in enumerate(words) if "{" in word)
    is_list = place == len(words) - 1 and _name(path) == _normal(words[place - 1] if place else "")
    before = words[place - 1] if place and not is_list else "{"
    return _normal(before if "{" not in before else f"{words[place].strip('{}')}s")


def _normal(name: str) -> str:
    name = _NAMES.normalize_identifier(re.sub(r"\W+", "_", name).strip("_") or "rows")
    check_name(name)
    return name


def _owner(name: str, params: list[Mapping[str, Any]]) -> Column:
    """The column for a parameter of the path, which distinguishes the rows of several lists."""
    told = next((one for one in params if one.get("name") == name), {})
    is_number = {**told, **told.get("schema", {})}.get("type") == "integer"
    function = tables.bigint if is_number else tables.text
    column: Column = function(_NAMES.normalize_identifier(name), f"{_title(name)}.", origin="reader")
    return column


def _table(name: str, row: Value, owners: list[Column], operation: Mapping[str, Any]) -> tuple[Table, bool]:
    """The table, and whether its key is certain."""
    found: dict[str, Column] = {}
    for column in _columns(row):
        known = {*found, *(owner.name for owner in owners)}
        numbered = (f"{column.name}_{number}" for number in count(2))
        named = next(name for name in chain([column.name], numbered) if name not in known)
        found[named] = replace(column, name=named)
    if not found:
        raise SettingError(f"the rows of {name} have no fields in the document")
    names = [*found]
    own = f"{name.removesuffix('s').rpartition('_')[2]}_id"
    ids = [key for key in (*IDS, own) if key in names]
    known_by = next((key for key in (*ids, *KEYS) if key in names), names[0])
    said = operation.get("summary") or operation.get("description")
    table = Table(
        name=name,
        description=_sentence(said, name),
        docs=operation.get("externalDocs", {}).get("url", ""),
        key=(*(owner.name for owner in owners), known_by),
        columns=(*owners, *found.values(), *(() if DELETED_AT.name in names else (DELETED_AT,))),
        unused=tuple(f"{path_of(field)}.*" for field, value in _parts(row).items() if _is_another(value)),
    )
    return table, bool(ids)


def _is_another(field: Value) -> bool:
    """Whether a field is an object that deserves its own table, so that its id is enough here."""
    return _types(field) == {"object"} and "id" in _parts(field)


def _columns(row: Value, within: str = "") -> Iterator[Column]:
    """A column for each field; for a nested object, its id or its fields; JSON for anything deeper."""
    is_another = within and "id" in _parts(row)
    for name, field in _parts(row).items():
        if is_another and name != "id":
            continue
        path, types = f"{within}{path_of(name)}", _types(field)
        if types == {"object"} and _parts(field) and not within:
            yield from _columns(field, f"{path}.")
            continue
        formats = {schema.get("format") for schema in field.plain}
        if types == {"string"} and "date" in formats:
            function = tables.date
        elif types == {"integer", "number"}:
            function = tables.double
        else:
            function = _COLUMNS.get(next(iter(types)), tables.json) if len(types) == 1 else tables.json
        said = next((schema["description"] for schema in field.plain if schema.get("description")), "")
        yield function(_normal(path), _sentence(said, path), path=path)


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
    """How its pages continue, as far as the parameters and the response show it."""
    fields = dict(_nested(whole, 4)) if rows else {}
    given = {_normal(name): name for name in params}

    def told(names: Sequence[str], *types: str) -> str:
        """The first path that ends with one of the names and has one of the types."""
        found = ((path, value) for name in names for path, value in fields.items() if _normal(_last(path)) == name)
        return next((path for path, value in found if not types or not _types(value) or _types(value) & {*types}), "")

    def asked(*names: str) -> str:
        return next((given[name] for name in names if name in given), "")

    def envelope(kind: str, **arguments: Any) -> str:
        stated = {"rows": rows or None, **{name: value for name, value in arguments.items() if value}}
        as_python = (f"{name}={json.dumps(value) if value else None}" for name, value in stated.items())
        return f"{kind}({', '.join(as_python)})"

    if "link" in {name.lower() for name in answer.get("headers", {})}:
        return f'LinkHeader(rows="{rows}")' if rows else "LinkHeader()"
    more = told(MORE, "boolean")
    if "starting_after" in given and more:
        return envelope("HasMore", more=more, after="starting_after")
    if after := told(CURSORS, "string"):
        own = _normal(_last(after))
        param = asked(own, own.removeprefix("next_"), *CURSORS, "page_after", "page_cursor", "start_cursor")
        return envelope("CursorIn", at=after, param=param or "cursor", more=more)
    if following := told(LINKS, "string", "instant"):
        return envelope("NextLink", at=following)
    deeper = [path for path in fields if set(map(_normal, names_of(path)[:-1])) & {*LINKS}]
    for path in deeper:
        if _normal(_last(path)) in given:
            return envelope("CursorIn", at=path, param=given[_normal(_last(path))])
        if _normal(_last(path)) in ("href", "uri", "url", "path"):
            return envelope("NextLink", at=path)
    if page := asked("page", "page_number", "page_no", "p"):
        pages = told(PAGES, "integer", "number")
        return envelope("PageNumber", pages=pages, more="" if pages else more, param="" if page == "page" else page)
    if offset := asked("offset", "page_offset", "skip", "start", "start_at", "start_index"):
        total, limit = told(TOTALS, "integer", "number"), asked(*LIMITS)
        names = {"param": "" if offset == "offset" else offset, "limit_param": "" if limit == "limit" else limit}
        return envelope("Offset", total=total, more="" if total else more, limit=100, **names)
    return f'Envelope(rows="{rows}")' if rows else "Envelope()"


def _last(path: str) -> str:
    return names_of(path)[-1]


def _listing(table: Table, path: str, given: list[str], envelope: str, *, is_post: bool, is_sure: bool) -> str:
    doubts = [] if is_sure else [f"the document does not say what identifies a row; {table.key[-1]} is a guess"]
    doubts += ["the document does not say how pages continue"] if envelope.startswith("Envelope(") else []
    per = ""
    if given:
        values = ", ".join(f'"{one}": "id"' for one in given)
        per = f"    per=PerRow(tables.{_parent(path)}, {{{values}}}),\n"
    body = "    body={},\n" if is_post else ""
    return (
        "# In source/__init__.py; whether a sync may read less than all of it: docs/lists.md.\n"
        + "".join(f"# Check this: {doubt}.\n" for doubt in doubts)
        + f'Listing(\n    tables.{table.name},\n    "{path}",\n    walk=FullList(),\n'
        + f"    envelope={envelope},\n{per}{body})"
    )


def source_of(table: Table) -> str:
    """The declaration of a table as Python."""

    def column(one: Column) -> str:
        if one is DELETED_AT:
            return "        DELETED_AT,\n"
        path = "" if one.path == one.name else f", path={json.dumps(one.path)}"
        origin = "" if one.origin == "payload" else f', origin="{one.origin}"'
        said = json.dumps(one.description, ensure_ascii=False)
        return f"        {one.type.name}({json.dumps(one.name)}, {said}{path}{origin}),\n"

    return (
        f"{table.name} = Table(\n"
        f"    name={json.dumps(table.name)},\n"
        f"    description={json.dumps(table.description, ensure_ascii=False)},\n"
        f"    docs={json.dumps(table.docs)},\n"
        + (f"    key={table.key},\n" if table.key != ("id",) else "")
        + f"    columns=(\n{''.join(map(column, table.columns))}    ),\n"
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
    """0 if the draft was printed; otherwise 1, and prints the reason in one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("document", type=Path, help="JSON or YAML")
    parser.add_argument("paths", nargs="+", help="paths of the lists, as written in the document")
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
