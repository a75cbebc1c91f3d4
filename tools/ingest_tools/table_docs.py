"""Writes docs/tables/<location>.md: every table with its keys and columns, how it is read, and what that costs.

Run with the Python of the location's environment, as `make table-docs` does. Everything is derived from the
declarations (the tables, ``LISTINGS``, ``FILES`` or ``MIRRORED`` in ``source/__init__.py``, the groups, the walks),
except for the total cost, which is measured and written into ``cost.md`` in the location's folder.
"""

import argparse
import inspect
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

from dagster import AssetKey

from ingest_shared.databases.declared import Mirrored
from ingest_shared.groups import STALE, Group
from ingest_shared.reading.files import Files
from ingest_shared.reading.listings import Listing
from ingest_shared.reading.per_row import PerRow
from ingest_shared.reading.walks import FullList
from ingest_shared.tables import AnyTable, Table, all_columns
from ingest_tools.projects import ROOT

FOLDER = ROOT / "docs" / "tables"


def page(location: str) -> str:
    """The whole page of a location."""
    source = import_module(f"{location}_location.source")
    tables: Mapping[str, Table] = import_module(f"{location}_location.source.tables").TABLES
    permissions: Mapping[str, str] = getattr(source, "PERMISSIONS", {})
    by_table = _declared(source)
    if unlisted := tables.keys() - by_table.keys():
        raise SystemExit(
            f"{location}: the table {min(unlisted)} is in none of LISTINGS, FILES and MIRRORED in source/__init__.py"
        )
    lines = [*_introduction(location, source, tables), *_overview(tables, _all_groups(location, tables, by_table))]
    cost = ROOT / "locations" / location / "cost.md"
    if cost.exists():
        lines += ["", *cost.read_text().splitlines()]
    for table in tables.values():
        lines += ["", *section(table, by_table[table.name], permissions.get(table.name, ""))]
    return "\n".join(lines) + "\n"


def _declared(source: ModuleType) -> dict[str, Listing | Files | Mirrored]:
    """How each table is read, by its name."""
    declared: tuple[Listing | Files | Mirrored, ...] = (
        *getattr(source, "LISTINGS", ()),
        *getattr(source, "FILES", ()),
        *getattr(source, "MIRRORED", {}).values(),
    )
    return {one.table.name: one for one in declared}


def _introduction(location: str, source: ModuleType, tables: Mapping[str, Table]) -> Iterator[str]:
    what, sent = ("file", "what a file has") if hasattr(source, "FILES") else ("list", "fields that the API sent")
    stays = any(column.name == "deleted_at" for table in tables.values() for column in table.columns)
    yield f"# The tables of {location}"
    yield f"Written by `make table-docs` from the declarations in `locations/{location}/`; do not edit."
    yield ""
    yield (
        f"Each table is in the schema `{location}_raw` and has the column `_undeclared`: {sent} but "
        "no column holds, as JSON. "
        f"A row that disappeared from the origin {'stays, with `deleted_at`' if stays else 'is removed'}."
    )
    yield ""
    yield (
        f"An audit (`{location}_audit`, `{audit_cron(location)}` UTC, and by hand) reads every {what} as a first load "
        "does, compares each value with the warehouse, loads what differs and reports it as the check "
        "`equals_origin`."
    )
    yield ""


def _overview(tables: Mapping[str, Table], groups: Mapping[str, Group]) -> Iterator[str]:
    """All tables, and then all groups."""
    yield "| table | key | group | what it holds |"
    yield "|---|---|---|---|"
    for table in _all(tables):
        yield f"| {_link(table)} | {_key(table)} | `{groups[table.name].name}` | {_cell(table.description)} |"
    yield ""
    yield "| group | loaded (UTC) | stale after |"
    yield "|---|---|---|"
    for group in dict.fromkeys(groups[name] for name in tables):
        yield f"| `{group.name}` | `{group.cron}` | {(group.every + STALE).total_seconds() / 3600:g} hours |"


def _all_groups(
    location: str, tables: Mapping[str, Table], by_table: Mapping[str, Listing | Files | Mirrored]
) -> dict[str, Group]:
    """The group of each table and child table, including those that are loaded only on request."""
    groups = groups_of(location)
    for table in tables.values():
        one = by_table[table.name]
        # It may not be an asset; it belongs to the group of its rows.
        if table.name not in groups and isinstance(one, Listing):
            group = groups[one.per.parent.name]
            groups |= dict.fromkeys((one.name for one in table.with_children), group)
    return groups


