"""The permission that each mutation of Dagster's GraphQL schema requires, and in which locations.

Dagster checks most mutations itself. These rules check every mutation first: one without a rule is refused, and
where Dagster checks one of two arguments, both are checked here. Every action is recorded.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
from dagster import AssetKey
from dagster._core.definitions.selector import RepositorySelector
from dagster._core.remote_representation.external import RemoteSchedule, RemoteSensor
from dagster._core.remote_representation.handle import CompoundID
from dagster._core.storage.tags import BACKFILL_ID_TAG, PARENT_RUN_ID_TAG, REPOSITORY_LABEL_TAG, ROOT_RUN_ID_TAG
from dagster._core.workspace.permissions import Permissions
from dagster_graphql.implementation.execution.dynamic_partitions import _repository_contains_dynamic_partitions_def
from dagster_graphql.schema.errors import GrapheneUnauthorizedError
from dagster_graphql.schema.util import ResolveInfo
from dagster_shared.error import DagsterError
from graphene import Schema
from graphql import GraphQLError, get_named_type, is_union_type

from ingest_host.access.audit import Trail
from ingest_host.access.permissions import ViewerContext, missing_role
from ingest_host.text import fault

Locations = frozenset[str] | None
"""The locations that a mutation affects; None if it affects the platform itself, or an object in no location."""
Arguments = Mapping[str, Any]
Where = Callable[[ResolveInfo, Arguments], Locations]
UNRECORDED = ("runConfigData",)
"""Arguments that are not recorded, since they may contain a secret."""


@dataclass(frozen=True)
class Rule:
    """A permission, and how to find the locations that it is required in from the mutation's arguments.

    A mutation without a permission is open to everybody who may see the UI, and is not recorded. ``after`` is called
    with the result.
    """

    permission: Permissions | None
    where: Where = lambda _info, _arguments: None
    after: Callable[[ResolveInfo, Any], None] = lambda _info, _result: None


def guard(schema: Schema, trail: Trail) -> Schema:
    """Returns the schema with each mutation checked against its rule and recorded."""
    mutation = schema.graphql_schema.mutation_type
    assert mutation is not None
    for name, field in mutation.fields.items():
        assert field.resolve is not None
        field.resolve = _guarded(name, field.resolve, field.type, trail)
    return schema


def _guarded(name: str, resolve: Callable[..., Any], result_type: Any, trail: Trail) -> Callable[..., Any]:
    rule = RULES.get(name)
    union = get_named_type(result_type)
    says_so = is_union_type(union) and "UnauthorizedError" in [one.name for one in union.types]

    @functools.wraps(resolve)
    def guarded(root: Any, info: ResolveInfo, **arguments: Any) -> Any:
        context: ViewerContext = info.context  # type: ignore[assignment]
        viewer = context.viewer
        if rule is None:
            raise GraphQLError(f"{name} is not allowed here: no rule covers it")
        refusal = (wrong := fault(arguments)) and GraphQLError(f"nothing was done: an argument contains {wrong}")
        if rule.permission is None:
            if refusal:
                raise refusal
            return resolve(root, info, **arguments)
        where = _located(rule, info, arguments)
        record = functools.partial(trail.record, viewer.name, viewer.how, name, where or (), _recorded(arguments))
        if not context.allows(rule.permission, where):
            record("refused")
            place = next((one for one in sorted(where or ()) if not viewer.may(rule.permission, one)), None)
            reason = f"{viewer.name} may not do this: {missing_role(rule.permission, place).lower()}"
            if says_so:
                return GrapheneUnauthorizedError(reason)  # type: ignore[no-untyped-call]
            raise GraphQLError(reason)
        try:
            trail.check()
        except psycopg2.Error as error:
            raise GraphQLError(f"The audit trail cannot be written to, so nothing was done: {error}") from None
        try:
            if refusal:  # pages cannot show such text, and not every database can store it
                raise refusal
            result = resolve(root, info, **arguments)
        except Exception:
            record("failed")
            raise
        if inspect.isawaitable(result):
            return _recorded_later(result, record)
        rule.after(info, result)
        record(_outcome(result))
        return result

    return guarded


async def _recorded_later(result: Any, record: Callable[[str], None]) -> Any:
    try:
        done = await result
    except Exception:
        record("failed")
        raise
    record(_outcome(done))
    return done


def _located(rule: Rule, info: ResolveInfo, arguments: Arguments) -> Locations:
    """Returns the affected locations; None if the object does not exist, which requires a platform-wide permission."""
    try:
        return rule.where(info, arguments)
    except (DagsterError, KeyError, ValueError):
        return None


def _outcome(result: Any) -> str:
    """Returns the type of the result, with the id of its run or backfill, if any."""
    if isinstance(result, bool):
        return "done"
    kind = type(result).__name__.removeprefix("Graphene")
    results = getattr(result, "launchMultipleRunsResult", None) or getattr(result, "terminateRunResults", None)
    if isinstance(results, list):
        return "; ".join(map(_outcome, results))
    run = getattr(getattr(result, "run", None), "run_id", None)
    made = run or getattr(result, "backfill_id", None)
    return f"{kind} {made}" if isinstance(made, str) else kind


def _recorded(arguments: Any) -> Any:
    if isinstance(arguments, Mapping):
        return {key: _recorded(value) for key, value in arguments.items() if key not in UNRECORDED}
    if isinstance(arguments, list):
        return [_recorded(value) for value in arguments]
    return getattr(arguments, "value", arguments)


def _mark_backfill(info: ResolveInfo, result: Any) -> None:
    """Tags a re-executed backfill with its own launcher: it inherits the original's tags, including its launcher."""
    if backfill := info.context.instance.get_backfill(getattr(result, "backfill_id", "")):
        tags = {**backfill.tags, **info.context.get_viewer_tags()}
        info.context.instance.update_backfill(backfill._replace(tags=tags))


