"""Activates a location's code, or an earlier version of it; nothing else is restarted.

The active tag stands in ``.env``, which Docker Compose reads, so it survives `docker compose up`. Beside it
stand the tags that a rollback goes back to, and all that were activated: only those may be run.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from ingest_tools import audit, walls
from ingest_tools.dagster_api import ENDED, PlatformError, wait_for
from ingest_tools.engine import Deployment, EngineError, docker, inspect
from ingest_tools.images import content_tag, location_names
from ingest_tools.local import Refused, held
from ingest_tools.options import location
from ingest_tools.registrations import unrendered

KEPT_IMAGES = 3
"""Images of a location that stay on this machine, the active one among them."""
BASE = "python:3.13-slim-trixie"
"""What images are built on, unless INGEST_PYTHON in ``.env`` names another, or the same with its digest."""
BASE_DIGITS = 6
PULL_SECONDS = 60
TESTS = "locations/test.Dockerfile"
CONTAINED = (
    "--rm",
    "--init",
    "--network=none",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges:true",
    "--pids-limit=1024",
    "--memory=4g",
    "--mount=type=volume,dst=/tmp",
)
"""What tests may have: a folder to write to, gone with them, and nothing else."""
HEALTHY_SECONDS = 60
"""Time that a code server has to become healthy, and the webserver to load it."""
STEADY_SECONDS = 3
"""Time that a new code server must live before it takes over."""
HOST_SERVICES = ("postgres", "webserver", "daemon", "sandbox")
"""Services of the host that are in the network of every location."""
FIRST_TAG = "local"
"""What `docker compose up` built before any deploy."""

_ERROR = re.compile(r"\b(?:[\w.]*\.)?(\w+(?:Error|Exception): .+)")
"""The line of a traceback that says what is wrong."""


@dataclass(frozen=True)
class Deploy:
    """One location of a deployment."""

    location: str
    deployment: Deployment

    def image(self, tag: str) -> str:
        return f"ingest-{self.location}:{tag}"

    @property
    def tag(self) -> str:
        """The active tag."""
        return self.deployment.remembered().get(self._variable) or FIRST_TAG

    @property
    def tags_before(self) -> list[str]:
        """Where a rollback goes back to: what was active before, the newest first, if its image is there."""
        return self._tags(f"{self._variable}_BEFORE")

    @property
    def activated(self) -> list[str]:
        """Tags that were active once, the newest first, if their image is there."""
        return self._tags(f"{self._variable}S") or [self.tag]

    def _tags(self, variable: str) -> list[str]:
        """Remembered tags whose image is there."""
        tags = self.deployment.remembered().get(variable, "").split(",")
        return [tag for tag in tags if tag and self._has_image(tag)]

    def deploy(self, *, tests: bool) -> str:
        """What was done, in a line; raises :class:`Refused` when the new code was not activated."""
        self._must_be_up()
        self._must_keep_to_its_walls()
        tag = f"{content_tag(self.location, self.deployment.tree)}-{self._renewed_base()}"
        if tag == self.tag and self._serves(tag):
            return f"{self.location}: {tag} is active already, nothing to do"
        self._build(tag)
        if tests:
            self._test(tag)
        with self._swapping():
            if not self._is_there():
                self._introduce()
            return self._switch(tag, [self.tag, *self.tags_before])

    def roll_back(self, to: str = "") -> str:
        """Activates the version before, or ``to``; said twice, it goes back twice. Raises :class:`Refused`."""
        self._must_be_up()
        with self._swapping():
            return self._switch_back(to)

    def _switch_back(self, to: str) -> str:
        before = self.tags_before
        if not to and not before:
            raise Refused(f"{self.location} has no earlier version to go back to: no image of one is left")
        to = to or before[0]
        if to not in self.activated and to not in before:
            known = ", ".join(self.activated)
            raise Refused(f"--to={to} is not a version of {self.location} that was active: choose from {known}")
        # What is rolled back is nothing to go back to, unless one asks for it by name.
        return self._switch(to, before[before.index(to) + 1 :] if to in before else [self.tag, *before])

    def _swapping(self) -> AbstractContextManager[None]:
        """Nobody else swaps this location's server meanwhile. Builds and tests hold up nobody."""
        return self._alone(
            f".{self.location}.lock", f"waiting for another deploy of {self.location} to swap its server"
        )

    def _sharing(self) -> AbstractContextManager[None]:
        """Nobody else touches what all locations share: ``.env``, and the platform's set-up."""
        return self._alone(".lock", "waiting for the deploy of another location to be set up")

    def _alone(self, lock: str, waiting: str) -> AbstractContextManager[None]:
        file = self.deployment.env_file
        return held(file.with_name(f"{file.name}{lock}"), waiting)

    def _switch(self, tag: str, before: list[str]) -> str:
        started, old = time.monotonic(), self.tag
        try:
            self._serve(tag)
        except (EngineError, PlatformError) as error:
            raise Refused(f"{self.location}: {tag} was refused ({error}); {self._restored(old, tag)}") from None
        except BaseException:  # Ctrl-C, or the end of a job of CI
            print(f"{self.location}: interrupted; {self._restored(old, tag)}", file=sys.stderr)
            raise
        self._remember(tag, [other for other in before if other != tag and self._has_image(other)])
        self._remove_old_images()
        return f"{self.location}: {tag} is active, {time.monotonic() - started:.1f} s after it was built"

    def _restored(self, old: str, refused: str) -> str:
        """Puts the active version back where it is gone, and says in a few words how that went."""
        if old == refused or not self._has_image(old):
            return "and there is no earlier version"
        try:
            if not self._serves(old):
                self._serve(old)
        except (EngineError, PlatformError) as error:
            return f"and {old} could not be put back ({error}): docker compose up --detach {self.location}"
        return f"{old} is active again"

    def _must_be_up(self) -> None:
        """Raises :class:`PlatformError` where the UI does not answer: nothing is begun then."""
        self.deployment.platform.locations()

    def _serve(self, tag: str) -> None:
        """Swaps the code server and waits until the webserver has loaded what the tag's image holds."""
        up = ("up", "--detach", "--no-deps", "--wait", f"--wait-timeout={HEALTHY_SECONDS}", self.location)
        with self._standing_in(tag) if self._is_there() else nullcontext():
            self.deployment.compose(*up, **self._settings(tag))
        if self.location in self.deployment.platform.locations():
            self.deployment.platform.reload_location(self.location)
        wait_for(lambda: self._serves(tag), f"{self.location} to be loaded from {tag}", HEALTHY_SECONDS, 0.2)

    @contextmanager
    def _standing_in(self, tag: str) -> Iterator[None]:
        """A server of the new code answers while the service's container is replaced.

        One that does not become healthy, or does not stay so, ends the deploy before anything is touched.
        """
        name, network = f"{self.deployment.project}-{self.location}-next", f"{self.deployment.project}_{self.location}"
        run = ("run", "--detach", "--no-deps", "--name", name, self.location)
        try:
            self.deployment.compose(*run, **self._settings(tag))
            wait_for(lambda: _is_healthy(name), f"a server of {tag} to become healthy", HEALTHY_SECONDS, 0.2)
            time.sleep(STEADY_SECONDS)
            if not _is_healthy(name):
                raise PlatformError("its server did not stay healthy")
            docker("network", "disconnect", network, name)
            docker("network", "connect", f"--alias={self.location}", network, name)
            yield
        except (EngineError, PlatformError) as error:
            raise PlatformError(_last_error(name) or str(error)) from None
        finally:
            docker("rm", "--force", name)

    def _serves(self, tag: str) -> bool:
        """Whether the webserver has loaded the tag's image, and from the container that runs now.

        The image alone does not tell: until it notices, the webserver shows what a server served that is gone.
        """
        try:
            found = self.deployment.platform.locations().get(self.location)
            server = self.deployment.inspect(self.location)
        except (PlatformError, EngineError):
            return False
        return (
            found is not None
            and found.loaded
            and found.image == self.image(tag)
            and found.server_id.startswith(server["Id"][:12])
            and bool(server["State"]["Running"])
        )

    def _must_keep_to_its_walls(self) -> None:
        """Raises :class:`Refused` where the Compose files give a service more than it may have."""
        tree = self.deployment.tree
        found = list(unrendered(self.location, tree))
        if not found:  # or it would be resolved, and a refusal quote variables and files of this machine
            found += walls.problems(json.loads(self.deployment.compose(*walls.CONFIG)), location_names(tree), tree)
        if found:
            raise Refused(f"{self.location}: nothing was deployed: {'; '.join(found)}")

    def _renewed_base(self) -> str:
        """Some digits of the base image's id, after a look at the registry for a newer one under its name.

        Where none answers, the image that is here stays, and that is said.
        """
        base = self.deployment.setting("INGEST_PYTHON") or BASE
        try:
            docker("pull", "--quiet", base, seconds=PULL_SECONDS)
        except EngineError as error:
            print(f"could not look for a newer {base}: {error}", file=sys.stderr)
        return str(inspect(base)["Id"]).partition(":")[2][:BASE_DIGITS]

    def _test(self, tag: str) -> None:
        """Runs the location's tests in its image: as its user, without network, engine or anything of this machine."""
        image = f"ingest-{self.location}-tests:{tag}"
        arguments = {"IMAGE": self.image(tag), "LOCATION": self.location}
        if base := self.deployment.setting("INGEST_PYTHON"):
            arguments["PYTHON"] = base
        build = ["build", "--quiet", f"--file={TESTS}", f"--tag={image}", "."]
        build += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        docker(*build, folder=self.deployment.tree)
        try:
            command = ["docker", "run", *CONTAINED, image]
            failed = subprocess.run(command, check=False).returncode
        finally:
            docker("image", "rm", "--force", image)
        if failed:
            raise Refused(f"{self.location}: its tests fail, nothing was deployed")

    def _build(self, tag: str) -> None:
        try:
            build = ("--progress=plain", "build", *_provenance(self.deployment.tree), self.location)
            self.deployment.compose(*build, **self._settings(tag))
        except EngineError as error:
            errors = _ERROR.findall(error.output)
            reason = errors[-1] if errors else str(error)
            raise Refused(f"{self.location}: the image could not be built, nothing was deployed ({reason})") from None

    def _is_there(self) -> bool:
        return bool(self.deployment.compose("ps", "--all", "--quiet", self.location))

    def _introduce(self) -> None:
        """A location's first deploy: its network, its role and schema, its place in the workspace."""
        compose, setup = self.deployment.compose, f"{self.location}-setup"
        compose("create", "--no-recreate", setup)
        network = f"{self.deployment.project}_{self.location}"
        running = compose("ps", "--services", "--status=running").split()
        for service in (name for name in HOST_SERVICES if name in running):
            container = self.deployment.container(service)
            if network not in inspect(container)["NetworkSettings"]["Networks"]:
                docker("network", "connect", f"--alias={service}", network, container)
        compose("up", "--no-deps", "--exit-code-from", setup, setup)
        if "sandbox" in running:
            one_shot = f"{self.location}-sandbox"
            compose("--profile=sandbox", "up", "--no-deps", "--exit-code-from", one_shot, one_shot)
        with self._sharing():
            compose("up", "--no-deps", "--exit-code-from", "setup", "setup")
        self.deployment.platform.reload_workspace()

    def _remove_old_images(self) -> None:
        """Keeps what is active, what was before it, and what was active last; never removes what a run needs."""
        tags = docker("image", "ls", "--format={{.Tag}}", f"ingest-{self.location}").split()  # the newest first
        wanted = (self.tag, *self.tags_before[:1], *self.activated, *tags)
        kept = list(dict.fromkeys(tag for tag in wanted if tag in tags))[:KEPT_IMAGES]
        location = [{"key": "dagster/code_location", "value": self.location}]
        runs = self.deployment.platform.runs(limit=1000, statuses=UNFINISHED, tags=location)
        if not all(run.image for run in runs):
            return  # a run that is queued does not say yet which image it needs; the next deploy looks again
        needed = {run.image for run in runs} | set(docker("ps", "--all", "--format={{.Image}}").split())
        for tag in tags:
            if tag not in kept and (image := self.image(tag)) not in needed:
                docker("image", "rm", image)

    @property
    def _variable(self) -> str:
        return f"{self.location.upper()}_TAG"

    def _settings(self, tag: str) -> dict[str, str]:
        """What Compose must know to serve the tag: its runs may have any image that was activated."""
        activated = list(dict.fromkeys([tag, *self.activated]))
        return {self._variable: tag, f"{self._variable}S": ",".join(activated)}

    def _remember(self, tag: str, before: list[str]) -> None:
        """Writes the tags to ``.env``, whole or not at all; other lines stay."""
        file = self.deployment.env_file
        own = self._settings(tag) | {f"{self._variable}_BEFORE": ",".join(before)}
        half = file.with_name(f"{file.name}.new")
        with self._sharing():
            lines = file.read_text().splitlines() if file.exists() else []
            kept = [line for line in lines if line.split("=", 1)[0] not in own]
            half.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in own.items())]) + "\n")
            half.replace(file)

    def _has_image(self, tag: str) -> bool:
        return bool(docker("image", "ls", "--quiet", self.image(tag)))


