"""Checks what a location's code server answers to webserver and daemon: it may only name what is the location's own.

Both act on an answer with rights in the storage that no location has. A sensor's answer, for example, names assets
to record as materialized, partition keys to add or delete, and assets to backfill, and Dagster accepts those of any
location. Here, an answer that names another location's is refused as a whole.

https://docs.dagster.io/guides/automate/sensors
"""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import ceil, inf, isfinite, prod
from types import SimpleNamespace
from typing import Any, ClassVar, NoReturn, cast
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter
from dagster import (
    AssetCheckKey,
    AssetKey,
    CodeReferencesMetadataValue,
    DagsterInstance,
    LocalFileCodeReference,
    MetadataValue,
    RunRequest,
)
from dagster._core.definitions.asset_key import AssetJobKey
from dagster._core.definitions.assets.definition.asset_spec import (
    SYSTEM_METADATA_KEY_AUTO_CREATED_STUB_ASSET as MADE_ELSEWHERE,
)
from dagster._core.definitions.assets.definition.asset_spec import AssetExecutionType
from dagster._core.definitions.assets.graph.remote_asset_graph import RemoteWorkspaceAssetGraph
from dagster._core.definitions.automation_condition_sensor_definition import asset_job_keys_from_sensor_metadata
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._core.definitions.partitions.snap import (
    MultiPartitionsSnap,
    PartitionsSnap,
    StaticPartitionsSnap,
    TimeWindowPartitionsSnap,
)
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.definitions.utils import DEFAULT_GROUP_NAME
from dagster._core.errors import DagsterUserCodeProcessError
from dagster._core.op_concurrency_limits_counter import _pool_key_for_step
from dagster._core.remote_representation import code_location
from dagster._core.remote_representation.code_location import CodeLocation, GrpcServerCodeLocation
from dagster._core.remote_representation.external import RemoteExecutionPlan
from dagster._core.remote_representation.external_data import (
    AssetNodeSnap,
    JobDataSnap,
    JobRefSnap,
    RemoteJobSubsetResult,
    RepositorySnap,
    ScheduleSnap,
    SensorSnap,
)
from dagster._core.snap import ExecutionPlanSnapshot, JobSnap
from dagster._core.storage.dagster_run import RunsFilter
from dagster._grpc import client as grpc_client
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.utils import max_rx_bytes
from dagster._record import replace
from dagster._serdes import serialize_value
from dagster._utils.schedules import is_valid_cron_schedule

from ingest_host.storage import LONGEST_LATEST
from ingest_host.text import fault

GIVEN_TAGS = re.compile(
    r"user|dagster/(reporting_user|code_location|image|((parent|root)_)?(run_id|backfill(_id)?))"
    r"|dagster/(failure_reason|will_retry|auto_retry_run_id|retry_number)|(\.dagster|docker/|ingest).*"
)
"""Tags that a location may not set: who launched a run, whose it is, what it belongs to and whether it is retried."""
CRON_LINES = 100
"""Of a location's schedules together, at most: webserver and daemon compute the next times of each."""
FARTHEST = timedelta(days=5 * 366)
"""Within which a cron line must come due: a search for a time that never comes, or in decades, makes everybody wait."""
INSTIGATORS = 100
"""Schedules and sensors of a location, at most."""
LONGEST_CURSOR = 250_000
"""Characters; the storage keeps the cursor, and webserver, daemon and monitor read those of all locations at once."""
LONGEST_ANSWER = 4_000_000
"""Characters of the whole answer of a schedule or sensor."""
LONGEST_SHOWN = 2_000
"""Characters of a location's image, and of its libraries with their versions; pages of all locations show them."""
LONGEST_ERROR = 50_000
"""Characters of an error, or of a tick's reason to skip; pages and the storage hold those of all locations."""
LARGEST_ANSWER = 10_000_000
"""Bytes of any answer, all its parts together; an asset takes about 8,000."""
LARGEST_LOCATION = 20_000_000
"""Bytes of all answers that load a location: Dagster requests each repository, and each of its jobs."""
PART = 1000
"""Bytes that each part counts in addition to its content, so that an endless answer of empty parts is refused, too."""
VALUE = 10
"""Bytes that a value in an answer counts at least; ours have 12. An empty list has 3, but takes 72 once parsed."""
ASSETS = 2000
"""Of a location, with those of others that they depend on; :mod:`ingest_host.storage` keeps 1,000 of its own."""
PARTITIONS = 100_000
"""Of an asset or a job, at most: a page lists them all, and so does the daemon. Dagster recommends the same limit:
https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets"""
EXCLUDED = 10_000
"""Windows in a row that a partitions definition excludes, at most; Dagster looks for the next one without end."""
LONGEST_POOL = 512
"""Characters of a pool's name that the storage can hold; with a longer one in the queue, no pool limits any run."""
POOLS = 20
"""Of a run, at most: the queue looks up the limit of each."""
RUNS_AT_ONCE = 250
"""Runs that one tick of a schedule or sensor may request; all wait in one queue."""
CHANGES_AT_ONCE = 1000
"""Events and partition keys in a sensor's answer; the daemon stores them one by one while others' sensors wait."""


