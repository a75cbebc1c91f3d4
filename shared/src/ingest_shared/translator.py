"""What Dagster's UI shows of a table, taken from its description."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

from ingest_shared.groups import Group
from ingest_shared.tables import AnyTable, Table, all_columns


@dataclass
class IngestTranslator(DagsterDltTranslator):
    """Owns key, kinds, owners, tags, freshness and column schema of the assets of a group.

    A table is the asset ``[location, table]``; it has no upstream assets, because its origin is
    an API that Dagster does not know.
    """

    location: str
    group: Group
    tables: Mapping[str, Table]
    owners: Sequence[str]

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        table = self.tables[data.resource.name]
        destination = data.destination.destination_name if data.destination else None
        metadata: dict[str, Any] = {
            "dagster/column_schema": table_schema(table),
            "dagster/table_name": f"{self.location}_raw.{table.name}",
            "source documentation": MetadataValue.url(table.docs),
        }
        for child in table.children:
            metadata[f"columns of {child.name}"] = table_schema(child)
        return (
            super()
            .get_asset_spec(data)
            .replace_attributes(
                key=AssetKey([self.location, table.name]),
                deps=[],
                description=_description(table),
                group_name=self.group.name,
                owners=list(self.owners),
                kinds={self.location, "dlt"} | ({destination} if destination else set()),
                tags=self.group.tags,
                freshness_policy=self.group.freshness,
            )
            .merge_attributes(metadata=metadata)
        )


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


def _description(table: Table) -> str:
    lines = [table.description]
    lines += [f"- `{child.name}`: {child.description}" for child in table.children]
    return "\n".join(lines) if len(lines) == 1 else "\n".join([lines[0], "", "Child tables:", *lines[1:]])