def groups_of(location: str) -> dict[str, Group]:
    """The group of each table and child table, from the assets."""
    known = {group.name: group for group in vars(_groups(location)).values() if isinstance(group, Group)}
    definitions = import_module(f"{location}_location.definitions").defs()
    graph = definitions.get_repository_def().asset_graph
    found: dict[str, Group] = {}
    for key in graph.materializable_asset_keys:
        group = graph.get(key).group_name
        if group in known and isinstance(key, AssetKey):
            found[key.path[-1]] = known[group]
    return found


def audit_cron(location: str) -> str:
    return str(_groups(location).AUDIT_CRON)


def _groups(location: str) -> Any:
    return import_module(f"{location}_location.defs.groups")


def section(table: Table, declared: Listing | Files | Mirrored, permission: str) -> Iterator[str]:
    """The section of a table and its child tables; ``permission`` is what a credential needs for it."""
    yield f"## {table.name}"
    docs = "The API's documentation" if isinstance(declared, Listing) else "Documentation"
    yield table.description + (f" [{docs}]({table.docs})." if table.docs else "")
    yield ""
    for name, fact in (facts(declared) if isinstance(declared, Listing) else declared.facts).items():
        yield f"- **{name}**: {fact}"
    if permission:
        yield f"- **Permission**: `{permission}`"
    if table.limits:
        yield f"- **What the API cannot give**: {table.limits}"
    yield from columns(table)
    for child in table.children:
        yield ""
        yield f"### {child.name}"
        yield f"{child.description} From `{child.path}` of `{table.name}`; replaced as a whole together with its row."
        yield from columns(child)


def facts(listing: Listing) -> dict[str, str]:
    """How a list is read."""
    read, cost = _read(listing)
    return {
        "Request": f"`{request(listing)}`{_scope(listing)}",
        "Read": read,
        "Cost": cost,
        "Deletes": listing.walk.deletes or f"found {_found(listing)}.",
    }


def request(listing: Listing) -> str:
    """The walk's request for the first page, with the placeholders of its scope."""
    method = "GET" if listing.body is None else "POST"
    query = f"?{urlencode(listing.params, doseq=True, safe='[]')}" if listing.params else ""
    return f"{method} {listing.path}{query}"


def columns(table: AnyTable) -> Iterator[str]:
    yield ""
    yield "| column | type | meaning |"
    yield "|---|---|---|"
    for column in all_columns(table)[:-1]:
        name = f"**{column.name}**" if column.name in table.key else column.name
        yield f"| {name} | {column.type.dlt} | {_cell(column.description)} |"


def _all(tables: Mapping[str, Table]) -> Iterator[AnyTable]:
    for table in tables.values():
        yield from table.with_children


def _scope(listing: Listing) -> str:
    if not isinstance(listing.per, PerRow):
        return ""
    changed = f" whose `{listing.per.changed}` changed" if listing.per.changed else ""
    return f", for each row of `{listing.per.parent.name}`{changed}"


def _read(listing: Listing) -> tuple[str, str]:
    """What a sync reads, and its cost."""
    walk = listing.walk
    if isinstance(walk, FullList) and walk.since:
        return (
            f"What changed since the previous sync, by `{walk.column}`; at first every page.",
            "One call for each page of changes, and at least one; at first one for each page.",
        )
    return _first_paragraph(walk), walk.cost


def _found(listing: Listing) -> str:
    """How rows that are gone are found."""
    if not (isinstance(listing.walk, FullList) and listing.walk.since is None):
        return "by the audit"
    per_row = isinstance(listing.per, PerRow)
    return "when its list is read again, or by the audit" if per_row else "by every load, since it reads the whole list"


def _first_paragraph(of: object) -> str:
    return " ".join((inspect.getdoc(type(of)) or "").split("\n\n")[0].split())


def _key(table: AnyTable) -> str:
    return ", ".join(f"`{name}`" for name in table.key)


def _link(table: AnyTable) -> str:
    return f"[{table.name}](#{table.name})"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def main() -> int:
    """0 if the page was written or is up to date; otherwise 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("location", help="its folder below locations/")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is stale")
    parser.add_argument("--into", type=Path, default=FOLDER, help="the folder of the pages")
    chosen = parser.parse_args()
    file = chosen.into / f"{chosen.location}.md"
    text = page(chosen.location)
    if chosen.check:
        if file.exists() and file.read_text() == text:
            return 0
        print(f"docs/tables/{file.name} is stale: run `make table-docs ONLY={chosen.location}`", file=sys.stderr)
        return 1
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