UNSHOWABLE = re.compile(r"\\u(0000|[dD][89a-fA-F])|NaN|Infinity|\d[eE]\+?\d{3}")
"""How JSON encodes NUL, half a surrogate pair and numbers that are not finite; also matches what only begins so."""


TOO_LARGE = (
    f"the code server's answer is larger than {LARGEST_ANSWER // 1_000_000} MB, "
    f"or has more than {LARGEST_ANSWER // VALUE} values"
)


class ForeignAnswerError(Exception):
    """A code server's answer names what is not its location's, or exceeds a limit."""


Names = Callable[[], Iterable[str]]


@contextmanager
def checked_answers(locations: Names) -> Iterator[None]:
    """Makes this process query code servers through :class:`OwnCodeLocation` and :class:`CheckedClient`.

    ``locations`` returns the names of all locations that are in the workspace at the time of the call.
    """
    OwnCodeLocation.locations = staticmethod(locations)
    # Dagster looks up the classes there each time that it loads a location.
    code_location.GrpcServerCodeLocation = OwnCodeLocation  # type: ignore[misc]
    grpc_client.DagsterGrpcClient = CheckedClient  # type: ignore[misc]
    grpc_client.max_rx_bytes = lambda: LARGEST_ANSWER  # type: ignore[attr-defined]
    try:
        yield
    finally:
        code_location.GrpcServerCodeLocation = GrpcServerCodeLocation  # type: ignore[misc]
        grpc_client.DagsterGrpcClient = DagsterGrpcClient  # type: ignore[misc]
        grpc_client.max_rx_bytes = max_rx_bytes  # type: ignore[attr-defined]


