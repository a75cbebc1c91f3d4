"""What a shard takes over after the number of shards changed: each scope's cursor, from whichever shard read it last.

The states of all pipelines are in the warehouse. The names of a group's shards say which scopes each state covers: of
the states that cover a scope, the one that was loaded last knows where reading it stopped.
https://dlthub.com/docs/general-usage/state
"""

import re
from collections.abc import Mapping
from typing import Any

from dlt.common.destination.client import WithStateSync
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.pipeline.pipeline import Pipeline
from dlt.pipeline.state_sync import load_pipeline_state_from_destination

from ingest_shared.destinations import DATABASES, destination_name
from ingest_shared.shards import WHOLE_SOURCE, Shard

State = Mapping[str, Any]
_PIPELINE = re.compile(r"(?P<group>.+?)(_(?P<shard>\d+_of_\d+))?")
_LAST_LOADED = """
    SELECT s.pipeline_name, max(l.inserted_at)
    FROM {states} AS s JOIN {loads} AS l ON l.load_id = s._dlt_load_id
    WHERE l.status = 0 GROUP BY s.pipeline_name
"""


def take_over(pipeline: Pipeline) -> None:
    """Completes the state of a pipeline that was just restored, if a different number of shards has loaded since.

    Each scope's cursor, and the mark of its lists per row, comes from the state that was loaded last. Everything else
    is dropped and determined again.
    """
    if destination_name() not in DATABASES:
        return  # no shards there, and each load would be a file to read
    group, own = _group_and_shard(pipeline.pipeline_name)
    loaded = [(*_group_and_shard(name), at) for name, at in _last_loaded(pipeline).items()]
    last_loaded = {shard: at for of, shard, at in loaded if of == group}
    others = [shard for shard in last_loaded if shard.count != own.count]
    if not others or (own in last_loaded and all(last_loaded[own] > last_loaded[other] for other in others)):
        return
    by_time = sorted(last_loaded, key=lambda shard: (last_loaded[shard], shard), reverse=True)
    stored = {shard: _stored(pipeline, group, shard) for shard in by_time}
    with pipeline.managed_state() as state:
        sources: dict[str, Any] = state.setdefault("sources", {})
        for source, name in sorted({found for resources in stored.values() for found in resources}):
            states = {shard: resources.get((source, name), {}) for shard, resources in stored.items()}
            restored = sources.setdefault(source, {})
            # dlt saves a state only if it changed: without this, an unchanged one would look outdated.
            restored["taken_over_at"] = str(max(last_loaded.values()))
            restored.setdefault("resources", {})[name] = {
                "cursors": _latest("cursors", own, states),
                "parents": _latest("parents", own, states),
                **_left_to_read(states),
            }


def _latest(name: str, own: Shard, states: Mapping[Shard, State]) -> dict[str, Any]:
    """The notes on each scope of the shard, from the first state that covers it."""
    cursors = {shard: state.get(name, {}) for shard, state in states.items()}
    ids = sorted({id_ for known in cursors.values() for id_ in known if own.has(id_)})
    latest = {id_: next(known.get(id_) for shard, known in cursors.items() if shard.has(id_)) for id_ in ids}
    return {id_: cursor for id_, cursor in latest.items() if cursor is not None}


def _left_to_read(states: Mapping[Shard, State]) -> dict[str, Any]:
    """What any of the shards still has to read."""
    found: dict[str, Any] = {}
    if gaps := [state["gaps"] for state in states.values() if "gaps" in state]:
        found["gaps"] = sum(gaps)
    if left_out := [values for state in states.values() for values in state.get("left_out", ())]:
        found["left_out"] = left_out
    if any(state.get("waits") for state in states.values()):
        found["waits"] = True
    return found


def _group_and_shard(pipeline_name: str) -> tuple[str, Shard]:
    found = _PIPELINE.fullmatch(pipeline_name)
    assert found
    return found["group"], Shard.named(found["shard"]) if found["shard"] else WHOLE_SOURCE


def _last_loaded(pipeline: Pipeline) -> dict[str, Any]:
    """When each pipeline of the dataset last loaded a changed state; none before the first load."""
    with pipeline.sql_client() as client:
        tables = {"states": "_dlt_pipeline_state", "loads": "_dlt_loads"}
        named = {name: client.make_qualified_table_name(table) for name, table in tables.items()}
        try:
            return dict(map(tuple, client.execute_sql(_LAST_LOADED.format(**named)) or ()))
        except DatabaseUndefinedRelation:
            return {}


def _stored(pipeline: Pipeline, group: str, shard: Shard) -> dict[tuple[str, str], State]:
    """The states of a shard's resources in the warehouse, by source and name."""
    name = group if shard.is_whole else f"{group}_{shard.name}"
    with pipeline.destination_client() as client:
        assert isinstance(client, WithStateSync)
        state = load_pipeline_state_from_destination(name, client)
    sources = (state or {}).get("sources", {})
    return {(source, name): one for source, its in sources.items() for name, one in its.get("resources", {}).items()}
