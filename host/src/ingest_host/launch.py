"""The launch service: the only one that has the engine's socket. It offers these verbs and no others.

    POST /runs/ID/execute_run   starts the run's container; /runs/ID/resume_run starts one that resumes it
    POST /runs/ID/stop          stops its containers gracefully
    GET  /runs/ID               returns the state of its newest container, and why it ended
    POST /purge                 removes the containers of runs that ended a while ago
    GET  /services              returns the state of the platform's own containers; all that the monitor may request

It takes the run's id and nothing else. The storage names the run's location, and everything about the
container follows from the location's name: image, code, network, volumes, limits. A location has no say
in it. Two strings of a run's record are used, the location and the image's tag; the tag must be one that
a deploy activated, which the engine knows from the label of the location's code server.

Dagster is not imported here: what has the socket stays small enough to be read in full.
"""

import hmac
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import psycopg2
from docker.models.containers import Container
from docker.types import LogConfig, Mount

logger = logging.getLogger("launch")

PORT = 2300
TOKEN = Path("/run/secrets/launch-token")
"""The token that webserver, daemon and purge send; no location has it."""
WATCH_TOKEN = Path("/run/secrets/watch-token")
"""The token that the monitor sends."""
INSTANCE = Path("/tmp/instance")  # noqa: S108, in the container
ENGINE_API = "1.45"
"""The first version that can mount a folder of a volume. An older engine, which would mount all of it, is refused."""
STORAGE = "service=dagster"
"""A service in PGSERVICEFILE, as in dagster.yaml."""
RUN = Path(__file__).with_name("run.py")
STOP_SECONDS = 60
"""Time that a run has to end gracefully when somebody terminates it."""
KEEP_CONTAINERS = {True: timedelta(hours=1), False: timedelta(days=7)}
"""How long the container of a run is kept, by whether it succeeded."""
CONTAINERS = 6
"""Of a location's runs at a time. The queue counts runs by the status that they report: one that reports its end may
go on. Twice the limit in dagster.yaml, since a run that has reported its end is given time to exit."""
KEEP_ENDED = 100
"""Ended containers of a location that are kept, at most: its runs may be many, and the engine holds all in memory."""
LAST_LINES = 20
LONGEST_LINE = 300
"""Of a line that a container printed last, which is part of the reason why it ended."""

ENDED = ("exited", "dead")
COMPOSE = "com.docker.compose"
"""Prefix of the labels of a container that Compose created."""
PROJECT_LABEL = "ingest.project"
LOCATION_LABEL = "ingest.location"
RUN_LABEL = "dagster/run_id"
TAGS_LABEL = "ingest.tags"
"""On a location's code server: the tags of its images that were activated, newest first."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
PATH = re.compile(r"/runs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/(execute_run|resume_run|stop))?")
LIVE = ("STARTING", "STARTED")
"""Statuses of a run that may be started."""

LOCATION_PATH = [
    "external_pipeline_origin",
    "external_repository_origin",
    "repository_location_origin",
    "location_name",
]
IMAGE_PATH = ["pipeline_code_origin", "repository_origin", "container_image"]
"""Where Dagster has location and image in a run's record."""
_RUN = "SELECT status, run_body::json #>> %s, run_body::json #>> %s FROM runs WHERE run_id = %s"
"""Postgres parses the record, because a location chooses its size."""
_INSTANCE = """
from dagster import DagsterInstance
from dagster._serdes import serialize_value
print(serialize_value(DagsterInstance.get().get_ref()))
"""


class Refused(Exception):
    """The run may not be started; the text says why, in one line."""


@dataclass(frozen=True)
class Run:
    """What the storage says about a run."""

    id: str
    status: str
    location: str
    image: str
    """The image that its location's code server reported when the run was queued."""


