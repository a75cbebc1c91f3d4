"""What a location's code server may answer, and which answers webserver and daemon refuse."""

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dagster import (
    AddDynamicPartitionsRequest,
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetSelection,
    AssetSpec,
    AutomationCondition,
    AutomationConditionSensorDefinition,
    CodeReferencesMetadataValue,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    DeleteDynamicPartitionsRequest,
    DynamicPartitionsDefinition,
    FreshnessPolicy,
    HourlyPartitionsDefinition,
    LocalFileCodeReference,
    MetadataValue,
    MultiPartitionsDefinition,
    RepositoryDefinition,
    RunRequest,
    ScheduleDefinition,
    SensorDefinition,
    StaticPartitionsDefinition,
    TimeWindowPartitionsDefinition,
    asset,
    define_asset_job,
    evaluate_automation_conditions,
    job,
    op,
)
from dagster._core.definitions.asset_key import AssetJobKey
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.definitions.sensor_definition import SensorExecutionData, SensorType
from dagster._core.execution.api import create_execution_plan
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.remote_representation.external_data import (
    AssetParentEdgeSnap,
    JobDataSnap,
    PresetSnap,
    RemoteJobSubsetResult,
    RepositorySnap,
    ScheduleSnap,
)
from dagster._core.remote_representation.handle import RepositoryHandle
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._grpc import server_watcher  # noqa: F401, it checks for the class that exists when it is imported
from dagster._grpc.__generated__.dagster_api_pb2 import (
    GetServerIdReply,
    PingRequest,
    StreamingChunkEvent,
    StreamingPingRequest,
)
from dagster._record import replace
from dagster._serdes import serialize_value
from dagster_shared.serdes.utils import SerializableTimeDelta

from ingest_host import answers as answers_module
from ingest_host.answers import (
    CheckedClient,
    ForeignAnswerError,
    Parts,
    check_definitions,
    check_graph,
    check_plan,
    check_replies,
    check_runs,
    check_schedule,
    check_sensor,
    check_shown,
    checked_answers,
)

from . import foreign_location
from .conftest import wait_for_server

CODE = Path(__file__).with_name("foreign_location.py")

# What a sensor answers


def key(location: str) -> AssetKey:
    return AssetKey([location, "items"])


def evaluated(location: str) -> SensorExecutionData:
    """What a sensor of declarative automation says about an asset."""
    asset = AssetSpec(key(location), automation_condition=AutomationCondition.missing())
    with DagsterInstance.ephemeral() as instance:
        (result,) = evaluate_automation_conditions(Definitions(assets=[asset]), instance).results
    return SensorExecutionData(automation_condition_evaluations=[result.serializable_evaluation])


def answers(location: str) -> list[SensorExecutionData]:
    """Returns everything that a sensor may answer about a location, one by one."""
    check = AssetCheckKey(key(location), "sound")
    subset = AssetGraphSubset(non_partitioned_asset_keys={key(location)})  # type: ignore[call-arg]
    return [
        SensorExecutionData(asset_events=[AssetMaterialization(key(location))]),
        SensorExecutionData(asset_events=[AssetObservation(key(location))]),
        SensorExecutionData(asset_events=[AssetCheckEvaluation(asset_key=key(location), check_name="a", passed=True)]),
        SensorExecutionData(dynamic_partitions_requests=[AddDynamicPartitionsRequest(f"{location}/days", ["a"])]),
        SensorExecutionData(dynamic_partitions_requests=[DeleteDynamicPartitionsRequest(f"{location}/days", ["a"])]),
        SensorExecutionData(run_requests=[RunRequest(asset_selection=[key(location)])]),
        SensorExecutionData(run_requests=[RunRequest(asset_check_keys=[check])]),
        SensorExecutionData(run_requests=[RunRequest.for_asset_graph_subset(subset, tags={})]),
        evaluated(location),
    ]


@pytest.mark.parametrize("answer", answers("one"))
def test_a_sensor_answers_of_its_own(answer: SensorExecutionData) -> None:
    check_sensor("one", answer)


@pytest.mark.parametrize("answer", answers("other"))
def test_a_sensor_that_answers_of_anothers_is_refused(answer: SensorExecutionData) -> None:
    with pytest.raises(ForeignAnswerError, match="not belong to the location one: begin "):
        check_sensor("one", answer)


