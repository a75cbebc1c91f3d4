"""A location in Dagster's storage: its runs work as ever, and it reaches nothing that is not its own.

The code server and the runs are Dagster's own processes, signed in as the location ``one``.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.events import RunFailureReason
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemotePartitionSetOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test, poll_for_finished_run
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_graphql.test.utils import execute_dagster_graphql
from sqlalchemy.exc import DBAPIError

from ingest_host import setup, storage

from .conftest import Platform, refused, set_up, wait_for_server

CODE = Path(__file__).with_name("played_location.py")
LAUNCH = """mutation($job: String!) { launchRun(executionParams: {selector: {repositoryLocationName: "one",
  repositoryName: "__repository__", pipelineName: $job}}) { __typename ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message } } }"""
DRY_RUN = """mutation { sensorDryRun(selectorData: {repositoryLocationName: "one", repositoryName: "__repository__",
  sensorName: "told"}, cursor: null) { __typename ... on DryRunInstigationTick { evaluationResult { error { message }
  cursor } } } }"""


@dataclass
class Played:
    """A platform that serves the location ``one``; ``other`` is set up but has never run."""

    platform: Platform
    instance: DagsterInstance
    context: WorkspaceRequestContext

    def ask(self, query: str, **variables: str) -> dict[str, Any]:
        return dict(execute_dagster_graphql(self.context, query, variables).data)

    def run(self, job: str) -> DagsterRun:
        """Runs a job of the location; returns the run when it has ended."""
        launched = self.ask(LAUNCH, job=job)["launchRun"]
        assert "run" in launched, launched
        run_id = launched["run"]["runId"]
        return poll_for_finished_run(self.instance, run_id, timeout=60)

    def record(self, run: DagsterRun) -> dict[str, Any]:
        """Returns what webserver and daemon know about a run."""
        ((body,),) = self.platform.sql("dagster", f"SELECT run_body FROM runs WHERE run_id = '{run.run_id}'", "dagster")
        record: dict[str, Any] = json.loads(body)
        return record

    def sql(self, location: str, statement: str) -> list[tuple[Any, ...]]:
        """Returns the rows of a statement, as a location's login."""
        return self.platform.sql(f"dagster-{location}", statement, "dagster")


@pytest.fixture(scope="module")
def played(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with pytest.MonkeyPatch.context() as patch, socket.socket() as free:
        platform = set_up(postgres, tmp_path_factory.mktemp("platform"), patch)
        for name in ("one", "other"):
            platform.location(name)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        served = ["api", "grpc", "--host", "127.0.0.1", "--port", str(port), "--python-file", str(CODE)]
        environment = os.environ | {"PGSERVICEFILE": str(platform.folder / "one" / "server" / setup.SERVICE)}
        server = subprocess.Popen([sys.executable, "-m", "dagster", *served], env=environment)
        try:
            target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name="one")
            wait_for_server(port)
            with DagsterInstance.get() as instance, WorkspaceProcessContext(instance, target) as process:
                yield Played(platform, instance, process.create_request_context())
                instance.wipe()
        finally:
            server.terminate()
            server.wait(timeout=70)


@pytest.fixture(scope="module")
def good(played: Played) -> DagsterRun:
    run = played.run("good")
    played.instance.add_run_tags(run.run_id, {"colour": "red"})
    return run


@pytest.fixture(scope="module")
def bad(played: Played) -> DagsterRun:
    run = played.run("bad")
    for _ in range(40):  # the last that a run writes
        if "dagster/will_retry" in played.record(run)["tags"]:
            break
        time.sleep(0.25)
    return run


# What Dagster's own code does


def test_a_run_succeeds(played: Played, good: DagsterRun) -> None:
    assert good.status == DagsterRunStatus.SUCCESS
    stats = played.instance.get_run_stats(good.run_id)
    assert (stats.steps_succeeded, stats.materializations, stats.expectations) == (3, 2, 0)
    record = played.instance.get_run_record_by_id(good.run_id)
    assert record is not None
    assert (record.start_time or 0) < (record.end_time or 0)
    items = played.instance.get_latest_materialization_event(AssetKey(["one", "items"]))
    assert items is not None
    assert items.run_id == good.run_id
    checks = "SELECT asset_key, execution_status FROM asset_check_executions"
    assert played.sql("one", checks) == [('["one", "items"]', "SUCCEEDED")]


