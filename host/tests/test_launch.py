"""The launch service: what it starts, and that it starts nothing else. The engine is played, HTTP is not."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import docker
import psycopg2
import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._serdes import serialize_value
from requests import ReadTimeout

from ingest_host import launch
from ingest_host.launch import Handler, Launch, Refused, Run, run_container

DAGSTER_YAML = Path(__file__).parents[2] / "dagster.yaml"
SERVICE = Path(__file__).parents[2] / "locations" / "service.yaml"
ID = "0b5e7c1a-3d3f-4f63-9d4e-6a1f0c2b7d10"
RUN = Run(ID, "STARTING", "github", "ingest-github:new")
NOW = datetime.now(UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class PlayedContainer:
    """What the service uses of a container."""

    def __init__(
        self,
        status: str = "created",
        exit_code: int = 0,
        ago: timedelta = timedelta(),
        run_id: str = ID,
        location: str = "github",
    ) -> None:
        self.label = f"dagster/run_id={run_id}"
        self.location = f"ingest.location={location}"
        self.id = "0123456789abcdef"
        self.name = "a container"
        self.status = status
        at = f"{NOW - ago:%Y-%m-%dT%H:%M:%S}.123456789Z"
        finished = "0001-01-01T00:00:00Z" if status == "created" else at
        self.attrs: dict[str, Any] = {
            "Created": at if status == "created" else f"{NOW - 365 * DAY:%Y-%m-%dT%H:%M:%S}Z",
            "State": {
                "Status": status,
                "ExitCode": exit_code,
                "FinishedAt": finished,
                "StartedAt": f"{NOW:%Y-%m-%dT%H:%M:%S}Z",
                "OOMKilled": False,
                "Error": "",
            },
            "HostConfig": {"Memory": 2 * 2**30, "RestartPolicy": {"Name": "no"}},
            "RestartCount": 0,
        }
        self.labels = {launch.LOCATION_LABEL: location}
        self.printed = b""
        self.problem: Exception | None = None
        self.calls: list[str] = []

    def start(self) -> None:
        self._do("start")
        self.status = "running"

    def stop(self, *, timeout: int) -> None:
        assert timeout == launch.STOP_SECONDS
        self._do("stop")

    def logs(self, *, tail: int) -> bytes:
        return b"\n".join(self.printed.splitlines()[-tail:])

    def remove(self, *, v: bool, force: bool = False) -> None:
        assert v
        self.calls.append("remove")
        if self.problem and not force:
            raise self.problem

    def _do(self, what: str) -> None:
        self.calls.append(what)
        if self.problem:
            raise self.problem


class PlayedEngine:
    """One run container, and the code server of github: `new` is its image, `old` its previous one."""

    def __init__(self) -> None:
        self.containers = self
        self.api: Any = PlayedApi()
        self.made: dict[str, Any] = {}
        self.created = PlayedContainer()
        self.there: list[PlayedContainer] = []

    def ping(self) -> bool:
        return True

    def create(self, **arguments: Any) -> PlayedContainer:
        self.made = arguments
        self.there.append(self.created)
        return self.created

    def list(self, *, all: bool, filters: dict[str, Any], ignore_removed: bool) -> list[PlayedContainer]:  # noqa: A002
        assert all
        assert ignore_removed
        if filters["label"] == "com.docker.compose.project=ingest":
            return [one for one in self.there if f"{launch.COMPOSE}.service" in one.labels]
        assert "ingest.project=ingest" in filters["label"]
        runs = [label for label in filters["label"] if label.startswith("dagster/run_id=")]
        locations = [label for label in filters["label"] if label.startswith("ingest.location=")]
        found = [one for one in self.there if not runs or one.label in runs]
        found = [one for one in found if not locations or one.location in locations]
        return [one for one in found if one.status in filters.get("status", [one.status])]


class PlayedApi:
    """Returns the labels of code servers."""

    def containers(self, *, all: bool, filters: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: A002
        assert all
        assert filters["label"][0] == "com.docker.compose.project=ingest"
        tags = {"github": "new,old", "stripe": "new", "webserver": None}
        name = filters["label"][1].removeprefix("com.docker.compose.service=")
        labels = {"ingest.tags": tags[name]} if tags.get(name) else {}
        return [{"Labels": labels}] if name in tags else []


@pytest.fixture
def engine() -> PlayedEngine:
    return PlayedEngine()


@pytest.fixture
def service(engine: PlayedEngine) -> Launch:
    service = Launch(cast(docker.DockerClient, engine), "ingest")
    service.__dict__["instance"] = "{}"  # what dagster.yaml says
    return service


# The container


def made(run: Run = RUN) -> dict[str, Any]:
    return run_container("ingest", "ingest-github-run", run, ["python"])


def test_a_run_has_what_belongs_to_its_location_alone() -> None:
    assert made()["network"] == "ingest_github"
    mounts = [(one["Source"], one["Target"], one["ReadOnly"], one["Type"]) for one in made()["mounts"]]
    assert mounts == [
        ("ingest_github-secrets", "/run/secrets", True, "volume"),
        ("ingest_runs", "/var/lib/runs", False, "volume"),
        (None, "/var/lib/ingest", False, "volume"),
    ]
    assert made()["mounts"][1]["VolumeOptions"]["Subpath"] == "github"
    assert made()["environment"]["DESTINATION__POSTGRES__CREDENTIALS__USERNAME"] == "github"
    assert made()["environment"]["INGEST_SECRET_COMMAND"] == "make secret LOCATION=github NAME={setting}"


def test_two_runs_of_a_location_count_the_pace_of_its_api_together() -> None:
    """And not with another location's."""
    assert made()["environment"]["INGEST_LIMITS_DIR"].startswith(made()["mounts"][1]["Target"])
    other = made(Run(ID, "STARTING", "stripe", "ingest-stripe:new"))
    assert other["mounts"][1]["VolumeOptions"]["Subpath"] == "stripe"