@pytest.mark.parametrize(
    ("many", "refused"),
    [
        (SensorExecutionData(asset_events=[AssetMaterialization(key("one"))] * 1001), "1001 events of assets"),
        (
            SensorExecutionData(
                dynamic_partitions_requests=[AddDynamicPartitionsRequest("one/days", list(map(str, range(501))))] * 2
            ),
            "1002 keys of partitions",
        ),
        (SensorExecutionData(run_requests=[RunRequest(asset_selection=[key("one")])] * 251), "251 runs"),
    ],
    ids=["events", "partitions", "runs"],
)
def test_a_sensor_does_not_keep_those_of_others_waiting(many: SensorExecutionData, refused: str) -> None:
    with pytest.raises(ForeignAnswerError, match=f"the answer has {refused}: more than"):
        check_sensor("one", many)


LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("long", "refused"),
    [
        (SensorExecutionData(asset_events=[AssetMaterialization(key("one"), description=LONG)]), "event of one/items"),
        (SensorExecutionData(run_requests=[RunRequest(run_config={"a": LONG})]), "run's configuration and tags"),
        (SensorExecutionData(run_requests=[RunRequest(tags={"a": LONG})]), "run's configuration and tags"),
    ],
    ids=["event", "configuration", "tags"],
)
def test_what_a_sensor_has_stored_is_no_longer_than_what_a_run_may_store(
    long: SensorExecutionData, refused: str
) -> None:
    with pytest.raises(ForeignAnswerError, match=rf"the {refused} has 100\d{{3}} characters: more than 100000"):
        check_sensor("one", long)


def test_a_sensor_acts_on_runs_of_its_own() -> None:
    with DagsterInstance.ephemeral() as instance:
        run_of = {
            name: create_run_for_test(instance, tags={"dagster/code_location": name}) for name in ("one", "other")
        }
        check_runs("one", [run_of["one"].run_id], instance)
        with pytest.raises(
            ForeignAnswerError, match=f"the run {run_of['other'].run_id} does not belong to the location one"
        ):
            check_runs("one", [run.run_id for run in run_of.values()], instance)


def reply(message: str) -> list[StreamingChunkEvent]:
    """A sensor's answer with a message, in two parts, the first of which ends in the middle of an escaped character."""
    written = serialize_value(SensorExecutionData(skip_message=message))
    middle = written.find("\\u") + 3
    return [StreamingChunkEvent(serialized_chunk=part) for part in (written[:middle], written[middle:])]


@pytest.mark.parametrize("text", ["half \ud800", "\udfff", "NUL \0", "\\\0"])
def test_text_that_no_page_shows_and_no_database_holds_is_refused(text: str) -> None:
    with pytest.raises(ForeignAnswerError, match="the code server sent text that contains"):
        check_replies("ExternalSensorExecution", reply(text))


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "-2.5E+400"])
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    """Each asset's metadata is in the answer to a question about the assets of all locations."""
    metadata = {"at": MetadataValue.timestamp(17.5), "note": MetadataValue.text("NaN of 1e999")}
    snap = RepositorySnap.from_def(Definitions(assets=[AssetSpec("a", metadata=metadata)]).get_repository_def())
    written = serialize_value(snap)
    check_replies("StreamingExternalRepository", [StreamingChunkEvent(serialized_chunk=written)])
    reply = StreamingChunkEvent(serialized_chunk=written.replace("17.5", number))
    with pytest.raises(ForeignAnswerError, match=re.escape(f"the number {number}, which is not finite")):
        check_replies("StreamingExternalRepository", [reply])


@pytest.mark.parametrize("text", ["naïve 😀", r"written \u0000", r"\ud800", "a\nb", "\\"])
def test_any_other_text_is_taken(text: str) -> None:
    replies = reply(text)
    assert check_replies("ExternalSensorExecution", replies) == replies


REFUSED = (
    "user",
    "dagster/image",
    "dagster/backfill",
    "dagster/root_run_id",
    "dagster/failure_reason",
    "dagster/will_retry",
    ".dagster/repository",
    "docker/container_id",
)