def test_a_run_fails_and_says_why(played: Played, bad: DagsterRun) -> None:
    assert bad.status == DagsterRunStatus.FAILURE
    assert bad.tags["dagster/failure_reason"] == "STEP_FAILURE"
    assert played.record(bad)["tags"]["dagster/will_retry"] == "false"


def test_the_code_server_sees_its_runs_fail(played: Played, bad: DagsterRun) -> None:
    """Through a sensor, which reads the events of runs."""
    result = played.ask(DRY_RUN)["sensorDryRun"]["evaluationResult"]
    assert result["error"] is None
    seen = json.loads(result["cursor"])["record_id"]
    ((last,),) = played.sql("one", "SELECT max(id) FROM event_logs WHERE dagster_event_type = 'PIPELINE_FAILURE'")
    assert seen == last


def test_a_run_materializes_no_asset_of_another_location(played: Played) -> None:
    run = played.run("astray")
    assert run.status == DagsterRunStatus.FAILURE
    events = " ".join(str(record.event_log_entry) for record in played.instance.get_records_for_run(run.run_id).records)
    assert "the asset key begins with the name of the location" in events


# What another location sees

SEEN = [
    table.name for table in storage.TABLES if table.read != "true" and table.name not in ("kvs", "dynamic_partitions")
]


@pytest.mark.parametrize("table", SEEN)
def test_a_location_sees_its_own_rows_alone(played: Played, good: DagsterRun, table: str) -> None:
    assert played.sql("one", f"SELECT count(*) > 0 FROM {table}") == [(True,)]
    # The location in an asset's key sees what webserver and daemon plan for it.
    assert played.sql("other", f"SELECT count(*) FROM {table} AS row WHERE row::text NOT LIKE '%other%'") == [(0,)]


def test_of_what_belongs_to_no_location_none_sees_anything(played: Played) -> None:
    """Such as a run that was created without a workspace."""
    run = create_run_for_test(played.instance, job_name="orphan", tags={"a": "b"})
    played.instance.run_storage.set_cursor_values({"cursor": "of the daemon"})
    for name in ("one", "other"):
        assert played.sql(name, "SELECT * FROM kvs WHERE key = 'cursor'") == []
        assert played.sql(name, f"SELECT * FROM runs WHERE run_id = '{run.run_id}'") == []
        assert played.sql(name, f"SELECT * FROM run_tags WHERE run_id = '{run.run_id}'") == []


def test_the_keys_of_partitions_are_seen_by_the_location_of_their_name(played: Played) -> None:
    for name in ("one/repositories", "other/repositories", "one_repositories"):
        played.instance.add_dynamic_partitions(name, [f"key of {name}"])
    assert played.sql("one", "SELECT partition FROM dynamic_partitions") == [("key of one/repositories",)]
    assert played.sql("other", "SELECT partition FROM dynamic_partitions") == [("key of other/repositories",)]


def test_rights_are_given_on_the_tables_above_alone(played: Played) -> None:
    """And each of them has a policy: a table that a new version of Dagster adds is closed at first."""
    granted = played.platform.sql(
        "dagster",
        f"""SELECT relname, relrowsecurity, relname = ANY (ARRAY{[table.name for table in storage.TABLES]})
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
        AND (has_table_privilege('{storage.LOCATIONS}', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
          OR has_any_column_privilege('{storage.LOCATIONS}', oid, 'SELECT, INSERT, UPDATE'))""",
        "dagster",
    )
    assert {name for name, _, _ in granted} == {table.name for table in storage.TABLES}
    assert all(secured and known for _, secured, known in granted)


# What another location does