# How to find the locations that a mutation's arguments refer to.


def _all(*found: Locations) -> Locations:
    """Returns all the locations together; None if any of them is None."""
    names: frozenset[str] = frozenset()
    for one in found:
        if one is None:
            return None
        names |= one
    return names or None


def _named(argument: str) -> Where:
    """Takes the location's name from an argument that is either the name or a selector."""

    def where(_info: ResolveInfo, arguments: Arguments) -> Locations:
        given = arguments[argument]
        return frozenset({str(given if isinstance(given, str) else given["repositoryLocationName"])})

    return where


def _of_run(info: ResolveInfo, run_id: str) -> Locations:
    run = info.context.instance.get_run_by_id(run_id)
    origin = run.remote_job_origin if run else None
    return frozenset({origin.location_name}) if origin else None


def _of_backfill(info: ResolveInfo, backfill_id: str) -> Locations:
    backfill = info.context.instance.get_backfill(backfill_id)
    if backfill is None:
        return None
    origin = backfill.partition_set_origin
    found: list[Locations] = [frozenset({origin.selector.location_name})] if origin else []
    if backfill.asset_selection:
        found.append(_context(info).locations_of(backfill.asset_selection))
    return _all(*found)


def _of_assets(info: ResolveInfo, keys: Iterable[Mapping[str, Any]]) -> Locations:
    return _context(info).locations_of(AssetKey.from_graphql_input(key) for key in keys)


def _of_tags(info: ResolveInfo, tags: Iterable[Mapping[str, str]] | None) -> list[Locations]:
    """Returns the locations of what a run's tags attach it to: a parent's group, a backfill, a location's list of runs.

    A run may only join those of its own location.
    """
    joined: dict[str, Callable[[ResolveInfo, str], Locations]] = {
        PARENT_RUN_ID_TAG: _of_run,
        ROOT_RUN_ID_TAG: _of_run,
        BACKFILL_ID_TAG: _of_backfill,
        REPOSITORY_LABEL_TAG: lambda _, label: frozenset({label.rpartition("@")[2]}),
    }
    return [joined[tag["key"]](info, tag["value"]) for tag in tags or () if tag["key"] in joined]


def _of_execution(info: ResolveInfo, parameters: Mapping[str, Any]) -> Locations:
    metadata = parameters.get("executionMetadata") or {}
    runs = [metadata[key] for key in ("parentRunId", "rootRunId") if metadata.get(key)]
    selector = frozenset({str(parameters["selector"]["repositoryLocationName"])})
    return _all(selector, *(_of_run(info, run) for run in runs), *_of_tags(info, metadata.get("tags")))