@pytest.mark.parametrize("tag", REFUSED)
def test_a_run_that_says_whose_it_is_is_refused(tag: str) -> None:
    with pytest.raises(ForeignAnswerError, match=f"the tag '{re.escape(tag)}' is reserved for the platform"):
        check_sensor("one", SensorExecutionData(run_requests=[RunRequest(tags={"a": "b", tag: "x"})]))


@pytest.mark.parametrize("tag", ["team", "users", "dagster/max_runtime", "dagster/partition", "dagster/priority"])
def test_any_other_tag_is_taken(tag: str) -> None:
    check_sensor("one", SensorExecutionData(run_requests=[RunRequest(tags={tag: "x"})]))


def schedule(cron: str | list[str], zone: str | None = None) -> ScheduleSnap:
    """A schedule that Dagster would not define, but that a forged code server may send."""
    return ScheduleSnap("daily", cron, "all", None, None, {}, None, execution_timezone=zone)


@pytest.mark.parametrize("cron", ["not a cron", "0 0 31 2 *", [], "0 0 31 4 *", "5 0 29 2 1#5"])
def test_a_schedule_that_no_page_can_show_is_refused(cron: str | list[str]) -> None:
    with pytest.raises(ForeignAnswerError, match=r"the schedule daily has the cron schedule .*: not a valid cron line"):
        check_schedule(schedule(cron))
    with pytest.raises(ForeignAnswerError, match="the schedule daily has the time zone 'Moon/Crater'"):
        check_schedule(schedule("@daily", "Moon/Crater"))


NEVER = TimeWindowFreshnessPolicy(fail_window=SerializableTimeDelta(days=10**11, seconds=0, microseconds=0))
LATE = FreshnessPolicy.time_window(fail_window=timedelta(days=1), warn_window=timedelta(hours=1))
FAR = CodeReferencesMetadataValue(code_references=[LocalFileCodeReference(file_path="a.py", line_number=2**31)])


def sensors(count: int, **options: Any) -> list[SensorDefinition]:
    return [
        SensorDefinition(name=f"look{n}", job=foreign_location.filling, evaluation_fn=lambda _: None, **options)
        for n in range(count)
    ]


def described(**said: Any) -> Definitions:
    return Definitions(assets=[AssetSpec(key("one"), **said)])


@pytest.mark.parametrize("cron", ["@daily", "0 9-17 * * MON", ["0 0 * * *", "30 12 * * *"]])
def test_any_other_schedule_is_taken(cron: str | list[str]) -> None:
    check_schedule(schedule(cron, "Europe/Paris"))


def many(count: int, lines: int = 1) -> list[ScheduleDefinition]:
    return [
        ScheduleDefinition(name=f"s{n}", job=foreign_location.filling, cron_schedule=["@daily"] * lines)
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("definitions", "refused"),
    [
        (Definitions(schedules=many(2, 51)), "the schedules have 102 cron lines: more than 100"),
        (Definitions(schedules=many(50), sensors=sensors(51)), "there are 101 schedules and sensors: more than 100"),
    ],
)
def test_what_keeps_everybody_waiting_is_refused(definitions: Definitions, refused: str) -> None:
    with pytest.raises(ForeignAnswerError, match=refused):
        check_definitions("one", RepositorySnap.from_def(definitions.get_repository_def()))


@pytest.mark.parametrize(
    ("definitions", "refused"),
    [
        (described(freshness_policy=NEVER), "the asset one/items has a freshness policy with the number 86400"),
        (described(metadata={"dagster/code_references": FAR}), "the asset one/items has a code reference with the nu"),
        (Definitions(sensors=sensors(1, minimum_interval_seconds=2**31)), "the sensor look0 has an interval with the "),
    ],
    ids=["window", "line", "interval"],
)
def test_a_number_that_no_page_can_show_is_refused(definitions: Definitions, refused: str) -> None:
    with pytest.raises(ForeignAnswerError, match=f"{refused}.*, which has more than 32 bits"):
        check_definitions("one", RepositorySnap.from_def(definitions.get_repository_def()))