EVENT = """'{{"run_id": "{run}"}}', 'PIPELINE_FAILURE', now()"""
NO_RUN = EVENT.replace("{run}", "")
NOTHING = (
    "UPDATE runs SET status = 'FAILURE' WHERE run_id = '{run}' RETURNING run_id",
    "UPDATE run_tags SET value = 'x' WHERE run_id = '{run}' RETURNING run_id",
    "UPDATE asset_keys SET last_run_id = 'x' WHERE asset_key = '{asset}' RETURNING asset_key",
    "UPDATE asset_check_executions SET execution_status = 'FAILED' RETURNING asset_key",
    "SELECT run_id FROM runs WHERE run_id = '{run}' FOR UPDATE",
)
"""Statements that match no row."""
REFUSED = (
    "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp) VALUES ('{run}', " + EVENT + ")",
    "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp) VALUES ('', "
    + EVENT.replace("{run}", "")
    + ")",
    "INSERT INTO run_tags (run_id, key, value) VALUES ('{run}', 'a', 'b')",
    "INSERT INTO asset_keys (asset_key) VALUES ('{asset}') ON CONFLICT (asset_key) DO UPDATE SET last_run_id = 'x'",
    'INSERT INTO asset_keys (asset_key) VALUES (\'["one", "new"]\')',
    "INSERT INTO asset_event_tags (event_id, asset_key, key, value) VALUES (1, '{asset}', 'a', 'b')",
    "INSERT INTO asset_check_executions (asset_key, check_name, run_id) VALUES ('{asset}', 'sound', '{run}')",
    "INSERT INTO runs (run_id, run_body) VALUES ('x', '{{}}')",
    "INSERT INTO dynamic_partitions (partitions_def_name, partition) VALUES ('one/repositories', 'x')",
    "INSERT INTO kvs (key, value) VALUES ('x', 'y')",
    "INSERT INTO snapshots (snapshot_id, snapshot_body, snapshot_type) VALUES ('x', 'y', 'z')",
    "UPDATE event_logs SET event = '{{}}'",
    "UPDATE runs SET run_id = 'x'",
    "UPDATE runs SET ingest_location = 'other'",
    "UPDATE asset_keys SET wipe_timestamp = now()",
    "UPDATE asset_keys SET asset_details = '{{}}'",
    "DELETE FROM runs",
    "DELETE FROM event_logs",
    "DELETE FROM asset_keys",
    "TRUNCATE event_logs",
    "SELECT * FROM instigators",
    "SELECT * FROM jobs",
    "SELECT * FROM job_ticks",
    "SELECT * FROM bulk_actions",
    "SELECT * FROM daemon_heartbeats",
    "SELECT * FROM concurrency_slots",
    "INSERT INTO instigators (selector_id, status) VALUES ('x', 'STOPPED')",
    "INSERT INTO concurrency_slots (concurrency_key, deleted) VALUES ('one_items', false)",
    "BEGIN; LOCK TABLE runs IN ACCESS EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE runs IN SHARE MODE",
    "BEGIN; LOCK TABLE event_logs IN SHARE ROW EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE",
    "ALTER TABLE runs DISABLE ROW LEVEL SECURITY",
    "CREATE POLICY all_of_it ON runs USING (true)",
    "DROP TRIGGER keep_record ON runs",
    "CREATE OR REPLACE FUNCTION platform.location() RETURNS text RETURN 'one'",
    "CREATE TABLE public.ours (id int)",
    "CREATE TEMPORARY TABLE ours (id int)",
    "CREATE SCHEMA ours",
    "SELECT setval('event_logs_id_seq', 1)",
    "SET ROLE dagster",
    'SET ROLE "dagster-one"',
    'SET ROLE "locations-dagster"',
    "SET SESSION AUTHORIZATION dagster",
    "ALTER DEFAULT PRIVILEGES FOR ROLE dagster GRANT ALL ON TABLES TO PUBLIC",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dagster'",
    "COPY runs TO PROGRAM 'cat'",
)


@pytest.mark.parametrize("statement", NOTHING)
def test_anothers_row_is_not_there_to_change(played: Played, good: DagsterRun, statement: str) -> None:
    statement = statement.format(run=good.run_id, asset='["one", "items"]')
    assert played.sql("other", statement) == []
    assert played.sql("one", statement) != []


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("runs", "start_time = 1"),
        ("run_tags", "value = 'x'"),
        ("asset_keys", "last_run_id = 'x'"),
        ("asset_check_executions", "partition = 'x'"),
    ],
)
def test_nor_does_it_change_if_it_is_not_asked_for(played: Played, good: DagsterRun, table: str, change: str) -> None:
    """A statement that reads no column needs no right to read: the policy for updates alone applies."""
    rows = f"SELECT * FROM {table} WHERE {table}::text NOT LIKE '%other%' ORDER BY id"
    before = played.platform.sql("dagster", rows, "dagster")
    assert before
    played.sql("other", f"UPDATE {table} SET {change}")
    assert played.platform.sql("dagster", rows, "dagster") == before


@pytest.mark.parametrize("statement", REFUSED)
def test_what_a_location_does_not_need_is_refused(played: Played, good: DagsterRun, statement: str) -> None:
    why = "permission denied|row-level security|must be owner|cannot|can only be updated to DEFAULT"
    with closing(played.platform.connect("dagster", "dagster")), refused(why):  # somebody to terminate
        played.sql("other", statement.format(run=good.run_id, asset='["one", "items"]'))