def _launched(info: ResolveInfo, arguments: Arguments) -> Locations:
    return _of_execution(info, arguments["executionParams"])


def _launched_together(info: ResolveInfo, arguments: Arguments) -> Locations:
    return _all(*(_of_execution(info, one) for one in arguments["executionParamsList"]))


def _executed_again(info: ResolveInfo, arguments: Arguments) -> Locations:
    found: list[Locations] = []
    if execution := arguments.get("executionParams"):
        found.append(_of_execution(info, execution))
    if again := arguments.get("reexecutionParams"):
        found += [_of_run(info, again["parentRunId"]), *_of_tags(info, again.get("extraTags"))]
    return _all(*found)


def _run(info: ResolveInfo, arguments: Arguments) -> Locations:
    return _of_run(info, arguments["runId"])


def _runs(info: ResolveInfo, arguments: Arguments) -> Locations:
    return _all(*(_of_run(info, run) for run in arguments["runIds"]))


def _new_backfill(info: ResolveInfo, arguments: Arguments) -> Locations:
    parameters = arguments["backfillParams"]
    found = _of_tags(info, parameters.get("tags"))
    if selector := parameters.get("selector"):
        found.append(frozenset({str(selector["repositorySelector"]["repositoryLocationName"])}))
    if keys := parameters.get("assetSelection"):
        found.append(_of_assets(info, keys))
    if partitions := parameters.get("partitionsByAssets"):
        found.append(_of_assets(info, [one["assetKey"] for one in partitions]))
    return _all(*found)


def _backfill(info: ResolveInfo, arguments: Arguments) -> Locations:
    return _of_backfill(info, arguments["backfillId"])


def _backfill_again(info: ResolveInfo, arguments: Arguments) -> Locations:
    again = arguments["reexecutionParams"]
    return _all(_of_backfill(info, again["parentRunId"]), *_of_tags(info, again.get("extraTags")))


def _wiped(info: ResolveInfo, arguments: Arguments) -> Locations:
    return _of_assets(info, [one["assetKey"] for one in arguments["assetPartitionRanges"]])


def _reported(info: ResolveInfo, arguments: Arguments) -> Locations:
    return _of_assets(info, [arguments["eventParams"]["assetKey"]])


def _stopped(*names: str) -> Where:
    """Finds the locations of all the given ids: Dagster checks one of them, but stops what another one names."""

    def where(info: ResolveInfo, arguments: Arguments) -> Locations:
        given: list[str] = []
        for id_ in (arguments[name] for name in names if arguments.get(name)):
            pair = CompoundID.from_string(id_) if CompoundID.is_valid_string(id_) else None
            given += [pair.remote_origin_id, pair.selector_id] if pair else [id_]
        owners: dict[str, set[str]] = {}
        for location in info.context.code_locations:
            for repository in location.get_repositories().values():
                instigators: list[RemoteSchedule | RemoteSensor] = [
                    *repository.get_schedules(),
                    *repository.get_sensors(),
                ]
                for one in instigators:
                    owners.setdefault(one.get_remote_origin_id(), set()).add(location.name)
                    owners.setdefault(one.selector_id, set()).add(location.name)
        return _all(*(frozenset(owners[id_]) if id_ in owners else None for id_ in given))

    return where


def _dynamic_partitions(info: ResolveInfo, arguments: Arguments) -> Locations:
    """Returns every location that uses the name: locations share dynamic partitions of the same name."""
    users = {
        location.name
        for location in info.context.code_locations
        for repository in location.get_repositories()
        if _repository_contains_dynamic_partitions_def(
            info,
            RepositorySelector(location_name=location.name, repository_name=repository),
            arguments["partitionsDefName"],
        )
    }
    return frozenset({str(arguments["repositorySelector"]["repositoryLocationName"]), *users})


def _context(info: ResolveInfo) -> ViewerContext:
    context: ViewerContext = info.context  # type: ignore[assignment]
    return context