def environment(location: str, postgres: str) -> dict[str, str]:
    """Returns the environment variables of a run; ``postgres`` is the warehouse's server."""
    return {
        "INGEST_SECRET_COMMAND": f"make secret LOCATION={location} NAME={{setting}}",
        "PGSERVICEFILE": "/run/secrets/pg_service.conf",
        "INGEST_LIMITS_DIR": "/var/lib/runs/limits",
        "DLT_DATA_DIR": "/var/lib/ingest",
        "INGEST_DESTINATION": "postgres",
        "DESTINATION__POSTGRES__CREDENTIALS__HOST": postgres,
        "DESTINATION__POSTGRES__CREDENTIALS__DATABASE": "warehouse",
        "DESTINATION__POSTGRES__CREDENTIALS__USERNAME": location,
    }


def run_container(project: str, name: str, run: Run, command: list[str]) -> dict[str, Any]:
    """Returns how a run's container is created: docker-py's arguments of ``containers.create``.

    https://docker-py.readthedocs.io/en/stable/containers.html
    """
    location = run.location
    return {
        "image": run.image,
        "command": command,
        "name": name,
        "labels": {
            PROJECT_LABEL: project,
            LOCATION_LABEL: location,
            RUN_LABEL: run.id,
            # Otherwise those of its image: of whichever project built that.
            f"{COMPOSE}.project": project,
            f"{COMPOSE}.service": location,
        },
        "environment": environment(location, "postgres"),
        "network": f"{project}_{location}",
        "mounts": [
            Mount("/run/secrets", f"{project}_{location}-secrets", read_only=True),
            # What runs print, and the pace of API calls that they share: a folder for each location.
            Mount("/var/lib/runs", f"{project}_runs", subpath=location, no_copy=True),
            Mount("/var/lib/ingest", None),  # its own, removed with it: what dlt stages need not fit into memory
        ],
        "read_only": True,
        "tmpfs": {"/tmp": "size=256m"},  # noqa: S108, in the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "mem_limit": "2g",
        "pids_limit": 256,
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
    }