def test_any_other_number_is_taken() -> None:
    near = CodeReferencesMetadataValue(code_references=[LocalFileCodeReference(file_path="a.py", line_number=9)])
    said = described(freshness_policy=LATE, metadata={"dagster/code_references": near, "rows": 2**40})
    definitions = Definitions.merge(said, Definitions(sensors=sensors(1, minimum_interval_seconds=2**31 - 1)))
    check_definitions("one", RepositorySnap.from_def(definitions.get_repository_def()))


@pytest.mark.parametrize("kind", ["schedules", "sensors"])
def test_a_schedule_and_a_sensor_do_not_share_a_name(kind: str) -> None:
    """Dagster, which refuses to define them, would store one state for both, and fail at the other one."""
    snap = RepositorySnap.from_def(Definitions(schedules=many(2), sensors=sensors(2)).get_repository_def())
    check_definitions("one", snap)
    first, _ = getattr(snap, kind)
    with pytest.raises(ForeignAnswerError, match="the name 's0' is that of more than one schedule or sensor"):
        check_definitions("one", replace(snap, sensors=[replace(one, name="s0") for one in snap.sensors]))
    with pytest.raises(ForeignAnswerError, match=f"the name '{first.name}' is that of more than one"):
        check_definitions("one", replace(snap, **{kind: [first, first]}))


def test_an_answer_that_no_storage_should_keep_is_refused() -> None:
    with pytest.raises(ForeignAnswerError, match=r"the answer has 4000\d{3} characters: more than 4000000"):
        check_replies("ExternalSensorExecution", reply("x" * 4_000_000))


# What webserver and daemon do with them


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a code server, which is Dagster's own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = ["api", "grpc", "--host", "127.0.0.1", "--port", str(port), "--python-file", str(CODE)]
    server = subprocess.Popen([sys.executable, "-m", "dagster", *command])
    try:
        wait_for_server(port)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=70)


@contextmanager
def workspace(port: int, location: str) -> Iterator[WorkspaceRequestContext]:
    """The workspace in which webserver and daemon see the code server, under a location's name."""
    target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name=location)
    with instance_for_test() as instance, WorkspaceProcessContext(instance, target) as process:
        yield process.create_request_context()


def load_error(port: int, location: str) -> str:
    with workspace(port, location) as context:
        entry = context.get_code_location_entries()[location]
        return entry.load_error.message if entry.load_error else ""


def test_a_location_that_makes_anothers_assets_is_not_loaded(port: int) -> None:
    with checked_answers(list):
        assert "the asset one/items does not belong to the location two: begin its key with 'two'" in load_error(
            port, "two"
        )
        assert load_error(port, "one") == ""
    assert load_error(port, "two") == ""  # as Dagster accepts it


ECHO = "x" * 1_000_000


async def all_echoes(client: CheckedClient) -> list[Any]:
    asked = {"request_type": StreamingPingRequest, "sequence_length": 1_000_000_000, "echo": ECHO}
    return [reply async for reply in client._gen_streaming_query("StreamingPing", **asked)]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.ping(11 * ECHO),
        lambda client: asyncio.run(client._gen_query("Ping", PingRequest, echo=11 * ECHO)),
        lambda client: list(client.streaming_ping(1_000_000_000, ECHO)),
        lambda client: list(client.streaming_ping(1_000_000_000, "")),
        lambda client: asyncio.run(all_echoes(client)),
    ],
    ids=["whole", "whole, async", "in parts", "in empty parts", "in parts, async"],
)
def test_an_answer_that_takes_all_of_the_memory_is_refused(port: int, ask: Callable[[CheckedClient], Any]) -> None:
    """Whatever the answer is, only so much of it is read; some have no end."""
    with checked_answers(list):
        client = CheckedClient(host="127.0.0.1", port=port)
        assert client.ping(9 * ECHO)["echo"] == 9 * ECHO
        with pytest.raises(ForeignAnswerError, match="the code server's answer is larger than 10 MB"):
            ask(client)


@pytest.mark.parametrize(("image", "libraries"), [("i" * 2001, {}), ("i", {f"{one}": "1" for one in range(200)})])
def test_what_each_page_shows_of_a_location_is_short(image: str, libraries: dict[str, str]) -> None:
    location = SimpleNamespace(container_image=image, get_dagster_library_versions=lambda: libraries)
    with pytest.raises(ForeignAnswerError, match=r"the (name of its image|list of its libraries) has \d+ characters"):
        check_shown(cast("Any", location))


