"""Views of a location's tables: each is an SQL file and an asset, and a run recreates it in the warehouse.

The file ``<view>.sql`` begins with its definition, as a comment for people; ``{name}`` stands for a table of the
location, or for another of its views, and makes it an upstream asset. A view shows what is in the tables when it is
queried, so it has to be created only once, and again if its file changes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, AssetSpec, MaterializeResult, multi_asset
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase
from dlt.pipeline.pipeline import Pipeline

from ingest_shared.destinations import DATABASES, destination_name
from ingest_shared.resource import plain_errors

_NAME = re.compile(r"\{(\w+)\}")
_COMMENT = re.compile(r"^--[ ]?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class View:
    """A view: its name, and the SQL of its file."""

    name: str
    sql: str

    @cached_property
    def definition(self) -> str:
        """What it shows: the comment at the beginning of its file."""
        comment = self.sql.partition("\n\n")[0]
        return "\n".join(_COMMENT.findall(comment))

    @cached_property
    def of(self) -> frozenset[str]:
        """The tables and views that it reads."""
        return frozenset(_NAME.findall(self.sql))

    def statement(self, client: SqlClientBase[object], constants: Mapping[str, str] = {}) -> str:
        """Its SQL for a warehouse; ``constants`` are names that stand for a piece of SQL."""

        def named(found: re.Match[str]) -> str:
            return constants.get(found[1]) or client.make_qualified_table_name(found[1])

        return _NAME.sub(named, _COMMENT.sub("", self.sql)).strip()


def views_in(folder: Path) -> list[View]:
    """The views of a folder, each after those that it reads."""
    views = {file.stem: View(file.stem, file.read_text()) for file in folder.glob("*.sql")}
    order = TopologicalSorter({name: sorted(view.of & views.keys()) for name, view in sorted(views.items())})
    return [views[name] for name in order.static_order()]


def create(client: SqlClientBase[object], views: Sequence[View], constants: Mapping[str, str] = {}) -> dict[str, str]:
    """Recreates the views in one transaction; returns those that could not be created, each with a missing table."""
    names = {view.name for view in views}
    tables = {name for view in views for name in view.of - names - constants.keys()}
    not_there = {name for name in tables if not _is_there(client, name)}
    not_made: dict[str, str] = {}
    with client.begin_transaction():
        for view in reversed(views):
            client.execute_sql(f"DROP VIEW IF EXISTS {client.make_qualified_table_name(view.name)}")
        for view in views:
            if missing := sorted(view.of & (not_there | not_made.keys())):
                not_made[view.name] = missing[0]
                continue
            name = client.make_qualified_table_name(view.name)
            client.execute_sql(f"CREATE VIEW {name} AS {view.statement(client, constants)}")
    return not_made


def _is_there(client: SqlClientBase[object], table: str) -> bool:
    try:
        client.execute_sql(f"SELECT 1 FROM {client.make_qualified_table_name(table)} WHERE 1 = 0")
    except DatabaseUndefinedRelation:
        return False
    return True


def view_assets(
    location: str,
    group: str,
    views: Sequence[View],
    pipeline: Pipeline,
    owners: Sequence[str],
    constants: Mapping[str, str] = {},
    destinations: Sequence[str] = DATABASES,
) -> AssetsDefinition:
    """An asset ``[location, view]`` for each view, downstream of the tables that it reads; one step creates them all.

    A view of a table that was never loaded, or is left out, is not created; the run says so. In a warehouse that is not
    one of ``destinations``, whose SQL the views use, none is created.
    """

    @multi_asset(
        name=group,
        specs=[
            AssetSpec(
                AssetKey([location, view.name]),
                deps=[AssetKey([location, name]) for name in sorted(view.of - constants.keys())],
                description=view.definition,
                metadata={"dagster/table_name": f"{location}_raw.{view.name}"},
                group_name=group,
                owners=owners,
                kinds={location, "sql", "view"},
                skippable=True,
            )
            for view in views
        ],
        pool=group,
    )
    def make(context: AssetExecutionContext) -> Iterator[MaterializeResult[object]]:
        if (name := destination_name()) not in destinations:
            context.log.warning(
                "no views were created: their SQL is for %s, not for %s", " and ".join(destinations), name
            )
            return
        with plain_errors(pipeline), pipeline.sql_client() as client:
            not_made = create(client, views, constants)
        for view in views:
            if view.name in not_made:
                context.log.warning(
                    "view %s was not created: %s, which it reads, was never loaded", view.name, not_made[view.name]
                )
            else:
                yield MaterializeResult(asset_key=AssetKey([location, view.name]))

    return make