@dataclass(frozen=True)
class Launch:
    """The verbs, of one Compose project on one engine."""

    engine: docker.DockerClient
    project: str

    @cached_property
    def instance(self) -> str:
        """The settings of dagster.yaml, as Dagster passes them to a run; stored for :mod:`ingest_host.trial`, too."""
        if not INSTANCE.exists():
            told = subprocess.run([sys.executable, "-c", _INSTANCE], stdout=subprocess.PIPE, text=True, check=True)
            INSTANCE.write_text(told.stdout.strip())
        return INSTANCE.read_text()

    def start(self, run: Run, verb: str) -> dict[str, str]:
        """Starts the run, unless it is already running; returns its container and image.

        Raises :class:`Refused` if its code is not its location's own, or its location has too many containers.
        """
        if run.status not in LIVE:
            raise Refused(f"it is {run.status}: only a run that is being launched is started")
        before = self._containers(run.id)
        if before and before[0].status == "running":  # the caller did not get the first answer
            return {"container": str(before[0].id), "image": run.image}
        if run.image not in (images := self._images(run.location)):
            raise Refused(f"{run.image!r} is not an active image of {run.location}: those are {', '.join(images)}")
        if len(self._list({"status": ["running"]}, f"{LOCATION_LABEL}={run.location}")) >= CONTAINERS:
            raise Refused(f"{run.location} already has {CONTAINERS} containers running, the most that it may have")
        module = f"{run.location}_location.definitions"
        command = ["python", "-c", RUN.read_text(), verb, module, run.id, self.instance]
        # If two requests start it at the same time, the engine refuses the second, since the name is taken.
        name = f"{self.project}-{run.location}-run-{run.id}-{len(before) + 1}"
        container = self.engine.containers.create(**run_container(self.project, name, run, command))
        with _or_nothing_stays(container):
            container.start()
        return {"container": str(container.id), "image": run.image}

    def stop(self, run_id: str) -> dict[str, bool]:
        """Asks the run's containers to stop, without waiting; returns whether any was running."""
        running = [container for container in self._containers(run_id) if container.status == "running"]
        for container in running:
            threading.Thread(target=container.stop, kwargs={"timeout": STOP_SECONDS}).start()
        return {"stopped": bool(running)}

    def look(self, run_id: str) -> dict[str, Any]:
        """Returns the state of the run's newest container, with the ``reason`` if it ended; empty if there is none."""
        for container in self._containers(run_id):
            told = {"container": container.id, "status": container.status}
            return told | ({"reason": reason(container)} if container.status in ENDED else {})
        return {}

    def services(self) -> dict[str, Any]:
        """Returns the state of each container that Compose created; ``keeps`` says whether it should always run."""
        made = self.engine.containers.list(
            all=True, filters={"label": f"{COMPOSE}.project={self.project}"}, ignore_removed=True
        )
        return {"services": [_service(one) for one in made if one.labels.get(f"{COMPOSE}.oneoff") != "True"]}

    def purge(self, now: datetime) -> dict[str, int]:
        """Removes ended run containers, with the volume in which dlt worked; those that failed are kept longer.

        Of each location, at most the newest :data:`KEEP_ENDED` are kept.
        """
        removed, ended = 0, self._list({"status": ["exited", "dead", "created"]})
        younger = Counter[str]()
        for container in sorted(ended, key=_since, reverse=True):
            location = container.labels.get(LOCATION_LABEL, "")
            younger[location] += 1
            keep = KEEP_CONTAINERS[container.attrs["State"]["ExitCode"] == 0]
            if now - _since(container) > keep or younger[location] > KEEP_ENDED:
                try:
                    container.remove(v=True)
                # Somebody is removing or starting it, or its location left so many files that removal takes long.
                except (docker.errors.APIError, OSError) as error:
                    logger.warning("%s could not be removed yet: %s", container.name, error)
                    continue
                removed += 1
        return {"removed": removed}

    def _containers(self, run_id: str) -> list[Container]:
        """Returns the containers of a run, newest first; a resumed run has two."""
        found = self._list({}, f"{RUN_LABEL}={run_id}")
        return sorted(found, key=lambda container: str(container.attrs["Created"]), reverse=True)

    def _images(self, location: str) -> list[str]:
        """Returns the images of a location that were activated, from the labels of its code server's containers."""
        compose = [f"{COMPOSE}.project={self.project}", f"{COMPOSE}.service={location}"]
        servers = self.engine.api.containers(all=True, filters={"label": compose})
        tags = [tag for server in servers for tag in server["Labels"].get(TAGS_LABEL, "").split(",") if tag]
        return [f"ingest-{location}:{tag}" for tag in dict.fromkeys(tags)]

    def _list(self, filters: dict[str, Any], *labels: str) -> list[Container]:
        wanted = {"label": [f"{PROJECT_LABEL}={self.project}", *labels], **filters}
        return self.engine.containers.list(all=True, filters=wanted, ignore_removed=True)


@contextmanager
def _or_nothing_stays(container: Container) -> Iterator[None]:
    """Removes the container if the launch fails: Dagster then fails the run, so it must not go on."""
    try:
        yield
    except Exception:
        with suppress(docker.errors.APIError):
            container.remove(v=True, force=True)
        raise


def reason(container: Container) -> str:
    """Returns why a container ended: out of memory, or its exit code and what it printed last."""
    state = container.attrs["State"]
    if state["OOMKilled"]:
        return f"out of memory: {container.attrs['HostConfig']['Memory'] / 2**30:.3g} GB"
    code = state["ExitCode"]
    killed = f" (killed by {signal.Signals(code - 128).name})" if code - 128 in set(signal.Signals) else ""
    printed = container.logs(tail=LAST_LINES).decode(errors="replace").splitlines()
    said = [line[:LONGEST_LINE] for line in [state["Error"], *printed] if line.strip()]
    return "\n".join([f"its container ended with exit code {code}{killed}", *said])