def _provenance(tree: Path) -> Iterator[str]:
    """What `locations/Dockerfile` labels an image with: revision, changed since or not, by whom, and when."""
    git = ["git", "-C", str(tree)]
    revision = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    yield f"--build-arg=REVISION={revision or 'unknown'}"
    yield f"--build-arg=DIRTY={str(bool(changed) or not revision).lower()}"
    yield f"--build-arg=BUILT_BY={audit.whoami()}"
    yield f"--build-arg=CREATED={datetime.now(UTC).isoformat(timespec='seconds')}"


def _is_healthy(container: str) -> bool:
    """Raises :class:`EngineError` when it has ended."""
    state = inspect(container)["State"]
    if not state["Running"]:
        raise EngineError(f"its server ended with exit code {state['ExitCode']}")
    return bool(state["Health"]["Status"] == "healthy")


def _last_error(container: str) -> str:
    """The last line of a container's log that says what is wrong; empty where none does."""
    try:
        errors = _ERROR.findall(docker("logs", "--tail", "200", container))
    except EngineError:
        return ""
    return errors[-1] if errors else ""


UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
assert not set(UNFINISHED) & set(ENDED)


@contextmanager
def _recorded(location: str, action: str) -> Iterator[Deploy]:
    """How it ended is in the audit trail."""
    one = Deploy(location, Deployment.here())
    with audit.recorded(one.deployment, action, location, lambda: {"tag": one.tag}):
        yield one


@click.command(epilog="Example: ingest deploy github")
@location
@click.option("--tests/--no-tests", default=True, help="Run its tests in its image first, or leave them out.")
def deploy_command(location: str, *, tests: bool) -> None:
    """Build, test and activate a location, and nothing else."""
    with _recorded(location, "deploy") as one:
        print(one.deploy(tests=tests))


@click.command(epilog="Example: ingest rollback github")
@location
@click.option("--to", metavar="TAG", default="", help="A version that was active once, instead of the one before.")
def rollback_command(location: str, to: str) -> None:
    """Activate the version of a location before."""
    with _recorded(location, "rollback") as one:
        print(one.roll_back(to))