# What a location does to its own runs


def change(played: Played, run: DagsterRun, change: str) -> None:
    assert played.sql("one", f"UPDATE runs SET {change} WHERE run_id = '{run.run_id}' RETURNING id")


def made(played: Played, good: DagsterRun, status: DagsterRunStatus) -> DagsterRun:
    run: DagsterRun = create_run_for_test(
        played.instance,
        job_name="good",
        status=status,
        remote_job_origin=good.remote_job_origin,
        job_code_origin=good.job_code_origin,
        tags={"docker/image": "ingest-one:1", "colour": "red"},
    )
    return run


@pytest.mark.parametrize("status", ["NOT_STARTED", "QUEUED", "CANCELING", "SUCCESS", "FAILURE", "CANCELED"])
def test_a_run_that_the_platform_did_not_start_or_that_has_ended_does_not_begin(
    played: Played, good: DagsterRun, status: str
) -> None:
    """The queue has ten places, and each run that has begun takes one."""
    run = made(played, good, DagsterRunStatus(status))
    change(played, run, "status = 'STARTED'")
    assert played.record(run)["status"] == {"__enum__": f"PipelineRunStatus.{status}"}
    assert played.sql("one", f"SELECT status FROM runs WHERE run_id = '{run.run_id}'") == [(status,)]


def test_a_run_that_is_being_canceled_ends(played: Played, good: DagsterRun) -> None:
    run = made(played, good, DagsterRunStatus.CANCELING)
    change(played, run, "status = 'CANCELED'")
    assert played.sql("one", f"SELECT status FROM runs WHERE run_id = '{run.run_id}'") == [("CANCELED",)]


def test_a_record_says_what_webserver_and_daemon_wrote(played: Played, good: DagsterRun) -> None:
    """Whatever a run writes over it, except its status and tags that control nothing."""
    starting = made(played, good, DagsterRunStatus.STARTING)
    before = played.record(starting)
    forged = before | {
        "pipeline_code_origin": None,
        "external_pipeline_origin": None,
        "run_config": {"a": 1},
        "status": {"__enum__": "PipelineRunStatus.STARTING"},
        "tags": {
            "docker/image": "evil",
            "dagster/priority": "9",
            "colour": "blue",
            "dagster/will_retry": "true",
        },
    }
    change(played, starting, f"status = 'STARTED', run_body = $body${json.dumps(forged)}$body$, partition = 'x'")
    tags = before["tags"] | {"colour": "blue", "dagster/will_retry": "true"}
    status = {"__enum__": "PipelineRunStatus.STARTED"}
    assert played.record(starting) == before | {"status": status, "tags": tags}
    run = played.instance.get_run_by_id(starting.run_id)
    assert run is not None
    assert run.status == DagsterRunStatus.STARTED


@pytest.mark.parametrize(
    "what",
    [
        "status = 'QUEUED'",
        "status = 'STARTING'",
        "status = 'NO_SUCH'",
        "status = NULL",
        "run_body = jsonb_set(run_body::jsonb, '{tags,colour}', '5')",
        """run_body = jsonb_set(run_body::jsonb, '{tags,colour}', '["a"]')""",
        "run_body = jsonb_set(run_body::jsonb, '{tags,colour}', to_jsonb(repeat('x', 100000)))",
        "start_time = 'NaN'",
        "end_time = 'Infinity'",
        "end_time = -1",
        "update_timestamp = 'infinity'",
    ],
)
def test_a_run_cannot_say_of_itself_what_nobody_could_show(played: Played, bad: DagsterRun, what: str) -> None:
    before = played.record(bad)
    with refused("a run cannot set"):
        change(played, bad, what)
    assert played.record(bad) == before


@pytest.mark.parametrize(
    "key",
    [
        "docker/container_id",
        ".dagster/repository",
        "dagster/priority",
        "dagster-k8s/config",
        "user",
        "dagster/failure_reason",
        "dagster/will_retry",
    ],
)
def test_a_run_adds_no_tag_that_steers(played: Played, good: DagsterRun, key: str) -> None:
    with refused("row-level security"):
        played.sql("one", f"INSERT INTO run_tags (run_id, key, value) VALUES ('{good.run_id}', '{key}', 'x')")
    played.sql("one", f"INSERT INTO run_tags (run_id, key, value) VALUES ('{good.run_id}', 'colour', 'x')")


