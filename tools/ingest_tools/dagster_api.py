"""The running platform, through Dagster's GraphQL API.

https://docs.dagster.io/api/graphql
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from ingest_tools.local import HTTP, Refused, cause

T = TypeVar("T")

ENDED = ("SUCCESS", "FAILURE", "CANCELED")
TIMEOUT = 30

_LOCATIONS = """{ workspaceOrError { __typename ... on PythonError { message } ... on Workspace { locationEntries {
  name loadStatus
  locationOrLoadError { __typename ... on PythonError { message } ... on RepositoryLocation {
    serverId
    repositories { name displayMetadata { key value } jobs { name }
      schedules { name scheduleState { status } } } } } } } } }"""
_LAUNCH = """mutation($selector: JobOrPipelineSelector!, $tags: [ExecutionTag!]) {
  launchRun(executionParams: {selector: $selector, mode: "default", executionMetadata: {tags: $tags}}) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
    ... on PipelineNotFoundError { message } ... on InvalidSubsetError { message }
    ... on UnauthorizedError { message } } }"""
_RUNS = """query($filter: RunsFilter, $limit: Int) { runsOrError(filter: $filter, limit: $limit) { ... on Runs {
  results { runId jobName status creationTime startTime endTime tags { key value }
    repositoryOrigin { repositoryLocationName } } } } }"""
_RELOAD = "mutation { reloadWorkspace { __typename ... on PythonError { message } } }"
_RELOAD_LOCATION = """mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename
  ... on PythonError { message } ... on ReloadNotSupported { message }
  ... on RepositoryLocationNotFound { message } } }"""


class PlatformError(Refused):
    """The platform does not answer, or refuses the request."""


@dataclass(frozen=True)
class Location:
    """A code location as the webserver sees it; ``error`` is why it is not loaded."""

    name: str
    status: str
    image: str = ""
    server_id: str = ""
    jobs: tuple[str, ...] = ()
    schedules: tuple[tuple[str, str], ...] = ()
    error: str = ""

    @property
    def loaded(self) -> bool:
        return self.status == "LOADED" and not self.error


@dataclass(frozen=True)
class Run:
    """A run; times are seconds since 1970, None for what has not happened yet."""

    id: str
    location: str
    job: str
    status: str
    created: float
    started: float | None
    ended: float | None
    tags: dict[str, str]

    @property
    def image(self) -> str:
        """The image its container was made from; empty before it was launched."""
        return self.tags.get("dagster/image", "")

    @property
    def container(self) -> str:
        return self.tags.get("docker/container_id", "")


@dataclass(frozen=True)
class Platform:
    """A platform, by the address of its UI and, if it has a login, a token."""

    url: str
    token: str = field(default="", repr=False)
    host: str = ""
    """The address that people use, if it is not ``url``: the UI answers to no other name."""

    def query(self, text: str, **variables: Any) -> Any:
        """The answer's ``data``; raises :class:`PlatformError`."""
        answer = self._ask("/graphql", json.dumps({"query": text, "variables": variables}).encode())
        if "errors" in answer:
            raise PlatformError(answer["errors"][0]["message"])
        return answer["data"]

    def login(self) -> str:
        """How people log in, in one line."""
        return str(self._ask("/auth/status")["login"])

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.host:
            headers["Host"] = self.host
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.url}{path}", body, headers)  # noqa: S310
        try:
            with HTTP.open(request, timeout=TIMEOUT) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            return _answer(error, self.token)
        except OSError as error:
            raise PlatformError(
                f"the UI at {self.url} does not answer ({cause(error)}): start the platform with `make up`"
            ) from None

    def locations(self) -> dict[str, Location]:
        workspace = self.query(_LOCATIONS)["workspaceOrError"]
        if "locationEntries" not in workspace:
            raise PlatformError(workspace["message"])
        return {entry["name"]: _location(entry) for entry in workspace["locationEntries"]}

    def reload_workspace(self) -> None:
        """Makes the webserver read its workspace file again."""
        answer = self.query(_RELOAD)["reloadWorkspace"]
        if "message" in answer:
            raise PlatformError(answer["message"])

    def reload_location(self, name: str) -> None:
        """Makes the webserver load a location from the server that answers now."""
        answer = self.query(_RELOAD_LOCATION, name=name)["reloadRepositoryLocation"]
        if "message" in answer:
            raise PlatformError(answer["message"])

    def launch(self, location: str, job: str, tags: Mapping[str, str] | None = None) -> str:
        """Queues a run of a job and returns its id; the tag ``dagster/partition`` names the partition."""
        selector = {"repositoryLocationName": location, "repositoryName": "__repository__", "jobName": job}
        own = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        answer = self.query(_LAUNCH, selector=selector, tags=own)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise PlatformError(answer.get("message") or json.dumps(answer))
        return str(answer["run"]["runId"])

    def runs(self, limit: int = 100, **wanted: Any) -> list[Run]:
        """The newest runs first; ``wanted`` is GraphQL's RunsFilter: ``statuses``, ``pipelineName``, ``runIds``."""
        results = self.query(_RUNS, filter=wanted, limit=limit)["runsOrError"]["results"]
        return [_run(result) for result in results]

    def run(self, run_id: str) -> Run:
        return self.runs(runIds=[run_id])[0]

    def ended(self, run_id: str, seconds: float = 300) -> Run:
        """The run once it has ended, within this many seconds."""

        def has_ended() -> Run | None:
            run = self.run(run_id)
            return run if run.status in ENDED else None

        return wait_for(has_ended, f"run {run_id} to end", seconds)


