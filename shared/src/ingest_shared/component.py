"""The YAML component that loads tables, with everything that ``defs/assets.py`` and ``defs/checks.py`` do in Python.

    type: ingest_shared.component.IngestComponent
    attributes:
      location: zendesk
      owners: ["team:zendesk-ingest"]
      loads:
        - group: zendesk_location.defs.groups.ITEMS
          source: zendesk_location.source.items
          tables: zendesk_location.source.tables.TABLES

https://docs.dagster.io/guides/build/components/creating-new-components
"""

import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from dagster import (
    AssetChecksDefinition,
    AssetExecutionContext,
    AssetMaterialization,
    AssetsDefinition,
    Component,
    ComponentLoadContext,
    Definitions,
    MaterializeResult,
    ResolutionContext,
    Resolvable,
    Resolver,
)
from dagster_dlt import dlt_assets
from dlt.extract.source import DltSource

from ingest_shared.checks import table_checks
from ingest_shared.errors import SettingError
from ingest_shared.groups import Group
from ingest_shared.pipelines import pipeline
from ingest_shared.resource import IngestConfig, IngestDltResource
from ingest_shared.tables import Table
from ingest_shared.translator import IngestTranslator, with_child_tables


def _named(context: ResolutionContext, path: str) -> Any:
    """The object that a dotted name refers to; raises :class:`SettingError` if there is none."""
    try:
        return pkgutil.resolve_name(path)
    except (ValueError, ImportError, AttributeError) as error:
        raise SettingError(f"defs.yaml names {path!r}, which cannot be found ({error})") from None


_NAMED = Resolver(_named, model_field_type=str)


@dataclass
class Load(Resolvable):
    """A group of tables that one pipeline loads; each field is a dotted name."""

    group: Annotated[Group, _NAMED]
    source: Annotated[Callable[[bool], DltSource], _NAMED]
    """The function that gives the dlt source; its argument is whether to audit."""
    tables: Annotated[Mapping[str, Table], _NAMED]


@dataclass
class IngestComponent(Component, Resolvable):
    """Assets, one per table and child table, and their checks."""

    location: str
    owners: Sequence[str]
    loads: Sequence[Load]

    def build_defs(self, context: ComponentLoadContext) -> Definitions:
        found = [self._assets_and_checks(load) for load in self.loads]
        return Definitions(assets=[assets for assets, _ in found], asset_checks=[checks for _, checks in found])

    def _assets_and_checks(self, load: Load) -> tuple[AssetsDefinition, AssetChecksDefinition]:
        name = load.group.name
        if load.group.shards > 1:
            raise SettingError(f"{name} has {load.group.shards} shards, which only a group in Python can have")
        loads_by = pipeline(self.location, name.removeprefix(f"{self.location}_"))

        @dlt_assets(
            dlt_source=with_child_tables(load.source(False), load.tables),
            dlt_pipeline=loads_by,
            name=name,
            pool=name,
            dagster_dlt_translator=IngestTranslator(self.location, load.group, load.tables, self.owners),
        )
        def assets(
            context: AssetExecutionContext, dlt: IngestDltResource, config: IngestConfig
        ) -> Iterator[AssetMaterialization | MaterializeResult[object]]:
            yield from dlt.run(context, dlt_source=load.source(config.audit))

        return assets, table_checks(assets, loads_by, load.tables)
