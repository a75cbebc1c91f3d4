"""Opens everything that a run needs and loads nothing: a deploy does this in a run's container before it swaps the
server.

    python -m ingest_shared.trial github INSTANCE     INSTANCE is Dagster's, as a run receives it

Imports the definitions, signs in to Dagster's storage, opens the warehouse of each pipeline, and reads the source's
settings with ``connect`` of ``source/api.py``. The first failure ends it with its error.
"""

import importlib
import sys
from collections.abc import Iterable

from dagster import DagsterInstance, RepositoryDefinition
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import deserialize_value
from dagster_dlt.constants import META_KEY_PIPELINE
from dlt.pipeline.pipeline import Pipeline

from ingest_shared.destinations import check_destination


def pipelines_of(repository: RepositoryDefinition) -> Iterable[Pipeline]:
    """The dlt pipelines that fill the repository's assets, each once."""
    specs = (spec for assets in repository.asset_graph.assets_defs for spec in assets.specs)
    found = (spec.metadata.get(META_KEY_PIPELINE) for spec in specs)
    return {one.pipeline_name: one for one in found if isinstance(one, Pipeline)}.values()


def open_all(location: str, instance: InstanceRef) -> None:
    """Raises whatever a run of the location would fail with before its first call."""
    package = f"{location}_location"
    importlib.import_module(f"{package}.definitions")  # imported first, because Dagster would wrap its error in advice
    repository = ReconstructableRepository.for_module(f"{package}.definitions", "defs").get_definition()
    with DagsterInstance.from_ref(instance) as opened:
        opened.get_run_ids(limit=1)
    for pipeline in pipelines_of(repository):
        check_destination(pipeline)
    importlib.import_module(f"{package}.source.api").connect()


if __name__ == "__main__":
    open_all(sys.argv[1], deserialize_value(sys.argv[2], InstanceRef))