def _service(container: Container) -> dict[str, Any]:
    state = container.attrs["State"]
    return {
        "service": container.labels[f"{COMPOSE}.service"],
        "keeps": container.attrs["HostConfig"]["RestartPolicy"]["Name"] not in ("", "no"),
        "status": state["Status"],
        "health": state.get("Health", {}).get("Status", ""),
        "restarts": container.attrs["RestartCount"],
        "exit_code": state["ExitCode"],
        "started": _instant(state["StartedAt"]).timestamp(),
    }


def _since(container: Container) -> datetime:
    """Returns when it ended, or when it was created if it never started."""
    state = container.attrs["State"]
    return _instant(state["FinishedAt"] if state["Status"] != "created" else container.attrs["Created"])


def _instant(text: str) -> datetime:
    """Parses Docker's time, which has nanoseconds, to the second."""
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)


def stored_run(run_id: str) -> Run:
    """Returns the run as Dagster's storage has it; raises :class:`Refused` if there is none or it has no location."""
    with closing(psycopg2.connect(STORAGE, connect_timeout=5)) as storage, storage.cursor() as cursor:
        cursor.execute(_RUN, [LOCATION_PATH, IMAGE_PATH, run_id])
        row = cursor.fetchone()
    if row is None:
        raise Refused("there is no such run")
    status, location, image = row
    if location is None or not NAME.fullmatch(location):
        raise Refused(f"its record names no location: {location!r}")
    return Run(run_id, status, location, image or "")


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON: 200, or a reason with 409 if it refuses, 502 if the engine refuses, 503 if a service is down.

    Request bodies are not read.
    """

    timeout = 10
    launch: Launch
    token: str
    watch_token: str

    def do_GET(self) -> None:
        if self.path == "/":
            self._tell(lambda: {"engine": self.launch.engine.ping()})  # the health check
        elif self.path == "/services":
            if self._may(self.watch_token):
                self._tell(self.launch.services)
        else:
            self._act({"": self.launch.look})

    def do_POST(self) -> None:
        if self.path == "/purge":
            if self._may(self.token):
                self._tell(lambda: self.launch.purge(datetime.now(UTC)))
            return
        self._act(
            {
                "execute_run": lambda run_id: self.launch.start(stored_run(run_id), "execute_run"),
                "resume_run": lambda run_id: self.launch.start(stored_run(run_id), "resume_run"),
                "stop": self.launch.stop,
            }
        )

    def _act(self, verbs: dict[str, Any]) -> None:
        if not self._may(self.token):
            return
        found = PATH.fullmatch(self.path)
        do = verbs.get(found[2] or "") if found else None
        if found is None or do is None:
            self._answer(404, {"error": "there is no such verb"})
            return
        self._tell(lambda: do(found[1]))

    def _tell(self, do: Callable[[], dict[str, Any]]) -> None:
        try:
            self._answer(200, do())
        except Refused as refused:
            self._answer(409, {"error": str(refused)})
        except docker.errors.APIError as error:
            self._answer(502, {"error": str(error.explanation or error)})
        except (OSError, psycopg2.Error) as error:
            self._answer(503, {"error": str(error).strip()})

    def _may(self, token: str) -> bool:
        shown = self.headers.get("Authorization", "")
        may = hmac.compare_digest(shown.encode(), f"Bearer {token}".encode())
        if not may:
            self._answer(401, {"error": "the token is missing or wrong"})
        return may

    def _answer(self, status: int, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002, the parent's name
        if self.path != "/":
            logger.info(format, *arguments)


def engine() -> docker.DockerClient:
    """Returns a client of the engine's socket."""
    return docker.DockerClient(base_url="unix:///var/run/docker.sock", version=ENGINE_API, timeout=STOP_SECONDS + 30)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    Handler.launch = Launch(engine(), os.environ["INGEST_PROJECT"])
    Handler.token, Handler.watch_token = TOKEN.read_text(), WATCH_TOKEN.read_text()
    logger.info("settings of a run: %d characters", len(Handler.launch.instance))
    ThreadingHTTPServer(("0.0.0.0", PORT), Handler).serve_forever()  # noqa: S104, its network is its own


if __name__ == "__main__":
    main()