def test_the_catalogue_names_the_warehouse_that_runs_load_into() -> None:
    """The code server creates the catalogue."""
    server = yaml.safe_load(SERVICE.read_text())["services"]["server"]
    assert server["environment"]["INGEST_DESTINATION"] == made()["environment"]["INGEST_DESTINATION"]


def test_a_run_can_do_nothing_to_the_machine() -> None:
    assert made()["read_only"]
    assert made()["init"]
    assert made()["cap_drop"] == ["ALL"]
    assert made()["security_opt"] == ["no-new-privileges:true"]
    assert made()["mem_limit"] == "2g"
    assert made()["pids_limit"] > 0
    assert made()["log_config"].config == {"max-size": "10m", "max-file": "3"}
    assert (
        not {"privileged", "cap_add", "devices", "user", "ports", "network_mode", "pid_mode", "volumes"} & made().keys()
    )
    assert {one["Type"] for one in made()["mounts"]} == {"volume"}
    assert not [name for name in made()["environment"] if "PASSWORD" in name or "TOKEN" in name or "KEY" in name]


# The record


def record(**code: Any) -> DagsterRun:
    """A run of github's as Dagster creates it."""
    server = GrpcServerCodeLocationOrigin(host="github", port=4000, location_name="github")
    pointer = ModuleCodePointer("github_location.definitions", "defs")
    origin = RepositoryPythonOrigin("python", pointer, container_image="ingest-github:new")._replace(**code)
    with DagsterInstance.ephemeral() as instance:
        run: DagsterRun = create_run_for_test(
            instance,
            "github_ingest",
            status=DagsterRunStatus.STARTING,
            remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(server, "__repository__"), "github_ingest"),
            job_code_origin=JobPythonOrigin("github_ingest", origin),
        )
    return run


