"""The fixtures of every location's tests. The location must provide the fixture ``location``.

pytest_plugins = "ingest_testing.plugin"

@pytest.fixture(scope="session")
def location() -> Location[GitHub]:
    return GITHUB
"""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa

from ingest_shared.reading import api as http
from ingest_testing.location import AnyLocation
from ingest_testing.sandbox import TINY, Origin, Sandboxes
from ingest_testing.warehouse import DELTA, MARIADB, POSTGRES, Warehouse

# A busy machine is no error; the examples of a failure stand in its report.
hypothesis.settings.register_profile("here", deadline=None, database=None)
hypothesis.settings.load_profile("here")

StartOrigin = Callable[..., Any]
EXHAUSTIVE = "exhaustive"
LEFT_OUT = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = 0


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        item.config.stash[LEFT_OUT] += item.get_closest_marker(EXHAUSTIVE) is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells the process that reports what it did not run, since each collects all tests."""
    if output := getattr(session.config, "workeroutput", None):
        output[EXHAUSTIVE] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    left_out = getattr(node, "workeroutput", {}).get(EXHAUSTIVE, 0)  # nothing from a worker that crashed
    node.config.stash[LEFT_OUT] = max(node.config.stash[LEFT_OUT], left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash[LEFT_OUT]:
        terminalreporter.write_line(f"{left_out} tests marked `{EXHAUSTIVE}` were left to CI, which runs all")


def pytest_collection_finish() -> None:
    """Spares the garbage collector what was imported: looking through it took a tenth of the CPU of the tests."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """DuckDB reports as leaks, in 40 lines, what the garbage collector may not free when the interpreter ends."""
    gc.unfreeze()
    gc.callbacks.clear()  # Hypothesis leaves one, which holds what it was imported with


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps tests from reading the developer's settings and credentials, and from waiting long for retries."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DLT_PROJECT_DIR", "DLT_DATA_DIR", "DAGSTER_HOME", "HOME", "INGEST_LIMITS_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        for name in list(os.environ):
            if name.startswith(("SOURCES__", "DESTINATION__")) or name in ("INGEST_DESTINATION", "INGEST_DATA_DIR"):
                patch.delenv(name)
        patch.setattr(http, "FIRST_BACKOFF", 0.01)
        yield


@pytest.fixture(scope="session")
def run_origin(location: AnyLocation) -> Iterator[Callable[..., Any]]:
    """Runs an origin for a block: a fresh world of the location's size, or of another size."""
    sandboxes = Sandboxes()

    @contextmanager
    def run(size: float = location.size, *options: str) -> Iterator[Origin]:
        with location.origin.running(sandboxes, size, *location.options, *options) as origin:
            origin.advance()  # no seeded row lies in the second of the first sync
            yield origin

    yield run
    sandboxes.close()


@pytest.fixture
def start_origin(run_origin: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Starts origins that end with the test."""
    with ExitStack() as stack:
        yield lambda *size_and_options: stack.enter_context(run_origin(*size_and_options))


@pytest.fixture
def origin(start_origin: Callable[..., Any]) -> Any:
    """A world for one test."""
    return start_origin()


@pytest.fixture
def warehouse(location: AnyLocation, origin: Any, tmp_path: Path) -> Warehouse[Any]:
    """An empty warehouse."""
    return Warehouse(location, origin, tmp_path)


@pytest.fixture(scope="session")
def first_load(
    location: AnyLocation, run_origin: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse[Any]]:
    """The warehouse of a fresh world after its first load, made once; the counts of that load's requests remain."""
    with run_origin() as origin:
        warehouse = Warehouse(location, origin, tmp_path_factory.mktemp("first"))
        warehouse.sync()
        yield warehouse


@pytest.fixture(scope="session")
def tiny_load(
    location: AnyLocation, run_origin: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Warehouse[Any]:
    """The warehouse of a tiny world after its first load, made once, as the start of histories."""
    with run_origin(TINY) as origin:
        warehouse = Warehouse(location, origin, tmp_path_factory.mktemp("tiny"))
        if location.seen_first:
            warehouse.sync()
    return warehouse


@pytest.fixture
def synced(first_load: Warehouse[Any], origin: Any, tmp_path: Path) -> Warehouse[Any]:
    """A warehouse for one test, after the first load."""
    origin.advance()  # its world is as old as that of the first load, and what changes is younger
    return first_load.copy(origin, tmp_path)


@pytest.fixture(scope="module")
def shared_origin(run_origin: Callable[..., Any]) -> Iterator[Any]:
    """One world for all tests of a module, each of which changes it further."""
    with run_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def mirrored(
    first_load: Warehouse[Any], shared_origin: Any, tmp_path_factory: pytest.TempPathFactory
) -> Warehouse[Any]:
    """The warehouse of the module's world, after a first load."""
    shared_origin.advance()
    return first_load.copy(shared_origin, tmp_path_factory.mktemp("warehouse"))


@pytest.fixture(scope="session")
def make_postgres() -> Callable[[], dict[str, str]]:
    """Creates an empty database in a server; returns the settings that make it the warehouse."""
    from ingest_testing.databases import new_database, postgres  # noqa: PLC0415, for the few that need a server

    def make() -> dict[str, str]:
        address = new_database(postgres()).render_as_string(hide_password=False)
        return {"INGEST_DESTINATION": "postgres", POSTGRES: address}

    return make


@pytest.fixture
def in_postgres(
    location: AnyLocation, origin: Any, tmp_path: Path, make_postgres: Callable[[], dict[str, str]]
) -> Warehouse[Any]:
    """An empty warehouse in PostgreSQL."""
    return Warehouse(location, origin, tmp_path, **make_postgres())


@pytest.fixture
def in_mariadb(location: AnyLocation, origin: Any, tmp_path: Path) -> Warehouse[Any]:
    """An empty warehouse in MariaDB, which has one for each location."""
    from ingest_testing.databases import mariadb  # noqa: PLC0415, for the few that need a server

    with sa.create_engine(mariadb()).connect() as server:
        for (name,) in server.exec_driver_sql(f"SHOW DATABASES LIKE '{location.name}_raw%%'").fetchall():
            server.exec_driver_sql(f"DROP DATABASE {name}")
    address = mariadb().set(host="localhost").render_as_string(hide_password=False)  # dlt wants one
    return Warehouse(location, origin, tmp_path, INGEST_DESTINATION="mariadb", **{MARIADB: address})


@pytest.fixture
def in_delta(location: AnyLocation, origin: Any, tmp_path: Path) -> Warehouse[Any]:
    """An empty warehouse of Delta tables in a folder."""
    return Warehouse(location, origin, tmp_path, INGEST_DESTINATION="delta", **{DELTA: str(tmp_path / "delta")})