class CheckedClient(DagsterGrpcClient):
    """Dagster's own client: every call to a code server goes through one of these four methods."""

    _loaded = 0

    def _query(self, method: str, *arguments: Any, **options: Any) -> Any:
        answer = Parts()
        answer.add(super()._query(method, *arguments, **options))
        if method in ("ExternalRepository", "ExternalJob"):
            self._loaded += answer.size
            if self._loaded > LARGEST_LOCATION:
                raise ForeignAnswerError(
                    f"its definitions are larger than {LARGEST_LOCATION // 1_000_000} MB, "
                    f"or have more than {LARGEST_LOCATION // VALUE} values"
                )
        return check_replies(method, answer.replies)[0]

    async def _gen_query(self, method: str, *arguments: Any, **options: Any) -> Any:
        answer = Parts()
        answer.add(await super()._gen_query(method, *arguments, **options))
        return check_replies(method, answer.replies)[0]

    def _streaming_query(self, method: str, *arguments: Any, **options: Any) -> Iterator[Any]:
        answer = Parts()
        for reply in super()._streaming_query(method, *arguments, **options):
            answer.add(reply)
        yield from check_replies(method, answer.replies)

    async def _gen_streaming_query(self, method: str, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        answer = Parts()
        async for reply in super()._gen_streaming_query(method, *arguments, **options):
            answer.add(reply)
        for reply in check_replies(method, answer.replies):
            yield reply

    def _raise_grpc_exception(self, e: Exception, *arguments: Any, **options: Any) -> NoReturn:
        if "larger than max" in str(e):
            raise ForeignAnswerError(TOO_LARGE) from None
        super()._raise_grpc_exception(e, *arguments, **options)


class Parts:
    """Collects the parts of one answer; raises ``ForeignAnswerError`` as soon as they are too large."""

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.size = 0

    def add(self, reply: Any) -> None:
        self.replies.append(reply)
        texts = [value for _, value in reply.ListFields() if isinstance(value, str)]
        values = sum(text.count(mark) for text in texts for mark in "[{:,")
        self.size += PART + max(reply.ByteSize(), VALUE * values)
        if self.size > LARGEST_ANSWER:
            raise ForeignAnswerError(TOO_LARGE)


class OwnCodeLocation(GrpcServerCodeLocation):
    """Dagster's own, but raises ``ForeignAnswerError`` if an answer names what is another location's."""

    locations: ClassVar[Any]
    """The :data:`Names` of all locations."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with short_errors():
            super().__init__(*arguments, **options)
        try:
            check_shown(self)
            for name, repository in self.remote_repositories.items():
                jobs = self._job_snaps_by_name[name].values()
                check_tags(tag for job in jobs for tag in _tags(job))
                check_definitions(self.name, repository.repository_snap)
            check_graph(self)
        except ForeignAnswerError:
            self.cleanup()
            raise

    def get_sensor_execution_data(self, instance: DagsterInstance, *arguments: Any, **options: Any) -> Any:
        with short_errors():
            answer = super().get_sensor_execution_data(instance, *arguments, **options)
        check_length("reason to skip", answer.skip_message or "", LONGEST_ERROR)
        check_length("cursor", answer.cursor or "", LONGEST_CURSOR)
        check_sensor(self.name, answer)
        reacted = {
            reaction.dagster_run.run_id for reaction in answer.dagster_run_reactions or () if reaction.dagster_run
        }
        check_runs(self.name, reacted, instance)
        return answer

    def get_schedule_execution_data(self, *arguments: Any, **options: Any) -> Any:
        with short_errors():
            answer = super().get_schedule_execution_data(*arguments, **options)
        check_length("reason to skip", answer.skip_message or "", LONGEST_ERROR)
        check_requests(answer.run_requests or ())
        return answer

    def get_partition_set_execution_params(self, *arguments: Any, **options: Any) -> Any:
        answer = super().get_partition_set_execution_params(*arguments, **options)
        check_tags(tag for partition in getattr(answer, "partition_data", ()) for tag in partition.tags)
        return answer

    def get_partition_tags_from_repo(self, *arguments: Any, **options: Any) -> Any:
        answer = super().get_partition_tags_from_repo(*arguments, **options)
        check_tags(getattr(answer, "tags", ()))
        return answer

    def _get_subset_remote_job_result(self, *arguments: Any, **options: Any) -> RemoteJobSubsetResult:
        return self._checked_subset(super()._get_subset_remote_job_result(*arguments, **options))

    async def _gen_subset_remote_job_result(self, *arguments: Any, **options: Any) -> RemoteJobSubsetResult:
        return self._checked_subset(await super()._gen_subset_remote_job_result(*arguments, **options))

    def _checked_subset(self, answer: RemoteJobSubsetResult) -> RemoteJobSubsetResult:
        """Checks a job of selected assets or ops, whose runs get the tags that the job has in this answer."""
        if answer.job_data_snap:
            check_tags(_tags(answer.job_data_snap.job))
        return answer

    def get_execution_plan(self, *arguments: Any, **options: Any) -> RemoteExecutionPlan:
        plan = super().get_execution_plan(*arguments, **options)
        check_plan(self.name, plan.execution_plan_snapshot, self.locations())
        return plan

    async def gen_execution_plan(self, *arguments: Any, **options: Any) -> RemoteExecutionPlan:
        plan: RemoteExecutionPlan = await super().gen_execution_plan(*arguments, **options)
        check_plan(self.name, plan.execution_plan_snapshot, self.locations())
        return plan


@contextmanager
def short_errors() -> Iterator[None]:
    """Truncates a long error of the code server."""
    try:
        yield
    except DagsterUserCodeProcessError as error:
        length = len(repr(error.user_code_process_error_infos))  # including its causes
        if length <= LONGEST_ERROR:
            raise
        raise ForeignAnswerError(f"{str(error)[:LONGEST_ERROR]}... ({length} characters)") from None


def check_replies(method: str, replies: Sequence[Any]) -> Sequence[Any]:
    """Returns the replies to one call, or its parts; raises ``ForeignAnswerError`` for what no page can show.

    That is half a surrogate pair, NUL, or an infinite number: with one such name, the pages that list the items of all
    locations fail for everybody.
    """
    parts: dict[str, list[str]] = {}
    for field, value in (found for reply in replies for found in reply.ListFields()):
        if isinstance(value, str):
            parts.setdefault(field.name, []).append(value)
    for name, text in ((name, "".join(texts)) for name, texts in parts.items()):
        if method.endswith(("SensorExecution", "ScheduleExecution")):
            check_length("answer", text, LONGEST_ANSWER)
        is_suspect = name.startswith("serialized_") and UNSHOWABLE.search(text)
        if wrong := fault(_parsed(text) if is_suspect else text):
            raise ForeignAnswerError(f"the code server sent text that contains {wrong}")
    return replies


def _parsed(text: str) -> Any:
    """Parses JSON with finite numbers only: Python reads and writes others, too, which JSON lacks and no page shows."""

    def number(text: str) -> float:
        if not isfinite(value := float(text)):
            raise ForeignAnswerError(f"the code server sent the number {text[:20]}, which is not finite")
        return value

    return json.loads(text, parse_float=number, parse_constant=number)


def check_shown(location: CodeLocation) -> None:
    """Checks that what pages show of a location besides its definitions is short."""
    check_length("name of its image", location.container_image or "", LONGEST_SHOWN)
    check_length("list of its libraries", str(location.get_dagster_library_versions()), LONGEST_SHOWN)


def check_definitions(location: str, definitions: RepositorySnap) -> None:
    """Checks a repository. It may name another location's asset as a dependency, but say nothing more about it.

    Dagster validates a schedule where it is defined, not where it is read: one that it cannot read fails the page
    of all schedules.
    """
    for schedule in definitions.schedules:
        check_schedule(schedule)
    lines = sum(len(_lines(schedule)) for schedule in definitions.schedules)
    if lines > CRON_LINES:
        raise ForeignAnswerError(f"the schedules have {lines} cron lines: more than {CRON_LINES}")
    instigators: list[ScheduleSnap | SensorSnap] = [*definitions.schedules, *definitions.sensors]
    if (count := len(instigators)) > INSTIGATORS:
        raise ForeignAnswerError(f"there are {count} schedules and sensors: more than {INSTIGATORS}")
    names = Counter(one.name for one in instigators)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ForeignAnswerError(f"the name {twice[0]!r} is that of more than one schedule or sensor: rename one")
    for sensor in definitions.sensors:
        check_number(f"the sensor {sensor.name} has an interval", sensor.min_interval or 0)
    if (count := len(definitions.asset_nodes)) > ASSETS:
        raise ForeignAnswerError(f"there are {count} assets, counting those they depend on: more than {ASSETS}")
    for node in definitions.asset_nodes:
        check_asset(node)
    check_partitions(definitions)
    check_keys(location, (node.asset_key for node in definitions.asset_nodes if _says_more_than_a_name(node)))
    check_keys(location, (node.asset_key for node in definitions.asset_check_nodes or ()))
    check_tags(tag for sensor in definitions.sensors for tag in sensor.run_tags or ())
    jobs: list[JobRefSnap | JobDataSnap] = [*(definitions.job_refs or ()), *(definitions.job_datas or ())]
    check_tags(tag for job in jobs for preset in job.active_presets for tag in preset.tags)


def check_graph(location: CodeLocation) -> None:
    """Checks that Dagster can build the graph of the location's assets, and what its sensors start.

    Dagster builds one graph of all locations' assets, and a daemon that cannot build it does nothing for any location.
    So it is built here from this location alone, sorted, and queried for what each sensor watches.
    """
    alone = SimpleNamespace(code_location_entries={location.name: SimpleNamespace(code_location=location)})
    try:
        graph = RemoteWorkspaceAssetGraph.build(cast("Any", alone))
        list(graph.toposorted_entity_keys_by_level)
        sensors = [one for repository in location.get_repositories().values() for one in repository.get_sensors()]
        for selection in filter(None, (sensor.asset_selection for sensor in sensors)):
            selection.resolve(graph)
        automated = [job for sensor in sensors for job in asset_job_keys_from_sensor_metadata(sensor.metadata)]
    except Exception as error:  # noqa: BLE001  whatever it raises
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ForeignAnswerError(f"Dagster cannot put its assets in order: {reason}") from None
    for sensor in sensors:
        # The daemon has one thread for such sensors of all locations, and some take hours.
        if sensor.sensor_type.is_handled_by_asset_daemon:
            raise ForeignAnswerError(
                f"the sensor {sensor.name} evaluates automation conditions in the daemon: define an "
                "AutomationConditionSensorDefinition for their assets with use_user_code_server=True"
            )
    check_keys(location.name, (*automated, *graph.remote_asset_job_nodes_by_key))


def check_tags(tags: Iterable[str]) -> None:
    """Raises for the tags by which the platform identifies runs; a location may set any other."""
    if refused := min(filter(GIVEN_TAGS.fullmatch, tags), default=None):
        raise ForeignAnswerError(f"the tag {refused!r} is reserved for the platform: leave it out")


def check_length(what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise ForeignAnswerError(f"the {what} has {len(text)} characters: more than {most}")


def check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise ForeignAnswerError(f"the answer has {count} {what}: more than {most}; leave the rest to the next tick")


def check_asset(node: AssetNodeSnap) -> None:
    """Checks that a page can show the asset's numbers; the daemon, too, compares all freshness policies."""
    name, policy = f"the asset {node.asset_key.to_user_string()}", node.freshness_policy
    windows = [policy.fail_window, policy.warn_window] if isinstance(policy, TimeWindowFreshnessPolicy) else []
    for window in filter(None, windows):
        check_number(f"{name} has a freshness policy", window.days * 86_400 + window.seconds)
    for value in node.metadata.values():
        for reference in value.code_references if isinstance(value, CodeReferencesMetadataValue) else ():
            if isinstance(reference, LocalFileCodeReference):
                check_number(f"{name} has a code reference", reference.line_number or 0)


def check_number(of: str, number: int) -> None:
    """Raises for a number beyond the 32 bits of GraphQL's ``Int``: https://spec.graphql.org/October2021/#sec-Int"""
    if not -(2**31) <= number < 2**31:
        raise ForeignAnswerError(f"{of} with the number {number}, which has more than 32 bits")


def check_partitions(definitions: RepositorySnap) -> None:
    """Checks that there are no more partitions than a page can list, and some that are not excluded."""
    named = [
        *((f"asset {node.asset_key.to_user_string()}", node.partitions) for node in definitions.asset_nodes),
        *((f"job {partitions.job_name}", partitions.partitions) for partitions in definitions.partition_sets),
    ]
    lines: dict[str, int] = {}
    for name, partitions in named:
        if partitions is None or (text := repr(partitions)) in lines:
            continue
        lines[text] = sum(len(window.exclusions or ()) for window in _windows(partitions))
        if sum(lines.values()) > CRON_LINES:
            raise ForeignAnswerError(f"the partitions have more than {CRON_LINES} exclusions")
        try:
            count = _most(partitions)
        except Exception as error:  # noqa: BLE001  whatever it raises
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ForeignAnswerError(f"Dagster cannot read the partitions of the {name}: {reason}") from None
        if count > PARTITIONS:
            raise ForeignAnswerError(f"the {name} has up to {count} partitions: more than {PARTITIONS}")


def _windows(partitions: PartitionsSnap) -> list[TimeWindowPartitionsSnap]:
    if isinstance(partitions, MultiPartitionsSnap):
        return [window for dimension in partitions.partition_dimensions for window in _windows(dimension.partitions)]
    return [partitions] if isinstance(partitions, TimeWindowPartitionsSnap) else []


def _most(partitions: PartitionsSnap) -> int:
    """Returns how many there are at most, without generating them; sensors add dynamic ones a few at a time."""
    if isinstance(partitions, MultiPartitionsSnap):
        return prod(_most(dimension.partitions) for dimension in partitions.partition_dimensions)
    if isinstance(partitions, StaticPartitionsSnap):
        return len(partitions.partition_keys)
    if not isinstance(partitions, TimeWindowPartitionsSnap):
        return 1
    definition = cast("Any", partitions).get_partitions_definition()
    starts = (window.start for window in definition._iterate_time_windows(partitions.start, ignore_exclusions=True))
    if all(definition.is_window_start_excluded(start) for start in islice(starts, EXCLUDED)):
        raise ForeignAnswerError("its exclusions leave none")
    until = min(partitions.end or inf, datetime.now(UTC).timestamp())
    minutes, hours = croniter.expand(definition.cron_schedule)[0][:2]
    a_day = (60 if minutes == ["*"] else len(minutes)) * (24 if hours == ["*"] else len(hours))
    return max(0, ceil((until - partitions.start) / 86_400)) * a_day + abs(partitions.end_offset)


def _tags(job: JobSnap) -> Sequence[str]:
    """Returns the tags of a job and of its runs."""
    return (*job.tags, *(job.run_tags or ()))


def _says_more_than_a_name(node: AssetNodeSnap) -> bool:
    """Returns whether the node is more than the stub that a dependency on another location's asset leaves.

    Dagster merges what locations say about an asset: dependencies that form a cycle, for example, stop everybody's
    automation, and a page shows the description or the owner from the location that it reads first.
    """
    named = AssetNodeSnap(
        asset_key=node.asset_key,
        parent_edges=[],
        execution_type=AssetExecutionType.UNEXECUTABLE,
        is_source=True,
        group_name=DEFAULT_GROUP_NAME,
        tags={},
        owners=[],
    )
    return node not in (named, replace(named, metadata={MADE_ELSEWHERE: MetadataValue.bool(True)}))


def check_schedule(schedule: ScheduleSnap) -> None:
    """Checks that Dagster accepts the cron lines and the time zone, and that each line comes due in the next years."""
    lines = schedule.cron_schedule
    if not is_valid_cron_schedule(lines) or not all(map(_comes_due, _lines(schedule))):
        raise ForeignAnswerError(
            f"the schedule {schedule.name} has the cron schedule {str(lines)[:50]!r}: "
            "not a valid cron line, or it never comes due"
        )
    zone = schedule.execution_timezone or "UTC"
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        raise ForeignAnswerError(
            f"the schedule {schedule.name} has the time zone {zone[:50]!r}, which does not exist"
        ) from None


def _lines(schedule: ScheduleSnap) -> Sequence[str]:
    lines = schedule.cron_schedule
    return [lines] if isinstance(lines, str) else lines


def _comes_due(line: str) -> bool:
    now = datetime.now(UTC)
    try:
        due: datetime = croniter(line, now).get_next(datetime)
    except CroniterBadDateError:
        return False
    return due - now < FARTHEST


def check_sensor(location: str, answer: SensorExecutionData) -> None:
    """Checks all that the daemon does for a sensor: asset events, partitions, runs, backfills, evaluations."""
    partitions = sum(len(request.partition_keys) for request in answer.dynamic_partitions_requests or ())
    check_count("events of assets", len(answer.asset_events), CHANGES_AT_ONCE)
    check_count("keys of partitions", partitions, CHANGES_AT_ONCE)
    check_requests(answer.run_requests or (), len(answer.dagster_run_reactions or ()))
    check_keys(location, (event.asset_key for event in answer.asset_events))
    for event in answer.asset_events:
        check_length(f"event of {event.asset_key.to_user_string()[:100]}", serialize_value(event), LONGEST_LATEST)
    for request in answer.dynamic_partitions_requests or ():
        if request.partitions_def_name.split("/")[0] != location:
            raise ForeignAnswerError(
                f"the partitions {request.partitions_def_name!r} do not belong to the location {location}: "
                f"begin their name with '{location}/'"
            )
    for run in answer.run_requests or ():
        check_keys(location, run.asset_selection or ())
        check_keys(location, run.asset_check_keys or ())
        check_keys(location, run.asset_graph_subset.asset_keys if run.asset_graph_subset else ())
    check_keys(location, (evaluation.key for evaluation in answer.automation_condition_evaluations))


def check_requests(runs: Sequence[RunRequest], reactions: int = 0) -> None:
    """Checks the runs that a schedule or a sensor requests."""
    check_count("runs", len(runs) + reactions, RUNS_AT_ONCE)
    check_tags(tag for run in runs for tag in run.tags)
    for run in runs:
        check_length("run's configuration and tags", json.dumps([run.run_config, run.tags]), LONGEST_LATEST)


def check_runs(location: str, run_ids: Iterable[str], instance: DagsterInstance) -> None:
    """Checks that the location owns the runs: the daemon writes to the log of each run a sensor says it acted on."""
    wanted = set(run_ids)
    if not wanted:
        return
    found = instance.get_runs(RunsFilter(run_ids=list(wanted), tags={"dagster/code_location": location}))
    if others := wanted - {run.run_id for run in found}:
        raise ForeignAnswerError(f"the run {min(others)} does not belong to the location {location}")


def check_plan(location: str, plan: ExecutionPlanSnapshot, locations: Iterable[str]) -> None:
    """Checks a run's plan, which tells webserver and daemon what assets it will make and what pools it uses.

    A pool belongs to the location whose name it begins with, and the longest such name counts: `stripe_eu_billing`
    belongs to `stripe_eu`, if there is one, and not to `stripe`.
    """
    names = {location, *locations}
    pools = set(filter(None, map(_pool_key_for_step, plan.steps)))
    check_length("name of a pool", max(pools, key=len, default=""), LONGEST_POOL)
    if len(pools) > POOLS:
        raise ForeignAnswerError(f"the run has {len(pools)} pools: more than {POOLS}")
    for step in plan.steps:
        pool = _pool_key_for_step(step)
        if pool and location != max((name for name in names if f"{pool}_".startswith(f"{name}_")), key=len, default=""):
            raise ForeignAnswerError(
                f"the pool {pool!r} does not belong to the location {location}: begin its name with '{location}_'"
            )
        for output in step.outputs:
            if output.properties:
                check_keys(location, (output.properties.asset_key, output.properties.asset_check_key))


def check_keys(location: str, keys: Iterable[Any]) -> None:
    """Checks that asset keys begin with the location's name as their first part, and names of jobs with it as a prefix.

    Dagster identifies jobs that have an automation condition by name alone, whichever location they belong to.
    """
    for key in keys:
        if isinstance(key, AssetJobKey) and not key.job_name.startswith(f"{location}_"):
            raise ForeignAnswerError(
                f"the job {key.job_name!r}, which automation starts, does not belong to the location {location}: "
                f"begin its name with '{location}_'"
            )
        asset = key.asset_key if isinstance(key, AssetCheckKey) else key
        if isinstance(asset, AssetKey) and list(asset.path[:1]) != [location]:
            raise ForeignAnswerError(
                f"the asset {asset.to_user_string()} does not belong to the location {location}: "
                f"begin its key with '{location}'"
            )