def wait_for(what: Callable[[], T | None], name: str, seconds: float, every: float = 0.5) -> T:
    """Calls ``what`` until it returns a true value, and returns that; raises :class:`PlatformError` when time is up.

    Keeps waiting while the platform does not answer.
    """
    until = time.monotonic() + seconds
    while True:
        problem = ""
        try:
            if found := what():
                return found
        except PlatformError as error:
            problem = f": {error}"
        if time.monotonic() > until:
            raise PlatformError(f"gave up waiting for {name} after {seconds:.0f} s{problem}")
        time.sleep(every)


def _answer(error: urllib.error.HTTPError, token: str) -> Any:
    """Dagster's response with status 500, which is partly an error; raises the UI's message for any other response."""
    if error.code == HTTPStatus.UNAUTHORIZED and not token:
        raise PlatformError("the UI requires a login: set INGEST_TOKEN, here or in .env; `make token` creates one")
    try:
        told = json.load(error)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise PlatformError(f"the webserver does not answer ({error}): it may still be starting")
    if not told.keys() & {"data", "errors"}:
        raise PlatformError(str(told.get("error", error)))
    return told


def printable(text: str) -> str:
    """Foreign text without control characters, which a terminal would obey; line breaks stay."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _location(entry: dict[str, Any]) -> Location:
    found = entry["locationOrLoadError"] or {}
    if "message" in found:
        reason = printable(found["message"]).strip() or "it gives no reason"
        return Location(entry["name"], entry["loadStatus"], error=reason)
    repositories = found.get("repositories", [])
    metadata = {one["key"]: one["value"] for repository in repositories for one in repository["displayMetadata"]}
    return Location(
        entry["name"],
        entry["loadStatus"],
        image=metadata.get("image", ""),
        server_id=found.get("serverId") or "",
        jobs=tuple(job["name"] for repository in repositories for job in repository["jobs"]),
        schedules=tuple(
            (schedule["name"], schedule["scheduleState"]["status"])
            for repository in repositories
            for schedule in repository["schedules"]
        ),
    )


def _run(result: dict[str, Any]) -> Run:
    return Run(
        id=result["runId"],
        location=(result["repositoryOrigin"] or {}).get("repositoryLocationName", ""),
        job=result["jobName"],
        status=result["status"],
        created=result["creationTime"],
        started=result["startTime"],
        ended=result["endTime"],
        tags={tag["key"]: tag["value"] for tag in result["tags"]},
    )