@pytest.mark.parametrize("reason", RunFailureReason)
def test_a_run_says_why_it_failed_in_dagsters_words(played: Played, bad: DagsterRun, reason: RunFailureReason) -> None:
    change(
        played, bad, f"run_body = jsonb_set(run_body::jsonb, '{{tags,dagster/failure_reason}}', '\"{reason.value}\"')"
    )
    assert played.record(bad)["tags"]["dagster/failure_reason"] == reason.value


def insert(played: Played, table: str, **values: str) -> None:
    played.sql("one", f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})")


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "'no JSON'"},
        {"event": "'{}'"},
        {"event": """'{"run_id": "another"}'"""},
        {"event": "{event} || repeat(' ', 1000000)"},
        {"partition": "repeat('x', 1001)"},
        {"step_key": "repeat('x', 1001)"},
        {"timestamp": "'infinity'"},
        {"id": "9"},
        {"asset_key": """'["other", "items"]'"""},
        {"asset_key": """'["one", {"a": 1}]'"""},
        {"asset_key": """'["one"'"""},
    ],
    ids=lambda wrong: " ".join(wrong.values()),
)
def test_an_event_is_one_that_can_be_listed(played: Played, good: DagsterRun, wrong: dict[str, str]) -> None:
    """And its number is the next one: a later one would hide others' events, or clash with them."""
    event = f"""'{{"run_id": "{good.run_id}"}}'"""
    right = {"run_id": f"'{good.run_id}'", "event": event, "timestamp": "now()"}
    insert(played, "event_logs", **right)
    with refused("row-level security|permission denied"):
        insert(played, "event_logs", **right | {key: value.replace("{event}", event) for key, value in wrong.items()})


def test_only_an_event_of_its_own_gets_tags(played: Played, good: DagsterRun) -> None:
    """Otherwise one could use up the tags of a future event, and so fail the run that stores it, whosever it is."""
    played.instance.report_runless_asset_event(AssetMaterialization(AssetKey(["third", "tagged"])))
    ((own,),) = played.sql("one", "SELECT max(id) FROM event_logs")
    ((foreign,),) = played.platform.sql("dagster", "SELECT max(id) FROM event_logs", "dagster")
    right = {"event_id": str(own), "asset_key": """'["one", "items"]'""", "key": "'a'", "value": "'b'"}
    insert(played, "asset_event_tags", **right)
    for event_id in (foreign, foreign + 1):
        with refused("row-level security"):
            insert(played, "asset_event_tags", **right | {"event_id": str(event_id)})
    for asset_key in ("""'["other", "items"]'""", """'["one", ["a"]]'"""):
        with refused("row-level security"):
            insert(played, "asset_event_tags", **right | {"asset_key": asset_key})


@pytest.mark.parametrize(
    "wrong",
    [
        {"asset_key": """'["one", ["a"]]'"""},
        {"asset_key": """'["one"]/other'"""},
        {"last_materialization": "'no JSON'"},
        {"last_materialization": "'{}' || repeat(' ', 100000)"},
        {"last_materialization_timestamp": "'infinity'"},
    ],
    ids=lambda wrong: " ".join(wrong.values()),
)
def test_an_asset_is_one_that_can_be_listed(played: Played, wrong: dict[str, str]) -> None:
    right = {"asset_key": """'["one", "listed"]'"""}
    with refused("row-level security"):
        insert(played, "asset_keys", **right | wrong)


def test_a_location_has_no_more_assets_than_everybody_can_read(played: Played) -> None:
    """Webserver, purge and monitor read the latest events of the assets of all locations."""
    many = """INSERT INTO asset_keys (asset_key) SELECT '["one", "many", "' || number || '"]'
      FROM generate_series(1, {}) AS number ON CONFLICT DO NOTHING"""
    ((before,),) = played.sql("one", "SELECT count(*) FROM asset_keys")
    try:
        with refused("a location has at most 1000 assets"):
            played.sql("one", many.format(1001 - before))
        played.sql("one", many.format(1000 - before))
        played.sql("one", many.format(10))  # which exist
        with refused("a location has at most 1000 assets"):
            insert(played, "asset_keys", asset_key="""'["one", "one", "more"]'""")
    finally:
        played.platform.sql(
            "dagster", """DELETE FROM asset_keys WHERE starts_with(asset_key, '["one", "many"')""", "dagster"
        )