_P = Permissions
RULES: Mapping[str, Rule] = {
    "launchRun": Rule(_P.LAUNCH_PIPELINE_EXECUTION, _launched),
    "launchPipelineExecution": Rule(_P.LAUNCH_PIPELINE_EXECUTION, _launched),
    "launchMultipleRuns": Rule(_P.LAUNCH_PIPELINE_EXECUTION, _launched_together),
    "launchRunReexecution": Rule(_P.LAUNCH_PIPELINE_REEXECUTION, _executed_again),
    "launchPipelineReexecution": Rule(_P.LAUNCH_PIPELINE_REEXECUTION, _executed_again),
    "terminateRun": Rule(_P.TERMINATE_PIPELINE_EXECUTION, _run),
    "terminatePipelineExecution": Rule(_P.TERMINATE_PIPELINE_EXECUTION, _run),
    "terminateRuns": Rule(_P.TERMINATE_PIPELINE_EXECUTION, _runs),
    "deleteRun": Rule(_P.DELETE_PIPELINE_RUN, _run),
    "deletePipelineRun": Rule(_P.DELETE_PIPELINE_RUN, _run),
    "launchPartitionBackfill": Rule(_P.LAUNCH_PARTITION_BACKFILL, _new_backfill),
    "resumePartitionBackfill": Rule(_P.LAUNCH_PARTITION_BACKFILL, _backfill),
    "reexecutePartitionBackfill": Rule(_P.LAUNCH_PARTITION_BACKFILL, _backfill_again, _mark_backfill),
    "cancelPartitionBackfill": Rule(_P.CANCEL_PARTITION_BACKFILL, _backfill),
    "startSchedule": Rule(_P.START_SCHEDULE, _named("schedule_selector")),
    "stopRunningSchedule": Rule(_P.STOP_RUNNING_SCHEDULE, _stopped("id", "schedule_origin_id", "schedule_selector_id")),
    "resetSchedule": Rule(_P.START_SCHEDULE, _named("schedule_selector")),
    "scheduleDryRun": Rule(_P.SCHEDULE_DRY_RUN, _named("selector_data")),
    "startSensor": Rule(_P.EDIT_SENSOR, _named("sensor_selector")),
    "stopSensor": Rule(_P.EDIT_SENSOR, _stopped("id", "job_origin_id", "job_selector_id")),
    "resetSensor": Rule(_P.EDIT_SENSOR, _named("sensor_selector")),
    "setSensorCursor": Rule(_P.UPDATE_SENSOR_CURSOR, _named("sensor_selector")),
    "sensorDryRun": Rule(_P.SENSOR_DRY_RUN, _named("selector_data")),
    "wipeAssets": Rule(_P.WIPE_ASSETS, _wiped),
    "reportRunlessAssetEvents": Rule(_P.REPORT_RUNLESS_ASSET_EVENTS, _reported),
    "reportAssetCheckEvaluations": Rule(_P.REPORT_RUNLESS_ASSET_EVENTS, _reported),
    "addDynamicPartition": Rule(_P.EDIT_DYNAMIC_PARTITIONS, _dynamic_partitions),
    "deleteDynamicPartitions": Rule(_P.EDIT_DYNAMIC_PARTITIONS, _dynamic_partitions),
    "refreshComponentState": Rule(_P.REFRESH_COMPONENT_STATE, _named("locationName")),
    "setAppManagedComponent": Rule(_P.EDIT_APP_MANAGED_COMPONENTS, _named("locationName")),
    "deleteAppManagedComponent": Rule(_P.EDIT_APP_MANAGED_COMPONENTS, _named("locationName")),
    "reloadRepositoryLocation": Rule(_P.RELOAD_REPOSITORY_LOCATION, _named("repositoryLocationName")),
    "shutdownRepositoryLocation": Rule(_P.RELOAD_REPOSITORY_LOCATION, _named("repositoryLocationName")),
    # Platform-wide, so for admins only.
    "reloadWorkspace": Rule(_P.RELOAD_WORKSPACE),
    "setAutoMaterializePaused": Rule(_P.TOGGLE_AUTO_MATERIALIZE),
    "setConcurrencyLimit": Rule(_P.EDIT_CONCURRENCY_LIMIT),
    "deleteConcurrencyLimit": Rule(_P.EDIT_CONCURRENCY_LIMIT),
    "freeConcurrencySlots": Rule(_P.EDIT_CONCURRENCY_LIMIT),
    "freeConcurrencySlotsForRun": Rule(_P.EDIT_CONCURRENCY_LIMIT),
    # Sent by the UI itself: they change nothing that anybody sees.
    "logTelemetry": Rule(None),
    "setNuxSeen": Rule(None),
}