def test_a_location_that_has_pages_show_too_much_is_not_loaded(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "LONGEST_SHOWN", 10)
    with checked_answers(list):
        assert "the list of its libraries has" in load_error(port, "one")


def test_a_location_whose_jobs_take_all_of_the_memory_together_is_not_loaded(port: int) -> None:
    """Each job is requested separately."""
    location = GrpcServerCodeLocationOrigin("127.0.0.1", port, location_name="one")
    origin, client = RemoteRepositoryOrigin(location, "__repository__"), CheckedClient(host="127.0.0.1", port=port)
    jobs = (client.external_job(origin, "filling") for _ in range(50))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers_module, "LARGEST_LOCATION", 50_000)
        assert next(jobs).serialized_job_data
        with pytest.raises(ForeignAnswerError, match="its definitions are larger than"):
            list(jobs)


def test_values_count_besides_their_bytes() -> None:
    """An empty list has three bytes, and takes 24 times as many once it is parsed."""
    answer = Parts()
    with pytest.raises(ForeignAnswerError, match="or has more than 1000000 values"):
        answer.add(GetServerIdReply(server_id="[" + "[]," * 1_500_000 + "0]"))


@pytest.mark.parametrize(
    ("partitions", "refused"),
    [
        (TimeWindowPartitionsDefinition(cron_schedule="* * * * *", start="1900", fmt="%Y"), r"up to \d{8} partitions"),
        (HourlyPartitionsDefinition(start_date="2024-01-01-00:00", end_offset=1_000_000), r"up to \d+ partitions"),
        (StaticPartitionsDefinition([str(number) for number in range(100_001)]), "up to 100001 partitions"),
        (
            MultiPartitionsDefinition({name: StaticPartitionsDefinition([*map(str, range(400))]) for name in "ab"}),
            "up to 160000 partitions",
        ),
        (DailyPartitionsDefinition("2024-01-01", exclusions=["0 0 * * *"]), "its exclusions leave none"),
        (DailyPartitionsDefinition("2024-01-01", exclusions=["0 0 * * 0"] * 101), "more than 100 exclusions"),
    ],
    ids=["since long ago", "until long from now", "listed", "in combination", "none", "many exclusions"],
)
@pytest.mark.parametrize("kind", ["asset", "job"])
def test_partitions_that_no_page_can_list_are_refused(partitions: Any, refused: str, kind: str) -> None:
    with pytest.raises(ForeignAnswerError, match=refused):
        check_definitions("one", RepositorySnap.from_def(partitioned(partitions, kind)))


@pytest.mark.parametrize(
    "partitions",
    [
        DailyPartitionsDefinition("1900-01-01", exclusions=["0 0 * * 0,6", datetime(2024, 1, 1, tzinfo=UTC)]),
        HourlyPartitionsDefinition(start_date="2020-01-01-00:00"),
        TimeWindowPartitionsDefinition(cron_schedule="*/15 9-17 * * 1-5", start="2020", fmt="%Y", end_offset=1),
        StaticPartitionsDefinition([]),
        DynamicPartitionsDefinition(name="one/shards"),
    ],
    ids=["by day", "by hour", "by quarter of an hour", "none", "dynamic"],
)
@pytest.mark.parametrize("kind", ["asset", "job"])
def test_any_other_partitions_are_taken(partitions: Any, kind: str) -> None:
    check_definitions("one", RepositorySnap.from_def(partitioned(partitions, kind)))


def partitioned(partitions: Any, kind: str) -> RepositoryDefinition:
    """Returns definitions of an asset, or of a job, with these partitions."""
    if kind == "asset":
        return Definitions(assets=[AssetSpec(["one", "items"], partitions_def=partitions)]).get_repository_def()

    @job(partitions_def=partitions)
    def filling() -> None: ...

    return Definitions(jobs=[filling]).get_repository_def()


def test_a_location_with_more_assets_than_pages_can_list_is_not_loaded() -> None:
    repository = Definitions(assets=[AssetSpec(["one", str(number)]) for number in range(2001)]).get_repository_def()
    with pytest.raises(
        ForeignAnswerError, match="there are 2001 assets, counting those they depend on: more than 2000"
    ):
        check_definitions("one", RepositorySnap.from_def(repository))