@pytest.mark.parametrize("table", ["run_tags", "asset_event_tags"])
def test_neither_a_run_nor_an_event_has_more_tags_than_everybody_can_read(
    played: Played, good: DagsterRun, table: str
) -> None:
    """The UI's run filter offers the tags of all runs."""
    items = """'["one", "items"]'"""
    ((event,), *_) = played.sql("one", f"SELECT id FROM event_logs WHERE asset_key = {items}")
    of = {"run_id": f"'{good.run_id}'"} if table == "run_tags" else {"event_id": str(event), "asset_key": items}
    at, its = next(iter(of.items()))
    many = (
        f"INSERT INTO {table} ({', '.join(of)}, key) SELECT {', '.join(of.values())}, 'a' || generate_series(1, {{}})"
    )
    ((before,),) = played.sql("one", f"SELECT count(*) FROM {table} WHERE {at} = {its}")
    with refused("row-level security"):
        insert(played, table, **of, key="'long'", value="repeat('x', 10001)")
    with refused("row-level security"):
        insert(played, table, **of, key="repeat('x', 201)")
    with refused("a run or an event has at most 1000 tags"):
        played.sql("one", many.format(1001 - before))
    played.sql("one", many.format(1000 - before))
    with refused("a run or an event has at most 1000 tags"):
        insert(played, table, **of, key="'one more'")


def test_two_sessions_together_add_no_more_either(played: Played, good: DagsterRun) -> None:
    """The second waits for the first, whose rows it could not see."""
    run, unlocked = (made(played, good, DagsterRunStatus.STARTED) for _ in range(2))
    add = "INSERT INTO run_tags (run_id, key) SELECT '{}', '{}' || generate_series(1, 990)"
    with (
        ThreadPoolExecutor() as pool,
        closing(played.platform.connect("dagster-one", "dagster")) as second,
        closing(played.platform.connect("dagster-one", "dagster")) as first,
    ):
        first.autocommit = False
        first.cursor().execute(add.format(run.run_id, "a"))
        waiting = pool.submit(second.cursor().execute, add.format(run.run_id, "b"))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=1)
        played.instance.add_run_tags(unlocked.run_id, {"colour": "blue"})  # the daemon does not
        first.commit()
        with refused("a run or an event has at most 1000 tags"):
            waiting.result(timeout=10)


def test_nor_does_the_daemon_add_more_for_a_location(played: Played, good: DagsterRun) -> None:
    """The daemon writes what sensors answer, which could be what a location may not write itself."""
    instance = played.instance
    key, tags = AssetKey(["other", "items"]), {f"t{number}": "v" for number in range(1001)}
    with pytest.raises(DBAPIError, match="a run or an event has at most 1000 tags"):
        instance.add_run_tags(made(played, good, DagsterRunStatus.STARTED).run_id, tags)
    with pytest.raises(DBAPIError, match="the record of a run has at most 500,000 characters"):
        create_run_for_test(instance, run_config={"a": "x" * 500_000})
    with pytest.raises(DBAPIError, match="the key of a partition has at most 1000 characters"):
        instance.add_dynamic_partitions("other/long", ["x" * 1001])
    many = """INSERT INTO asset_keys (asset_key) SELECT '["other", "many", "' || generate_series(1, {}) || '"]'"""
    played.platform.sql("dagster", many.format(999), "dagster")
    try:
        instance.report_runless_asset_event(AssetMaterialization(key))
        instance.report_runless_asset_event(AssetMaterialization(key))  # which exists
        with pytest.raises(DBAPIError, match="a location has at most 1000 assets"):
            instance.report_runless_asset_event(AssetMaterialization(["other", "more"]))
        instance.report_runless_asset_event(AssetMaterialization(["third", "more"]))
    finally:
        played.platform.sql("dagster", "DELETE FROM asset_keys WHERE asset_key !~ '^\\[\"one\"'", "dagster")


def test_nor_more_partitions_than_a_page_can_list(played: Played) -> None:
    add = """INSERT INTO dynamic_partitions (partitions_def_name, partition)
      SELECT 'third/shards' || number % 2, number FROM generate_series({}, {}) AS number"""
    played.platform.sql("dagster", add.format(1, 100_000), "dagster")
    try:
        with pytest.raises(DBAPIError, match="a location has at most 100,000 keys of dynamic partitions"):
            played.instance.add_dynamic_partitions("third/other", ["one more"])
        played.instance.add_dynamic_partitions("third/shards1", ["1"])  # which exists
        played.instance.add_dynamic_partitions("other/shards", ["one more"])
    finally:
        played.platform.sql("dagster", "DELETE FROM dynamic_partitions WHERE partition <> 'x'", "dagster")