@pytest.fixture
def stored(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes the body of the run to a real Postgres, as in Dagster's table."""
    address = f"host={postgres} user=postgres options='-c search_path=stored'"
    with closing(psycopg2.connect(address)) as database, database.cursor() as cursor:
        database.autocommit = True
        cursor.execute("CREATE SCHEMA stored")
        cursor.execute("CREATE TABLE runs (run_id varchar, status varchar, run_body text)")
        monkeypatch.setattr(launch, "STORAGE", address)
        yield lambda body: cursor.execute("INSERT INTO runs VALUES (%s, 'STARTING', %s)", [ID, body])
        cursor.execute("DROP SCHEMA stored CASCADE")


def test_location_and_image_are_read_from_the_record_that_dagster_writes(stored: Callable[[str], None]) -> None:
    with pytest.raises(Refused, match="there is no such run"):
        launch.stored_run(ID)
    stored(serialize_value(record()))
    assert launch.stored_run(ID) == RUN


@pytest.mark.parametrize("location", ['"../github"', '["github"]', "{}", "null", '""', '"github\\n"'])
def test_a_record_that_names_no_location_is_refused(stored: Callable[[str], None], location: str) -> None:
    stored(serialize_value(record()).replace('"location_name": "github"', f'"location_name": {location}'))
    with pytest.raises(Refused, match="its record names no location"):
        launch.stored_run(ID)


@pytest.mark.parametrize("body", ["[]", "{}", "1"])
def test_so_is_one_that_is_none(stored: Callable[[str], None], body: str) -> None:
    stored(body)
    with pytest.raises(Refused, match="its record names no location"):
        launch.stored_run(ID)


def test_of_a_name_that_stands_there_twice_both_read_the_same(stored: Callable[[str], None]) -> None:
    """Otherwise one would be checked and another one run."""
    body = serialize_value(record()).replace('"container_image": ', '"container_image": "other", "container_image": ')
    stored(body)
    assert launch.stored_run(ID).image == "ingest-github:new"
    assert json.loads(body)["pipeline_code_origin"]["repository_origin"]["container_image"] == "ingest-github:new"


# Start, stop, look


def test_what_is_started_follows_from_the_locations_name(service: Launch, engine: PlayedEngine) -> None:
    assert service.start(RUN, "execute_run") == {"container": PlayedContainer().id, "image": "ingest-github:new"}
    assert engine.created.calls == ["start"]
    python, option, program, *arguments = engine.made["command"]
    assert (python, option) == ("python", "-c")
    assert program == launch.RUN.read_text()
    assert arguments == ["execute_run", "github_location.definitions", ID, "{}"]
    assert engine.made["labels"] == {
        "ingest.project": "ingest",
        "ingest.location": "github",
        "dagster/run_id": ID,
        "com.docker.compose.project": "ingest",  # its image has those of the project that built it
        "com.docker.compose.service": "github",
    }


def test_a_run_keeps_the_image_that_was_active_when_it_was_queued(service: Launch, engine: PlayedEngine) -> None:
    assert service.start(Run(ID, "STARTING", "github", "ingest-github:old"), "execute_run")["image"].endswith(":old")
    assert engine.made["image"] == "ingest-github:old"


@pytest.mark.parametrize(
    "image",
    ["ingest-stripe:new", "ingest-github:never-active", "ingest-github-evil:new", "ingest-host:new", "postgres", ""],
)
def test_no_other_image_gets_the_secrets_of_a_location(service: Launch, engine: PlayedEngine, image: str) -> None:
    with pytest.raises(Refused, match="not an active image of github: those are ingest-github:new, ingest-github:old"):
        service.start(Run(ID, "STARTING", "github", image), "execute_run")
    assert engine.made == {}


@pytest.mark.parametrize("location", ["webserver", "gone"])
def test_nothing_is_started_for_what_is_no_location(service: Launch, engine: PlayedEngine, location: str) -> None:
    with pytest.raises(Refused, match="is not an active image"):
        service.start(Run(ID, "STARTING", location, f"ingest-{location}:new"), "execute_run")
    assert engine.made == {}


@pytest.mark.parametrize("status", ["QUEUED", "NOT_STARTED", "SUCCESS", "FAILURE", "CANCELED"])
def test_a_run_that_nobody_launches_is_not_started(service: Launch, engine: PlayedEngine, status: str) -> None:
    with pytest.raises(Refused, match=f"it is {status}"):
        service.start(Run(ID, status, "github", "ingest-github:new"), "execute_run")
    assert engine.made == {}


def test_who_asks_twice_gets_one_container(service: Launch, engine: PlayedEngine) -> None:
    first = service.start(RUN, "execute_run")
    engine.made = {}
    assert service.start(RUN, "execute_run") == first
    assert engine.made == {}


def test_runs_that_say_they_have_ended_take_no_more_memory_than_others(service: Launch, engine: PlayedEngine) -> None:
    """The queue believes them, and starts the next."""
    engine.there = [
        *(PlayedContainer("running", run_id=f"another {number}") for number in range(launch.CONTAINERS)),
        *(PlayedContainer("running", run_id=f"stripe's {number}", location="stripe") for number in range(3)),
        PlayedContainer("exited", run_id="before"),
    ]
    with pytest.raises(Refused, match="github already has 6 containers running"):
        service.start(RUN, "execute_run")
    assert engine.made == {}
    engine.there[0].status = "exited"
    service.start(RUN, "execute_run")
    assert engine.created.calls == ["start"]


def test_a_location_may_have_twice_the_containers_of_the_runs_that_it_may_have() -> None:
    limits = yaml.safe_load(DAGSTER_YAML.read_text())["concurrency"]["runs"]["tag_concurrency_limits"]
    (runs,) = [one["limit"] for one in limits if one["key"] == "dagster/code_location"]
    assert 2 * runs == launch.CONTAINERS


def test_a_run_that_is_resumed_gets_a_container_of_another_name(service: Launch, engine: PlayedEngine) -> None:
    """If two requests start a run at the same time, the engine refuses the second: the name is taken."""
    service.start(RUN, "execute_run")
    first = engine.made["name"]
    engine.there[0].status = "exited"
    service.start(RUN, "resume_run")
    assert first == f"ingest-github-run-{ID}-1"
    assert engine.made["name"] == f"ingest-github-run-{ID}-2"


@pytest.mark.parametrize("problem", [docker.errors.APIError("no such network"), OSError("the engine is gone")])
def test_where_it_cannot_start_nothing_of_it_stays(service: Launch, engine: PlayedEngine, problem: Exception) -> None:
    engine.created.problem = problem
    with pytest.raises(type(problem), match=str(problem)):
        service.start(RUN, "execute_run")
    assert engine.created.calls == ["start", "remove"]


def test_what_runs_of_a_run_is_stopped(service: Launch, engine: PlayedEngine) -> None:
    another = PlayedContainer("running", run_id="another run's")
    engine.there = [PlayedContainer("exited"), PlayedContainer("running"), another]
    assert service.stop(ID) == {"stopped": True}
    until = time.monotonic() + 5
    while time.monotonic() < until and not engine.there[1].calls:
        time.sleep(0.01)
    assert [one.calls for one in engine.there] == [[], ["stop"], []]
    engine.there = []
    assert service.stop(ID) == {"stopped": False}


def test_the_newest_container_is_looked_at(service: Launch, engine: PlayedEngine) -> None:
    assert service.look(ID) == {}
    older, newer = PlayedContainer("exited", 137), PlayedContainer("running")
    newer.attrs["Created"] = f"{NOW:%Y-%m-%dT%H:%M:%S}Z"
    engine.there = [older, newer]
    assert service.look(ID) == {"container": newer.id, "status": "running"}


def reason(service: Launch, engine: PlayedEngine, container: PlayedContainer) -> str:
    engine.there = [container]
    return str(service.look(ID)["reason"])


def test_a_run_that_ended_for_lack_of_memory_says_so_and_names_its_limit(service: Launch, engine: PlayedEngine) -> None:
    died = PlayedContainer("exited", 137)
    died.attrs["State"]["OOMKilled"] = True
    assert reason(service, engine, died) == "out of memory: 2 GB"


def test_one_that_ended_otherwise_says_what_it_printed_last(service: Launch, engine: PlayedEngine) -> None:
    died = PlayedContainer("exited", 1)
    died.printed = b"first\n" * 100 + b"\nImportError: no module\n" + b"x" * 10_000 + b"\xff\n"
    first, *lines = reason(service, engine, died).splitlines()
    assert first == "its container ended with exit code 1"
    assert lines[-2:] == ["ImportError: no module", "x" * launch.LONGEST_LINE]
    assert len(lines) < launch.LAST_LINES
    assert reason(service, engine, PlayedContainer("exited", 137)).endswith("exit code 137 (killed by SIGKILL)")


def test_the_services_are_told_with_what_tells_ill_from_well(service: Launch, engine: PlayedEngine) -> None:
    server, setup, once = PlayedContainer("restarting", 1), PlayedContainer("exited"), PlayedContainer("running")
    for container, name in ((server, "github"), (setup, "setup"), (once, "setup")):
        container.labels = {"com.docker.compose.service": name, "com.docker.compose.oneoff": "False"}
    once.labels["com.docker.compose.oneoff"] = "True"
    server.attrs |= {"RestartCount": 7, "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}}
    server.attrs["State"]["Health"] = {"Status": "unhealthy"}
    engine.there = [server, setup, once, PlayedContainer("running")]
    told = service.services()["services"]
    assert [one["service"] for one in told] == ["github", "setup"]
    assert told[0] == {
        "service": "github",
        "keeps": True,
        "status": "restarting",
        "health": "unhealthy",
        "restarts": 7,
        "exit_code": 1,
        "started": int(NOW.timestamp()),
    }
    assert not told[1]["keeps"]


# Purge


@pytest.mark.parametrize(
    ("status", "exit_code", "ago", "removed"),
    [
        ("exited", 0, 2 * HOUR, True),
        ("exited", 0, HOUR / 2, False),
        ("exited", 1, 6 * DAY, False),
        ("exited", 137, 8 * DAY, True),
        ("dead", 137, 8 * DAY, True),
        ("created", 0, HOUR / 2, False),
        ("created", 0, 2 * HOUR, True),
        ("running", 0, 8 * DAY, False),
    ],
)
def test_containers_stay_as_long_as_their_end_asks(
    service: Launch, engine: PlayedEngine, status: str, exit_code: int, ago: timedelta, *, removed: bool
) -> None:
    engine.there = [PlayedContainer(status, exit_code, ago)]
    assert service.purge(NOW) == {"removed": int(removed)}
    assert engine.there[0].calls == ["remove"] * removed


def test_a_location_has_no_more_ended_containers_than_the_engine_can_hold(
    service: Launch, engine: PlayedEngine
) -> None:
    """The newest stay; others' do not count."""
    ages = [DAY + minutes * HOUR / 60 for minutes in range(launch.KEEP_ENDED + 2)]
    theirs = PlayedContainer("exited", 1, 6 * DAY, location="stripe")
    engine.there = [theirs, *(PlayedContainer("exited", 1, ago) for ago in ages)]
    assert service.purge(NOW) == {"removed": 2}
    assert [one for one in engine.there if one.calls] == engine.there[-2:]


@pytest.mark.parametrize(
    "problem",
    [
        docker.errors.APIError("409", explanation="removal is already in progress"),
        ReadTimeout("it has millions of files"),
    ],
)
def test_a_container_that_cannot_be_removed_keeps_no_other(
    service: Launch, engine: PlayedEngine, problem: Exception
) -> None:
    engine.there = [PlayedContainer("exited", 0, 2 * HOUR) for _ in range(2)]
    engine.there[0].problem = problem
    assert service.purge(NOW) == {"removed": 1}


# HTTP


@pytest.fixture
def port(service: Launch, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(Handler, "launch", service, raising=False)
    monkeypatch.setattr(Handler, "token", "the-token", raising=False)
    monkeypatch.setattr(Handler, "watch_token", "the-monitors", raising=False)
    monkeypatch.setattr(launch, "stored_run", lambda run_id: Run(run_id, "STARTING", "github", "ingest-github:new"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def ask(port: int, method: str, path: str, token: str = "the-token", body: str = "") -> tuple[int, Any]:  # noqa: S107
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or "null")


def test_the_three_verbs(port: int, engine: PlayedEngine) -> None:
    assert ask(port, "POST", f"/runs/{ID}/execute_run")[0] == 200
    assert ask(port, "GET", f"/runs/{ID}") == (200, {"container": PlayedContainer().id, "status": "running"})
    assert ask(port, "POST", f"/runs/{ID}/stop") == (200, {"stopped": True})
    assert ask(port, "POST", "/purge") == (200, {"removed": 0})


@pytest.mark.parametrize("token", ["", "another"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", f"/runs/{ID}/execute_run"), ("POST", f"/runs/{ID}/stop"), ("GET", f"/runs/{ID}"), ("POST", "/purge")],
)
def test_without_the_token_nothing_is_done(port: int, engine: PlayedEngine, token: str, method: str, path: str) -> None:
    assert ask(port, method, path, token) == (401, {"error": "the token is missing or wrong"})
    assert engine.made == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/json"),
        ("POST", "/containers/create"),
        ("GET", f"/runs/{ID}/execute_run"),
        ("POST", f"/runs/{ID}"),
        ("POST", "/runs/../execute_run"),
        ("POST", f"/runs/{ID}/exec"),
        ("POST", f"/runs/{ID}/stopped"),
        ("POST", f"/runs/{ID[:8]}/stop"),
        ("GET", "/v1.45/info"),
    ],
)
def test_there_is_no_fourth_verb(port: int, engine: PlayedEngine, method: str, path: str) -> None:
    assert ask(port, method, path)[0] == 404
    assert engine.made == {}


def test_what_is_sent_along_changes_nothing(port: int, engine: PlayedEngine) -> None:
    ask(port, "POST", f"/runs/{ID}/execute_run", body=json.dumps({"image": "evil", "privileged": True}))
    assert engine.made["image"] == "ingest-github:new"
    assert "privileged" not in engine.made


def test_a_refusal_says_why(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "stored_run", lambda run_id: Run(run_id, "SUCCESS", "github", "ingest-github:new"))
    status, told = ask(port, "POST", f"/runs/{ID}/execute_run")
    assert status == 409
    assert told["error"].startswith("it is SUCCESS")


def test_the_monitor_may_look_at_services_and_do_nothing_else(port: int, engine: PlayedEngine) -> None:
    assert ask(port, "GET", "/services", "the-monitors") == (200, {"services": []})
    for method, path in (("POST", f"/runs/{ID}/execute_run"), ("GET", f"/runs/{ID}"), ("POST", "/purge")):
        assert ask(port, method, path, "the-monitors")[0] == 401
    assert ask(port, "GET", "/services")[0] == 401
    assert engine.made == {}


@pytest.mark.parametrize(
    ("problem", "status"), [(ConnectionError("refused"), 503), (docker.errors.APIError("no such image"), 502)]
)
def test_an_engine_that_is_away_is_told_from_one_that_refuses(
    port: int, engine: PlayedEngine, problem: Exception, status: int
) -> None:
    engine.created.problem = problem
    assert ask(port, "POST", f"/runs/{ID}/execute_run") == (status, {"error": str(problem)})


def test_the_health_check_needs_no_token_and_tells_nothing(port: int) -> None:
    assert ask(port, "GET", "/", token="") == (200, {"engine": True})
