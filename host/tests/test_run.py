"""What a run's container executes is its location's code, whatever the run's record says."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, job, op
from dagster._cli import api
from dagster._core.code_pointer import CodePointer, FileCodePointer, ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from ingest_host import launch
from ingest_host.run import LOADS, OPENS, load_from, open_once

from .conftest import Platform


@op
def say() -> None:
    """Returns what :data:`CODE` prints, for the plan of a run."""


@job
def work() -> None:
    say()


MODULE = "probe_location.definitions"
CODE = """
import gc
import os
from pathlib import Path
import dagster as dg

@dg.op
def say():
    Path(os.environ["TOLD"]).write_text({told})

@dg.job(executor_def=dg.in_process_executor)
def work():
    say()

defs = dg.Definitions(jobs=[work])
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def write(folder: Path, told: str) -> Path:
    """A location whose job writes down the value of an expression."""
    module = folder / "probe_location"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "definitions.py").write_text(CODE.format(told=told))
    return folder


def forged(tmp_path: Path, which: str) -> CodePointer:
    """What a record may say about where the code is."""
    evil = write(tmp_path / "evil", repr("evil"))
    pointers: dict[str, Callable[[], CodePointer]] = {
        "working directory": lambda: ModuleCodePointer(MODULE, "defs", str(evil)),
        "file": lambda: FileCodePointer(str(evil / "probe_location" / "definitions.py"), "defs"),
    }
    return pointers[which]()


def executed(
    instance: DagsterInstance,
    tmp_path: Path,
    pointer: CodePointer,
    *,
    by_dagster_alone: bool,
    told_by_own: str = repr("own"),
) -> str:
    """Executes a run; returns whose code ran, by its own account."""

    own = write(tmp_path / "own", told_by_own)
    origin = JobPythonOrigin("work", RepositoryPythonOrigin(sys.executable, pointer))
    run = instance.create_run_for_job(work, status=DagsterRunStatus.STARTING, job_code_origin=origin)
    command = ["-c", launch.RUN.read_text(), "execute_run", MODULE, run.run_id, serialize_value(instance.get_ref())]
    if by_dagster_alone:
        true = JobPythonOrigin("work", RepositoryPythonOrigin(sys.executable, ModuleCodePointer(MODULE, "defs")))
        arguments = ExecuteRunArgs(true, run.run_id, instance.get_ref(), set_exit_code_on_failure=True)
        command = ["-m", "dagster", "api", "execute_run", serialize_value(arguments)]
    told = tmp_path / "told"
    environment = os.environ | {"PYTHONPATH": str(own), "TOLD": str(told), "DAGSTER_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    return told.read_text() if told.exists() else done.stdout + done.stderr


@pytest.mark.parametrize("which", ["working directory", "file"])
def test_the_code_is_the_locations_own(instance: DagsterInstance, tmp_path: Path, which: str) -> None:
    assert executed(instance, tmp_path, forged(tmp_path, which), by_dagster_alone=False) == "own"


@pytest.mark.parametrize("which", ["working directory", "file"])
def test_dagster_alone_executes_what_the_record_says(instance: DagsterInstance, tmp_path: Path, which: str) -> None:
    """Whatever its own command says: once this fails, `run.py` is no longer needed."""
    assert executed(instance, tmp_path, forged(tmp_path, which), by_dagster_alone=True) == "evil"


def test_the_garbage_collector_is_on_in_steps_but_spared_what_dagster_imported(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    told = "f'{gc.isenabled()}, {gc.get_freeze_count() > 100_000}'"
    pointer = ModuleCodePointer(MODULE, "defs")
    assert executed(instance, tmp_path, pointer, by_dagster_alone=False, told_by_own=told) == "True, True"


EVENTS = 100
RECORDED = f"[dg.get_dagster_logger().info('a line') for _ in range({EVENTS})] and 'own'"
"""Makes a run record that many events."""
CUT_OFF = f"(__import__('psycopg2').connect({{superuser!r}}).cursor().execute({{statement!r}}), {RECORDED})[1]"
"""Ends the run's connections first, as a restart of Postgres does."""


@pytest.fixture
def on_postgres(platform: Platform) -> Iterator[DagsterInstance]:
    """The platform's instance; each run leaves nothing behind."""
    assert platform
    with DagsterInstance.get() as instance:
        yield instance
        instance.wipe()


def events_of(instance: DagsterInstance) -> int:
    """How many lines the only run has recorded."""
    (run,) = instance.get_runs()
    assert run.status is DagsterRunStatus.SUCCESS
    return sum(entry.user_message == "a line" for entry in instance.all_logs(run.run_id))


def test_a_run_keeps_its_connections(on_postgres: DagsterInstance, platform: Platform, tmp_path: Path) -> None:
    pointer = ModuleCodePointer(MODULE, "defs")
    opened = []
    for by_dagster_alone in (False, True):
        before = sessions(platform)
        folder = tmp_path / str(by_dagster_alone)
        told = executed(on_postgres, folder, pointer, by_dagster_alone=by_dagster_alone, told_by_own=RECORDED)
        assert told == "own"
        assert events_of(on_postgres) == EVENTS
        opened.append(sessions(platform) - before)
        on_postgres.wipe()
    kept, by_itself = opened
    assert kept < EVENTS / 2
    assert by_itself > EVENTS, "Dagster keeps them by itself: `open_once` is no longer needed"


def sessions(platform: Platform) -> int:
    """How many connections to Dagster's database have ever been opened."""
    ((count,),) = platform.sql("postgres", "SELECT sessions FROM pg_stat_database WHERE datname = 'dagster'", "dagster")
    return int(count)


def test_a_run_goes_on_when_postgres_was_restarted(on_postgres: DagsterInstance, postgres: str, tmp_path: Path) -> None:
    statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dagster'"
    told = CUT_OFF.format(superuser=f"host={postgres} user=postgres dbname=postgres", statement=statement)
    pointer = ModuleCodePointer(MODULE, "defs")
    assert executed(on_postgres, tmp_path, pointer, by_dagster_alone=False, told_by_own=told) == "own"
    assert events_of(on_postgres) == EVENTS


def test_a_dagster_that_opens_it_otherwise_starts_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(api, OPENS)
    with pytest.raises(AttributeError, match=OPENS):
        open_once()


def test_a_dagster_that_calls_it_otherwise_starts_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would load the record's code again, and nobody would notice."""
    monkeypatch.delattr(api, LOADS)
    with pytest.raises(AttributeError, match=LOADS):
        load_from(MODULE)


def test_a_failed_run_exits_with_one(instance: DagsterInstance, tmp_path: Path) -> None:
    own = write(tmp_path / "own", repr("own"))
    origin = JobPythonOrigin("work", RepositoryPythonOrigin(sys.executable, ModuleCodePointer(MODULE, "defs")))
    run = instance.create_run_for_job(work, status=DagsterRunStatus.STARTING, job_code_origin=origin)
    command = ["-c", launch.RUN.read_text(), "execute_run", MODULE, run.run_id, serialize_value(instance.get_ref())]
    environment = os.environ | {"PYTHONPATH": str(own), "TOLD": "/no/such/folder"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, check=False)
    assert done.returncode == 1