@pytest.mark.parametrize(("size", "most"), [(0, 2001), (495_000, 102)])
def test_a_location_has_no_more_runs_in_the_queue_than_the_daemon_can_read(
    played: Played, good: DagsterRun, size: int, most: int
) -> None:
    """It reads those of all locations every second, and sensors request hundreds."""
    played.platform.sql("dagster", "DELETE FROM runs WHERE status = 'QUEUED'", "dagster")
    played.platform.sql("dagster", QUEUED.format(most, size, good.run_id), "dagster")
    try:
        with pytest.raises(DBAPIError, match=rf"at most 2000 runs waiting, of 50 MB together: one has {most}"):
            made(played, good, DagsterRunStatus.NOT_STARTED)
        create_run_for_test(played.instance)  # of no location
    finally:
        played.platform.sql("dagster", "DELETE FROM runs WHERE status = 'QUEUED'", "dagster")
    made(played, good, DagsterRunStatus.NOT_STARTED)


QUEUED = """ALTER TABLE runs DISABLE TRIGGER limit_waiting;
  INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body)
    SELECT gen_random_uuid(), snapshot_id, pipeline_name, 'QUEUED', run_body || repeat(' ', {1})
    FROM runs, generate_series(1, {0}) WHERE run_id = '{2}';
  ALTER TABLE runs ENABLE TRIGGER limit_waiting"""


def test_nor_more_backfills(played: Played) -> None:
    """The daemon reads all of them at once."""

    def backfill(
        location: str, number: int = 0, status: BulkActionStatus = BulkActionStatus.REQUESTED
    ) -> PartitionBackfill:
        return PartitionBackfill(
            backfill_id=f"{location}{number}",
            status=status,
            from_failure=False,
            tags={},
            backfill_timestamp=0.0,
            asset_selection=[AssetKey([location, "items"])] if number % 2 else None,
            partition_set_origin=None if number % 2 else of_job(location),
        )

    def of_job(location: str) -> RemotePartitionSetOrigin:
        server = GrpcServerCodeLocationOrigin(host=location, port=4000, location_name=location)
        repository = RemoteRepositoryOrigin(code_location_origin=server, repository_name="__repository__")
        return RemotePartitionSetOrigin(repository_origin=repository, partition_set_name="all")

    try:
        for number in range(100):
            played.instance.add_backfill(backfill("third", number))
        with pytest.raises(DBAPIError, match="at most 100 backfills waiting, of 50 MB together: third has 101"):
            played.instance.add_backfill(backfill("third", 100))
        played.instance.add_backfill(backfill("other"))
        played.instance.update_backfill(backfill("third", status=BulkActionStatus.FAILING))
        with pytest.raises(DBAPIError, match="at most 100 backfills waiting"):
            played.instance.add_backfill(backfill("third", 100))
        played.instance.update_backfill(backfill("third", status=BulkActionStatus.CANCELED))
        played.instance.add_backfill(backfill("third", 100))
    finally:
        played.platform.sql("dagster", "DELETE FROM bulk_actions", "dagster")


@pytest.mark.parametrize(
    "wrong",
    [
        {"execution_status": "'NO_SUCH'"},
        {"asset_key": """'["other", "items"]'"""},
        {"asset_key": """'["one", ["a"]]'"""},
        {"run_id": "'another'"},
        {"evaluation_event": "'no JSON'"},
        {"evaluation_event": "'{}' || repeat(' ', 1000000)"},
        {"evaluation_event_timestamp": "'infinity'"},
    ],
    ids=lambda wrong: " ".join(wrong.values()),
)
def test_a_check_is_one_that_can_be_shown(played: Played, good: DagsterRun, wrong: dict[str, str]) -> None:
    right = {
        "asset_key": """'["one", "items"]'""",
        "run_id": f"'{good.run_id}'",
        "check_name": "'shown'",
        "execution_status": "'PLANNED'",
    }
    insert(played, "asset_check_executions", **right)
    with refused("row-level security"):
        insert(played, "asset_check_executions", **right | wrong)


# What it costs

LISTED = """{ runsOrError(limit: 25) { ... on Runs {
  results { id status jobName tags { key value } startTime endTime } } } }"""
