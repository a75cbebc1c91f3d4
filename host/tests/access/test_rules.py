"""Each mutation of the schema, sent by those who may and by those who may not."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType, SensorInstigatorData
from dagster._core.utils import make_new_run_id
from dagster_graphql.schema import create_schema
from starlette.testclient import TestClient

from ingest_host.access import webserver
from ingest_host.access.audit import PostgresTrail
from ingest_host.access.rules import RULES
from ingest_host.access.webserver import build_app

from .conftest import REPOSITORY, Answer, Served, token

LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
    ... on LaunchRunSuccess { run { runId tags { key value } } } ... on Error { message } } }"""


def params(location: str, job: str | None = None, **more: Any) -> dict[str, Any]:
    selector = {
        "repositoryLocationName": location,
        "repositoryName": REPOSITORY,
        "jobName": job or f"{location}_ingest",
    }
    return {"selector": {**selector, **more.pop("selector", {})}, "mode": "default", **more}


def launched(served: Served, location: str) -> str:
    """A run that an admin queued."""
    answer = served.ask("admin", LAUNCH, p=params(location)).data["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["runId"])


@dataclass(frozen=True)
class Call:
    """A mutation and its variables, for an object of a location's own."""

    text: str
    variables: dict[str, Any]


JSON = {"Content-Type": "application/json"}
TOLD = "{ __typename ... on Error { message } }"


def mutation(field: str, variables: dict[str, tuple[str, Any]], selection: str = TOLD) -> Call:
    """Builds a call; ``variables`` are GraphQL type and value, by argument."""
    declared = ", ".join(f"${name}: {kind}" for name, (kind, _) in variables.items())
    given = ", ".join(f"{name}: ${name}" for name in variables)
    text = f"mutation{f'({declared})' if declared else ''} {{ {field}{f'({given})' if given else ''} {selection} }}"
    return Call(text, {name: value for name, (_, value) in variables.items()})


Make = Callable[[Served, str], Call]


def _of_schedule(field: str) -> Make:
    def make(served: Served, location: str) -> Call:
        selector = served.selector(location, scheduleName=f"{location}_schedule")
        name = "selectorData" if field == "scheduleDryRun" else "scheduleSelector"
        return mutation(
            field,
            {name: ("ScheduleSelector!", selector)}
            | ({"timestamp": ("Float", 0.0)} if field == "scheduleDryRun" else {}),
        )

    return make


def _of_sensor(field: str) -> Make:
    def make(served: Served, location: str) -> Call:
        selector = served.selector(location, sensorName=f"{location}_sensor")
        name = "selectorData" if field == "sensorDryRun" else "sensorSelector"
        more = {"cursor": ("String", "here")} if field in ("setSensorCursor", "sensorDryRun") else {}
        return mutation(field, {name: ("SensorSelector!", selector), **more})

    return make


def _of_run(field: str) -> Make:
    return lambda served, location: mutation(field, {"runId": ("String!", launched(served, location))})


def _launch(field: str) -> Make:
    return lambda served, location: mutation(field, {"executionParams": ("ExecutionParams!", params(location))})


def _again(field: str) -> Make:
    return lambda served, location: mutation(
        field,
        {
            "reexecutionParams": (
                "ReexecutionParams",
                {"parentRunId": launched(served, location), "strategy": "ALL_STEPS"},
            )
        },
    )


def _new_backfill(served: Served, location: str) -> Call:
    selector = {"partitionSetName": f"{location}_daily_partition_set", "repositorySelector": served.selector(location)}
    given = {"selector": selector, "partitionNames": ["monday"]}
    return mutation(
        "launchPartitionBackfill",
        {"backfillParams": ("LaunchBackfillParams!", given)},
        "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on Error { message } }",
    )


def launched_backfill(served: Served, location: str) -> str:
    call = _new_backfill(served, location)
    answer = served.ask("admin", call.text, **call.variables).data["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


def _of_backfill(field: str) -> Make:
    return lambda served, location: mutation(field, {"backfillId": ("String!", launched_backfill(served, location))})


def _backfill_again(served: Served, location: str) -> Call:
    parent = launched_backfill(served, location)
    found = served.instance.get_backfill(parent)
    assert found
    served.instance.update_backfill(found.with_status(BulkActionStatus.COMPLETED_FAILED))  # type: ignore[no-untyped-call]
    return mutation(
        "reexecutePartitionBackfill",
        {"reexecutionParams": ("ReexecutionParams", {"parentRunId": parent, "strategy": "ALL_STEPS"})},
    )


def _of_asset(field: str) -> Make:
    def make(served: Served, location: str) -> Call:
        key = {"path": [location, "daily"]}
        event = {"eventType": "ASSET_MATERIALIZATION", "assetKey": key}
        check = {"assetKey": key, "checkName": "c", "passed": True}
        arguments: dict[str, dict[str, tuple[str, Any]]] = {
            "wipeAssets": {"assetPartitionRanges": ("[PartitionsByAssetSelector!]!", [{"assetKey": key}])},
            "reportRunlessAssetEvents": {"eventParams": ("ReportRunlessAssetEventsParams!", event)},
            "reportAssetCheckEvaluations": {"eventParams": ("ReportAssetCheckEvaluationsParams!", check)},
        }
        return mutation(field, arguments[field])

    return make


def _of_location(field: str) -> Make:
    return lambda served, location: mutation(field, {"repositoryLocationName": ("String!", location)})


OWN: dict[str, Make] = {
    "launchRun": _launch("launchRun"),
    "launchPipelineExecution": _launch("launchPipelineExecution"),
    "launchMultipleRuns": lambda served, location: mutation(
        "launchMultipleRuns", {"executionParamsList": ("[ExecutionParams!]!", [params(location)] * 2)}
    ),
    "launchRunReexecution": _again("launchRunReexecution"),
    "launchPipelineReexecution": _again("launchPipelineReexecution"),
    "terminateRun": _of_run("terminateRun"),
    "terminatePipelineExecution": _of_run("terminatePipelineExecution"),
    "terminateRuns": lambda served, location: mutation(
        "terminateRuns", {"runIds": ("[String!]!", [launched(served, location)])}
    ),
    "deleteRun": _of_run("deleteRun"),
    "deletePipelineRun": _of_run("deletePipelineRun"),
    "launchPartitionBackfill": _new_backfill,
    "resumePartitionBackfill": _of_backfill("resumePartitionBackfill"),
    "cancelPartitionBackfill": _of_backfill("cancelPartitionBackfill"),
    "reexecutePartitionBackfill": _backfill_again,
    "startSchedule": _of_schedule("startSchedule"),
    "resetSchedule": _of_schedule("resetSchedule"),
    "scheduleDryRun": _of_schedule("scheduleDryRun"),
    "stopRunningSchedule": lambda served, location: mutation(
        "stopRunningSchedule",
        {
            "scheduleOriginId": ("String", served.schedule(location).get_remote_origin_id()),
            "scheduleSelectorId": ("String", served.schedule(location).selector_id),
        },
    ),
    "startSensor": _of_sensor("startSensor"),
    "resetSensor": _of_sensor("resetSensor"),
    "sensorDryRun": _of_sensor("sensorDryRun"),
    "setSensorCursor": _of_sensor("setSensorCursor"),
    "stopSensor": lambda served, location: mutation(
        "stopSensor",
        {
            "jobOriginId": ("String", served.sensor(location).get_remote_origin_id()),
            "jobSelectorId": ("String", served.sensor(location).selector_id),
        },
    ),
    "wipeAssets": _of_asset("wipeAssets"),
    "reportRunlessAssetEvents": _of_asset("reportRunlessAssetEvents"),
    "reportAssetCheckEvaluations": _of_asset("reportAssetCheckEvaluations"),
    "reloadRepositoryLocation": _of_location("reloadRepositoryLocation"),
}
"""Mutations that a location's own team may send."""
BY_LAUNCHER = {name for name in OWN if name.startswith(("launch", "terminate", "cancel", "resume", "reexecute"))}


def answer_of(served: Served, who: str, call: Call) -> tuple[str, Answer]:
    """Returns the type of the answer: a refusal is an `UnauthorizedError`, or an error of GraphQL."""
    answer = served.ask(who, call.text, **call.variables)
    if answer.body.get("errors"):
        return "error", answer
    (found,) = answer.body["data"].values()
    return (found["__typename"] if isinstance(found, dict) else str(found)), answer


def is_refused(kind: str, answer: Answer) -> bool:
    return kind in ("UnauthorizedError", "error") and "may not do this" in answer.text


# Every mutation has a rule


def mutations() -> set[str]:
    schema = create_schema().graphql_schema.mutation_type
    assert schema
    return set(schema.fields)


def test_every_mutation_of_the_schema_has_a_rule() -> None:
    """If a new version of Dagster adds one, this test reports it; until it has a rule, it is refused."""
    assert mutations() == set(RULES)


def test_a_mutation_without_a_rule_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "setNuxSeen")
    app = build_app(served.context, served.settings, PostgresTrail(), 2000)
    served.client = TestClient(app, base_url="http://ingest.test")
    assert "no rule covers it" in served.ask("admin", "mutation { setNuxSeen }").text


# By a location's own team, by others


@pytest.mark.parametrize("name", OWN)
def test_a_team_does_it_to_its_own_location_and_nobody_else_does(served: Served, name: str) -> None:
    """A launcher can launch and terminate, and no more."""
    call = OWN[name](served, "stripe")
    for who in ("github", "viewer"):
        kind, answer = answer_of(served, who, call)
        assert is_refused(kind, answer), answer
        assert served.trail()[-1][0::4] == (who, "refused")
    kind, answer = answer_of(served, "launcher_of_stripe", call)
    assert is_refused(kind, answer) == (name not in BY_LAUNCHER), answer
    kind, answer = answer_of(served, "stripe", OWN[name](served, "stripe"))
    assert not is_refused(kind, answer), answer
    assert kind not in ("PythonError", "error"), answer


PLATFORM: dict[str, dict[str, tuple[str, Any]]] = {
    "setConcurrencyLimit": {"concurrencyKey": ("String!", "k"), "limit": ("Int!", 2)},
    "deleteConcurrencyLimit": {"concurrencyKey": ("String!", "k")},
    "freeConcurrencySlots": {"runId": ("String!", "r")},
    "freeConcurrencySlotsForRun": {"runId": ("String!", "r")},
    "setAutoMaterializePaused": {"paused": ("Boolean!", False)},
    "reloadWorkspace": {},
}


@pytest.mark.parametrize("name", PLATFORM)
def test_what_is_of_the_platform_is_an_admins(served: Served, name: str) -> None:
    call = mutation(
        name, PLATFORM[name], "{ __typename ... on Error { message } }" if name == "reloadWorkspace" else ""
    )
    for who in ("viewer", "both", "editor"):
        assert is_refused(*answer_of(served, who, call))
    kind, answer = answer_of(served, "admin", call)
    assert not is_refused(kind, answer)
    assert kind != "error", answer


# Through the back door


def refused(served: Served, who: str, call: Call) -> None:
    kind, answer = answer_of(served, who, call)
    assert is_refused(kind, answer), answer


def test_a_schedule_is_not_stopped_under_the_id_of_ones_own(served: Served) -> None:
    """Dagster checks the origin, but stops what the selector names."""
    call = mutation(
        "stopRunningSchedule",
        {
            "scheduleOriginId": ("String", served.schedule("stripe").get_remote_origin_id()),
            "scheduleSelectorId": ("String", served.schedule("github").selector_id),
        },
    )
    refused(served, "stripe", call)
    compound = f"{served.schedule('stripe').get_remote_origin_id()}::{served.schedule('github').selector_id}"
    for argument in ("id", "scheduleOriginId"):
        refused(served, "stripe", mutation("stopRunningSchedule", {argument: ("String", compound)}))


def test_a_sensor_is_not_stopped_under_the_id_of_ones_own(served: Served) -> None:
    call = mutation(
        "stopSensor",
        {
            "jobOriginId": ("String", served.sensor("stripe").get_remote_origin_id()),
            "jobSelectorId": ("String", served.sensor("github").selector_id),
        },
    )
    refused(served, "stripe", call)


def test_an_asset_that_two_locations_name_is_of_both(served: Served) -> None:
    key = {"path": ["github", "issues"]}
    served.instance.report_runless_asset_event(AssetMaterialization(AssetKey(["github", "issues"])))
    call = mutation("wipeAssets", {"assetPartitionRanges": ("[PartitionsByAssetSelector!]!", [{"assetKey": key}])})
    refused(served, "stripe", call)
    refused(served, "github", call)
    assert served.instance.get_latest_materialization_event(AssetKey(["github", "issues"]))
    assert answer_of(served, "both", call)[0] == "AssetWipeSuccess"


@pytest.mark.parametrize("path", ["report_asset_materialization", "report_asset_observation", "report_asset_check"])
@pytest.mark.parametrize("asset", ["github/issues", "github/daily"])
def test_the_routes_that_report_ask_too(served: Served, path: str, asset: str) -> None:
    body = {"check_name": "c", "passed": True, "data_version": "1"}
    answers = {
        who: served.client.post(f"/{path}/{asset}", json=body, headers={"Authorization": f"Bearer {token(who)}"})
        for who in ("viewer", "stripe", "admin")
    }
    assert {who: answer.status_code for who, answer in answers.items()} == {"viewer": 401, "stripe": 401, "admin": 200}
    assert [row[-1] for row in served.trail()] == ["refused", "refused", "done"]


def test_the_trail_says_which_asset_was_reported(served: Served) -> None:
    """Dagster also accepts the key in the query or the body."""
    url, admin = "/report_asset_materialization/", {"Authorization": f"Bearer {token('admin')}"}
    for answer in (
        served.client.post(url, json={"asset_key": "github/issues"}, headers=admin),
        served.client.post(f"{url}?asset_key=github/issues", json={}, headers=admin),
    ):
        assert answer.status_code == 400
        assert "name the asset in the path" in answer.json()["error"]
    assert served.trail() == []


def test_reporting_of_an_asset_that_two_locations_name_needs_both(served: Served) -> None:
    path = "/report_asset_materialization/github/issues"
    answers = {
        who: served.client.post(path, json={}, headers={"Authorization": f"Bearer {token(who)}"}).status_code
        for who in ("stripe", "github", "both")
    }
    assert answers == {"stripe": 401, "github": 401, "both": 200}


def test_a_name_of_dynamic_partitions_that_two_locations_use_is_of_both(served: Served) -> None:
    given = {
        "repositorySelector": ("RepositorySelector!", served.selector("stripe")),
        "partitionsDefName": ("String!", "repositories"),
    }
    add = mutation("addDynamicPartition", {**given, "partitionKey": ("String!", "a")})
    delete = mutation("deleteDynamicPartitions", {**given, "partitionKeys": ("[String!]!", ["a"])})
    for call in (add, delete):
        refused(served, "stripe", call)
        assert not is_refused(*answer_of(served, "both", call))


@pytest.mark.parametrize("key", ["parentRunId", "rootRunId"])
def test_a_run_does_not_join_the_group_of_anothers(served: Served, key: str) -> None:
    given = params("stripe", executionMetadata={key: launched(served, "github")})
    refused(served, "stripe", mutation("launchRun", {"executionParams": ("ExecutionParams!", given)}))
    refused(served, "stripe", mutation("launchRunReexecution", {"executionParams": ("ExecutionParams", given)}))


def test_a_tag_does_not_join_it_either(served: Served) -> None:
    run, fill = launched(served, "github"), launched_backfill(served, "github")
    joined = {"dagster/parent_run_id": run, "dagster/root_run_id": run, "dagster/backfill": fill}
    for key, value in (joined | {".dagster/repository": "__repository__@github"}).items():
        given = params("stripe", executionMetadata={"tags": [{"key": key, "value": value}]})
        refused(served, "stripe", mutation("launchRun", {"executionParams": ("ExecutionParams!", given)}))


def test_assets_of_another_location_are_not_backfilled_beside_ones_own(served: Served) -> None:
    keys = [{"path": ["stripe", "daily"]}, {"path": ["github", "daily"]}]
    own = {"partitionSetName": "stripe_daily_partition_set", "repositorySelector": served.selector("stripe")}
    for given in (
        {"assetSelection": keys, "partitionNames": ["monday"]},
        {"partitionsByAssets": [{"assetKey": key} for key in keys]},
        {"selector": own, "assetSelection": keys, "partitionNames": ["monday"]},
    ):
        refused(
            served, "stripe", mutation("launchPartitionBackfill", {"backfillParams": ("LaunchBackfillParams!", given)})
        )


def test_one_of_anothers_among_ones_own_refuses_them_all(served: Served) -> None:
    both = [params("stripe"), params("github")]
    before = served.instance.get_runs_count()
    refused(served, "stripe", mutation("launchMultipleRuns", {"executionParamsList": ("[ExecutionParams!]!", both)}))
    assert served.instance.get_runs_count() == before
    runs = [launched(served, "stripe"), launched(served, "github")]
    refused(served, "stripe", mutation("terminateRuns", {"runIds": ("[String!]!", runs)}))
    for run in runs:
        assert served.instance.get_run_by_id(run).status == DagsterRunStatus.QUEUED  # type: ignore[union-attr]


def test_the_implicit_job_of_another_location_is_not_launched_for_an_asset_of_ones_own(served: Served) -> None:
    given = params("github", "__ASSET_JOB", selector={"assetSelection": [{"path": ["stripe", "charges"]}]})
    refused(served, "stripe", mutation("launchRun", {"executionParams": ("ExecutionParams!", given)}))


@pytest.mark.parametrize("field", ["terminateRun", "deleteRun"])
def test_a_run_that_is_not_there_tells_nothing(served: Served, field: str) -> None:
    call = mutation(field, {"runId": ("String!", make_new_run_id())})
    refused(served, "stripe", call)
    assert answer_of(served, "admin", call)[0] == "RunNotFoundError"


def test_an_alias_a_fragment_and_a_batch_change_nothing(served: Served) -> None:
    before = served.instance.get_runs_count()
    text = """mutation Innocent($p: ExecutionParams!) { ...Launch typename: __typename }
    fragment Launch on Mutation { logTelemetry: launchRun(executionParams: $p) { ... on Error { message } } }"""
    assert "may not do this" in served.ask("viewer", text, p=params("github")).text
    headers = {"Authorization": f"Bearer {token('viewer')}"}
    batch = [{"query": LAUNCH, "variables": {"p": params("github")}}] * 2
    assert served.client.post("/graphql", json=batch, headers=headers).status_code == 400
    assert served.instance.get_runs_count() == before


# Who launched it


def test_a_run_tells_who_launched_it_whatever_the_client_says(served: Served) -> None:
    given = params("stripe", executionMetadata={"tags": [{"key": "user", "value": "somebody else"}]})
    run = served.ask("stripe", LAUNCH, p=given).data["launchRun"]["run"]["runId"]
    assert served.instance.get_run_by_id(run).tags["user"] == "stripe"  # type: ignore[union-attr]
    tags = [{"key": "user", "value": "somebody else"}]
    again = {"parentRunId": run, "strategy": "ALL_STEPS", "extraTags": tags}
    selection = "{ ... on LaunchRunSuccess { run { runId } } }"
    call = mutation("launchRunReexecution", {"reexecutionParams": ("ReexecutionParams", again)}, selection)
    answer = served.ask("both", call.text, **call.variables).data["launchRunReexecution"]
    assert served.instance.get_run_by_id(answer["run"]["runId"]).tags["user"] == "both"  # type: ignore[union-attr]


def test_a_backfill_tells_it_too(served: Served) -> None:
    call = _new_backfill(served, "stripe")
    call.variables["backfillParams"]["tags"] = [{"key": "user", "value": "somebody else"}]
    answer = served.ask("stripe", call.text, **call.variables).data["launchPartitionBackfill"]
    assert served.instance.get_backfill(answer["backfillId"]).tags["user"] == "stripe"  # type: ignore[union-attr]


def test_a_backfill_that_is_launched_again_tells_who_did_that(served: Served) -> None:
    call = _backfill_again(served, "stripe")  # an admin's
    selection = "{ ... on LaunchBackfillSuccess { backfillId } }"
    answer = served.ask("stripe", call.text.replace(TOLD, selection), **call.variables).data[
        "reexecutePartitionBackfill"
    ]
    assert served.instance.get_backfill(answer["backfillId"]).tags["user"] == "stripe"  # type: ignore[union-attr]


# What the UI greys out


def test_the_page_is_told_what_its_viewer_may_do(served: Served) -> None:
    query = """{ permissions { permission value } workspaceOrError { ... on Workspace { locationEntries {
        name permissions { permission value disabledReason } } } } }"""
    data = served.ask("stripe", query).data
    assert not [one for one in data["permissions"] if one["value"]]
    by_location = {
        entry["name"]: {one["permission"]: one for one in entry["permissions"]}
        for entry in data["workspaceOrError"]["locationEntries"]
    }
    assert by_location["stripe"]["launch_pipeline_execution"]["value"]
    assert not by_location["github"]["launch_pipeline_execution"]["value"]
    told = by_location["github"]["launch_pipeline_execution"]["disabledReason"]
    assert told == "This needs the role launcher of github"


# The trail


def test_what_is_done_is_recorded(served: Served) -> None:
    run = served.ask("stripe", LAUNCH, p=params("stripe")).data["launchRun"]["run"]["runId"]
    assert served.trail() == [("stripe", "token", "launchRun", ["stripe"], f"LaunchRunSuccess {run}")]


def test_what_failed_is_recorded_so(served: Served, trail_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the storage is gone")

    schema = create_schema()
    assert schema.graphql_schema.mutation_type
    schema.graphql_schema.mutation_type.fields["reloadWorkspace"].resolve = broken
    monkeypatch.setattr(webserver, "create_schema", lambda: schema)
    trail = PostgresTrail(host=trail_database, user="audit", password="audit", dbname="audit")
    served.client = TestClient(build_app(served.context, served.settings, trail, 2000), base_url="http://ingest.test")
    assert "the storage is gone" in served.ask("admin", "mutation { reloadWorkspace { __typename } }").text
    assert served.trail() == [("admin", "token", "reloadWorkspace", [], "failed")]


def test_what_cannot_be_recorded_is_not_done(served: Served, trail_database: str) -> None:
    nowhere = PostgresTrail(host=trail_database, user="audit", password="wrong", dbname="audit")
    served.client = TestClient(build_app(served.context, served.settings, nowhere, 2000), base_url="http://ingest.test")
    before = served.instance.get_runs_count()
    assert "nothing was done" in served.ask("stripe", LAUNCH, p=params("stripe")).text
    assert served.instance.get_runs_count() == before


@pytest.mark.parametrize("value", ["\0", "\ud800", "\\u0000", "x" * 100_000])
def test_no_value_keeps_an_action_out_of_the_trail(served: Served, value: str) -> None:
    given = params("stripe", executionMetadata={"tags": [{"key": "note", "value": value}]})
    served.ask("stripe", LAUNCH, p=given)
    assert [row[:4] for row in served.trail()] == [("stripe", "token", "launchRun", ["stripe"])]


@pytest.mark.parametrize(("text", "wrong"), [("\0", "NUL"), ("\ud800", "half a surrogate pair")])
def test_text_that_no_page_can_show_is_not_stored(served: Served, text: str, wrong: str) -> None:
    call = OWN["setSensorCursor"](served, "stripe")
    answer = served.ask("stripe", call.text, **call.variables | {"cursor": text})
    assert f"nothing was done: an argument contains {wrong}" in answer.text
    admin = {"Authorization": f"Bearer {token('admin')}"}
    report = served.client.post(
        "/report_asset_materialization/stripe/daily", content=json.dumps({"description": text}), headers=admin | JSON
    )
    assert (report.status_code, report.json()) == (400, {"error": f"the path or the body contains {wrong}"})


def test_what_is_stored_all_the_same_is_shown(served: Served) -> None:
    """A location writes its own events and ticks, and a page lists those of all locations."""
    sensor = served.sensor("stripe")
    data = SensorInstigatorData(cursor="half \ud800")
    state = InstigatorState(sensor.get_remote_origin(), InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
    known = served.instance.get_instigator_state(state.instigator_origin_id, state.selector_id)
    (served.instance.update_instigator_state if known else served.instance.add_instigator_state)(state)
    answer = served.ask(
        "viewer",
        """query($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor { sensorState {
            typeSpecificData { ... on SensorData { lastCursor } } } } } }""",
        s=served.selector("stripe", sensorName="stripe_sensor"),
    )
    assert answer.data["sensorOrError"]["sensorState"]["typeSpecificData"]["lastCursor"] == "half \ud800"


def test_no_run_config_is_kept(served: Served) -> None:
    given = params("stripe", runConfigData="{loggers: {console: {config: {name: canary-1b2c}}}}")
    served.ask("stripe", LAUNCH, p=given)
    assert "canary-1b2c" not in str(served.rows("SELECT subject::text FROM public.trail"))