def test_a_location_that_checks_anothers_assets_is_not_loaded() -> None:
    repository = Definitions(asset_checks=[foreign_location.sound]).get_repository_def()
    with pytest.raises(ForeignAnswerError, match="the asset one/items does not belong to the location two"):
        check_definitions("two", RepositorySnap.from_def(repository))


@pytest.mark.parametrize(
    "says",
    [
        {"deps": [["other", "later"]]},
        {"partitions_def": StaticPartitionsDefinition(["a"])},
        {"automation_condition": AutomationCondition.eager()},
        {"freshness_policy": FreshnessPolicy.time_window(fail_window=timedelta(days=1))},
        {"description": "[log in again](https://example.com)"},
        {"metadata": {"link": MetadataValue.url("https://example.com")}},
        {"owners": ["team:one"]},
        {"group_name": "one"},
        {"tags": {"a": "b"}},
        {"kinds": {"python"}},
        {"code_version": "1"},
    ],
    ids=lambda says: next(iter(says)),
)
def test_a_location_that_says_more_of_anothers_assets_than_their_names_is_not_loaded(says: dict[str, Any]) -> None:
    """Dagster merges what locations say about an asset, and cyclic dependencies stop everybody's automation."""
    for named in (AssetSpec(["other", "items"]), AssetSpec(["one", "items"], deps=[["other", "items"]])):
        check_definitions("one", RepositorySnap.from_def(Definitions([named]).get_repository_def()))
    described = Definitions(assets=[AssetSpec(["other", "items"], **says)]).get_repository_def()
    with pytest.raises(ForeignAnswerError, match="the asset other/items does not belong to the location one"):
        check_definitions("one", RepositorySnap.from_def(described))


def test_an_automation_sensor_does_not_say_whose_its_runs_are() -> None:
    automation = AutomationConditionSensorDefinition("auto", target="*", run_tags={"dagster/image": "another"})
    repository = Definitions(assets=[foreign_location.items], sensors=[automation]).get_repository_def()
    with pytest.raises(ForeignAnswerError, match="the tag 'dagster/image' is reserved for the platform"):
        check_definitions("one", RepositorySnap.from_def(repository))


def test_a_preset_of_a_job_does_not_say_it_either() -> None:
    snap = RepositorySnap.from_def(foreign_location.defs.get_repository_def())
    preset = PresetSnap(name="p", run_config={}, op_selection=None, mode="default", tags={"user": "admin"})
    (first, *others) = snap.job_datas or ()
    with pytest.raises(ForeignAnswerError, match="the tag 'user' is reserved for the platform"):
        check_definitions("one", replace(snap, job_datas=[replace(first, active_presets=[preset]), *others]))


def located(snap: RepositorySnap) -> Any:
    """Returns a code location named ``one`` with these definitions."""
    handle = RepositoryHandle.for_test(location_name="one", repository_name=snap.name)
    repository = RemoteRepository(snap, handle, auto_materialize_use_sensors=True)
    return SimpleNamespace(name="one", get_repositories=lambda: {snap.name: repository})


def test_a_location_whose_assets_are_in_no_order_is_not_loaded() -> None:
    """Dagster builds one graph of all locations, so whatever breaks it stops the daemons for everybody."""
    assets = [AssetSpec(["one", "first"]), AssetSpec(["one", "second"], deps=[["one", "first"]])]
    sensor = SensorDefinition("targeting", evaluation_fn=lambda _: None, target=AssetSelection.all())
    snap = RepositorySnap.from_def(Definitions(assets=assets, sensors=[sensor]).get_repository_def())
    check_graph(located(snap))
    first, second = snap.asset_nodes
    circle = [replace(first, parent_edges=[AssetParentEdgeSnap(parent_asset_key=second.asset_key)]), second]
    unknown = [replace(sensor, asset_selection=AssetSelection.assets("nothing")) for sensor in snap.sensors]
    for broken in (replace(snap, asset_nodes=circle), replace(snap, sensors=unknown)):
        with pytest.raises(ForeignAnswerError, match="Dagster cannot put its assets in order: "):
            check_graph(located(broken))