TIMES = 3
MOST_SECONDS = 0.003
"""What the policies may add to a statement; the connection that Dagster opens for each takes longer."""


def test_what_the_policies_cost(played: Played) -> None:
    """Printed by `pytest -rP`. A run signs in as its location; for whoever lists runs, the owner, no policy applies."""
    figures: dict[str, dict[bool, list[float]]] = {"a run": {}, "its statements": {}, "25 runs listed": {}}
    for _ in range(TIMES):
        for on in (True, False):
            switch(played, on)
            try:
                run = played.run("good")
                record = played.instance.get_run_record_by_id(run.run_id)
                assert record is not None
                figures["a run"].setdefault(on, []).append((record.end_time or 0) - (record.start_time or 0))
                figures["its statements"].setdefault(on, []).append(statements(played, run))
                figures["25 runs listed"].setdefault(on, []).append(seconds(lambda: played.ask(LISTED)))
            finally:
                switch(played, on=True)
    for what, both in figures.items():
        with_them, without = min(both[True]), min(both[False])
        print(f"{what}: {with_them:.4f} s with the policies, {without:.4f} s without: {with_them / without:.2f}")
        # A run itself takes seconds, which vary by more than this on a busy machine.
        assert what == "a run" or (with_them - without) < 300 * MOST_SECONDS


def switch(played: Played, on: bool) -> None:
    """Switches the policies and the trigger on the tables of Dagster's storage on or off."""
    what = "ENABLE" if on else "DISABLE"
    tables = "; ".join(f"ALTER TABLE {table.name} {what} ROW LEVEL SECURITY" for table in storage.TABLES)
    played.platform.sql("dagster", f"{tables}; ALTER TABLE runs {what} TRIGGER keep_record", "dagster")


def statements(played: Played, run: DagsterRun) -> float:
    """Returns the seconds for what a run sends most, 100 times: store an event, read the record, write the status."""
    written = f"""('{run.run_id}', '{{"run_id": "{run.run_id}"}}', now())"""
    event = f"INSERT INTO event_logs (run_id, event, timestamp) VALUES {written} RETURNING id"
    read = f"SELECT run_body FROM runs WHERE run_id = '{run.run_id}'"
    write = f"UPDATE runs SET run_body = run_body, update_timestamp = now() WHERE run_id = '{run.run_id}'"
    many = "; ".join((event, read, write) * 100)
    return seconds(lambda: played.sql("one", f"{many}; SELECT 1"))


def seconds(what: Callable[[], object]) -> float:
    started = time.monotonic()
    what()
    return time.monotonic() - started


# Beside it


def test_webserver_and_daemon_wait_for_no_location(played: Played, good: DagsterRun) -> None:
    """Not for long, at least: a location can lock the rows of its own runs."""
    assert played.platform.sql("dagster", "SHOW lock_timeout", "dagster") == [("30s",)]


def test_policies_are_renewed_while_runs_go_on(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that stores a tag locks that table first, and then the record of its run."""
    monkeypatch.setattr(storage, "FUNCTIONS", f"{storage.FUNCTIONS}\n\nSELECT 'another version'")
    with (
        ThreadPoolExecutor() as pool,
        closing(played.platform.connect("dagster", "dagster")) as renewing,
        closing(played.platform.connect("dagster", "dagster")) as running,
    ):
        running.cursor().execute("BEGIN; LOCK TABLE run_tags IN ROW EXCLUSIVE MODE")
        renewed = pool.submit(storage.wall_off, renewing)
        with pytest.raises(TimeoutError):
            renewed.result(timeout=2)
        running.cursor().execute("SELECT run_id FROM runs; COMMIT")
        renewed.result(timeout=30)
    monkeypatch.undo()
    with closing(played.platform.connect("dagster", "dagster")) as opened:
        storage.wall_off(opened)


def test_policies_are_renewed_where_they_changed(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    looser = storage.Table("kvs")
    with closing(played.platform.connect("dagster", "dagster")) as opened:
        monkeypatch.setattr(storage, "TABLES", (*storage.TABLES[:-4], looser, *storage.TABLES[-3:]))
        storage.wall_off(opened)
    played.instance.run_storage.set_cursor_values({"x": "y"})
    assert played.sql("one", "SELECT value FROM kvs WHERE key = 'x'") == [("y",)]
    monkeypatch.undo()
    with closing(played.platform.connect("dagster", "dagster")) as opened:
        storage.wall_off(opened)
    assert played.sql("one", "SELECT value FROM kvs") == []
