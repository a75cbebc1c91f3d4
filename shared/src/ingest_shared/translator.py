"""What Dagster's UI shows for a table, derived from its declaration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import dlt
from dagster import (
    AssetKey,
    AssetSpec,
    MetadataValue,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
)
from dagster_dlt import DagsterDltTranslator
from dagster_dlt.translator import DltResourceTranslatorData
from dlt.extract.source import DltSource

from ingest_shared.groups import Group
from ingest_shared.tables import AnyTable, Table, all_columns


@dataclass
class IngestTranslator(DagsterDltTranslator):
    """Sets key, kinds, owners, tags, freshness and column schema of the assets of a group.

    A table is the asset ``[location, table]``. It has no upstream assets, because its origin is an API that Dagster
    does not know; a child table depends on its parent.
    """

    location: str
    group: Group
    tables: Mapping[str, Table]
    owners: Sequence[str]

    def key(self, table: AnyTable) -> AssetKey:
        return AssetKey([self.location, table.name])

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        table, parent = self._declared[data.resource.name]
        destination = data.destination.destination_name if data.destination else None
        return AssetSpec(
            self.key(table),
            deps=[] if table is parent else [self.key(parent)],
            description=table.description,
            metadata={
                "dagster/column_schema": table_schema(table),
                "dagster/table_name": f"{self.location}_raw.{table.name}",
            }
            | ({"source documentation": MetadataValue.url(parent.docs)} if parent.docs else {}),
            group_name=self.group.name,
            owners=self.owners,
            kinds={self.location, "dlt"} | ({destination} if destination else set()),
            tags=self.group.tags,
            freshness_policy=self.group.freshness,
        )

    @cached_property
    def _declared(self) -> dict[str, tuple[AnyTable, Table]]:
        """Each table, with the table that it is loaded with: its parent, or itself."""
        return {table.name: (table, parent) for parent in self.tables.values() for table in parent.with_children}


def with_child_tables(source: DltSource, tables: Mapping[str, Table]) -> DltSource:
    """The source as Dagster's catalog shows it: child tables next to the tables that they are loaded with.

    ``@dlt_assets`` makes an asset of each resource. These resources read nothing:
    :class:`~ingest_shared.resource.IngestDltResource` runs the source itself.
    """
    children = [child.name for name in source.selected_resources for child in tables[name].children]
    source.resources.add(*(dlt.resource([], name=name) for name in children))
    return source


def table_schema(table: AnyTable) -> TableSchema:
    """The table's columns with types, descriptions and keys, as Dagster's UI lists them."""
    return TableSchema(
        columns=[
            TableColumn(
                name=column.name,
                type=column.type.dlt,
                description=column.description,
                constraints=TableColumnConstraints(
                    nullable=column.name not in table.key,
                    unique=table.key == (column.name,),
                    other=["primary key"] if column.name in table.key else [],
                ),
            )
            for column in all_columns(table)
        ]
    )