SERVED = AutomationConditionSensorDefinition("auto", target="*", use_user_code_server=True)


@pytest.mark.parametrize("sensor", [[], [AutomationConditionSensorDefinition("auto", target="*")]], ids=["own", "auto"])
def test_automation_conditions_are_not_evaluated_in_the_daemon(sensor: list[SensorDefinition]) -> None:
    """Nor by the sensor that Dagster adds itself: there is one thread for all locations, and some take hours."""

    @asset(key=["one", "items"], automation_condition=AutomationCondition.eager())
    def items() -> None: ...

    snap = RepositorySnap.from_def(Definitions([items], sensors=sensor).get_repository_def())
    for sensors in (snap.sensors, []):  # Dagster also adds it if a code server does not name it
        with pytest.raises(ForeignAnswerError, match=r"evaluates automation conditions in the daemon: .*_server=True$"):
            check_graph(located(replace(snap, sensors=sensors)))
    check_graph(located(RepositorySnap.from_def(Definitions([items], sensors=[SERVED]).get_repository_def())))


def test_a_job_that_automation_starts_has_the_name_of_its_location() -> None:
    """And a sensor cannot start another location's: it names the jobs that it is for itself."""
    condition = AutomationCondition.any_job_root_assets_match(AutomationCondition.missing())

    def location(name: str, started: str) -> Any:
        automated = define_asset_job(name, automation_condition=condition)
        sensor = AutomationConditionSensorDefinition("auto", target="*", asset_job_keys={AssetJobKey(started)})
        definitions = Definitions(assets=[foreign_location.items], jobs=[automated], sensors=[sensor])
        snap = RepositorySnap.from_def(definitions.get_repository_def())
        # Dagster refuses to define such a sensor for the code server, but a forged code server may send it.
        sensors = [replace(one, sensor_type=SensorType.AUTOMATION) for one in snap.sensors]
        return located(replace(snap, sensors=sensors))

    check_graph(location("one_nightly", "one_nightly"))
    for name, started, wrong in (("nightly", "one_nightly", "nightly"), ("one_nightly", "other_job", "other_job")):
        with pytest.raises(ForeignAnswerError, match=f"the job '{wrong}', which automation starts, does not belong"):
            check_graph(location(name, started))


@pytest.mark.parametrize(
    ("sensor", "what"), [("telling", "the asset other/items does not"), ("reacting", "the run anothers does not")]
)
def test_the_daemon_does_nothing_of_what_a_sensor_answers_of_others(port: int, sensor: str, what: str) -> None:
    with checked_answers(list), workspace(port, "one") as context:
        location = context.get_code_location("one")
        repository = location.get_repository("__repository__").handle
        with pytest.raises(ForeignAnswerError, match=what):
            location.get_sensor_execution_data(context.instance, repository, sensor, None, None, None, None, None)


def test_an_error_or_a_reason_that_everybody_would_have_to_read_is_cut_or_refused(port: int) -> None:
    with checked_answers(list), workspace(port, "one") as context:
        location = context.get_code_location("one")
        repository = location.get_repository("__repository__").handle
        with pytest.raises(ForeignAnswerError, match="the reason to skip has 50001 characters: more than 50000"):
            location.get_sensor_execution_data(context.instance, repository, "skipping", None, None, None, None, None)
        with pytest.raises(ForeignAnswerError, match=r"x{1000}\.\.\. \(1\d{5} characters\)$") as failed:
            location.get_sensor_execution_data(context.instance, repository, "failing", None, None, None, None, None)
        assert len(str(failed.value)) < 51_000


def test_a_cursor_that_everybody_would_have_to_read_is_refused(port: int) -> None:
    with checked_answers(list), workspace(port, "one") as context:
        location = context.get_code_location("one")
        repository = location.get_repository("__repository__").handle
        with pytest.raises(ForeignAnswerError, match="the cursor has 250001 characters: more than 250000"):
            location.get_sensor_execution_data(context.instance, repository, "noting", None, None, None, None, None)


def test_a_partition_does_not_say_whose_its_runs_are(port: int) -> None:
    with checked_answers(list), workspace(port, "one") as context:
        location = context.get_code_location("one")
        repository = location.get_repository("__repository__").handle
        refused = pytest.raises(ForeignAnswerError, match="the tag 'user' is reserved for the platform")
        with refused:
            location.get_partition_set_execution_params(repository, "parted_partition_set", ["a"], context.instance)
        with refused:
            location.get_partition_tags_from_repo(repository, "parted", "a", context.instance)


def test_a_job_of_chosen_ops_does_not_say_it_either(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tags come in a separate answer, which may differ from what the code server sent when it was loaded."""

    @job(run_tags={".dagster/repository": "__repository__@other"})
    def tagged() -> None: ...

    snap = JobDataSnap.from_job_def(tagged, include_parent_snapshot=False)
    answer = RemoteJobSubsetResult(success=True, job_data_snap=snap)

    async def later(*_: object) -> RemoteJobSubsetResult:
        return answer

    monkeypatch.setattr(GrpcServerCodeLocation, "_get_subset_remote_job_result", lambda *_: answer)
    monkeypatch.setattr(GrpcServerCodeLocation, "_gen_subset_remote_job_result", later)
    chosen = JobSubsetSelector(
        location_name="one", repository_name="__repository__", job_name="filling", op_selection=["fill"]
    )
    with checked_answers(list), workspace(port, "one") as context:
        location = context.get_code_location("one")
        refused = pytest.raises(
            ForeignAnswerError, match=r"the tag '\.dagster/repository' is reserved for the platform"
        )
        with refused:
            location.get_job(chosen)
        with refused:
            asyncio.run(location.gen_subset_job(chosen, lambda _: context.get_full_job(chosen)))


def test_a_run_that_would_fill_anothers_pool_is_not_made(port: int) -> None:
    with checked_answers(list), workspace(port, "one") as context:
        job = context.get_full_job(
            JobSubsetSelector(
                location_name="one", repository_name="__repository__", job_name="filling", op_selection=None
            )
        )
        with pytest.raises(ForeignAnswerError, match="the pool 'other_items' does not belong to the location one"):
            context.get_execution_plan(job, {}, None, None)
        with pytest.raises(ForeignAnswerError, match="the pool 'other_items' does not belong to the location one"):
            asyncio.run(context.gen_execution_plan(job, {}, None, None))


@pytest.mark.parametrize("location", ["two", "one_more"])
def test_a_run_that_would_make_anothers_asset_is_not_made(location: str) -> None:
    plan = create_execution_plan(foreign_location.defs.resolve_implicit_global_asset_job_def())
    snapshot = snapshot_from_execution_plan(plan, "")
    check_plan("one", snapshot, ())
    with pytest.raises(ForeignAnswerError, match=f"the asset one/items does not belong to the location {location}"):
        check_plan(location, snapshot, ())


def test_a_pool_is_of_the_location_with_the_longest_name() -> None:
    """If there is a location `one_more`, its pools do not belong to `one`."""

    @op(pool="one_more_items")
    def fill() -> None: ...

    @job
    def filling() -> None:
        fill()

    snapshot = snapshot_from_execution_plan(create_execution_plan(filling), "")
    check_plan("one", snapshot, ["two"])
    check_plan("one_more", snapshot, ["one"])
    with pytest.raises(ForeignAnswerError, match="the pool 'one_more_items' does not belong to the location one"):
        check_plan("one", snapshot, ["one_more"])


def filling_of(*pools: str) -> Any:
    """Returns the plan of a run that uses these pools."""

    @job
    def filling() -> None:
        for number, pool in enumerate(pools):
            op(pool=pool, name=f"fill{number}")(lambda: None)()

    return snapshot_from_execution_plan(create_execution_plan(filling), "")


def test_a_run_has_pools_that_the_queue_can_look_up() -> None:
    """With one whose name the storage cannot hold, no pool limits any run."""
    check_plan("one", filling_of("one_" + "x" * 508), ())
    with pytest.raises(ForeignAnswerError, match="the name of a pool has 513 characters: more than 512"):
        check_plan("one", filling_of("one_" + "x" * 509), ())
    check_plan("one", filling_of(*(f"one_{number % 20}" for number in range(30))), ())
    with pytest.raises(ForeignAnswerError, match="the run has 21 pools: more than 20"):
        check_plan("one", filling_of(*(f"one_{number}" for number in range(21))), ())
