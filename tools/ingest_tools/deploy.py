"""Activates a location's code, or an earlier version of it; nothing else restarts."""

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ingest_tools import audit
from ingest_tools.dagster_api import ENDED, PlatformError, wait_for
from ingest_tools.deploy_host import join
from ingest_tools.engine import Deployment, EngineError, docker, inspect
from ingest_tools.images import content_tag
from ingest_tools.local import Refused
from ingest_tools.versions import Versions, errors_in, last_error

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
    "--tmpfs=/tmp:size=2g",
)
"""Tests only get a folder to write to, in memory, which is removed with them."""
HEALTHY_SECONDS = 120
"""Seconds within which a code server must become healthy, and the webserver must load it."""
STEADY_SECONDS = 3
"""Seconds that a code server must live before it takes over, unless its version has been active before."""
UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
assert not set(UNFINISHED) & set(ENDED)


@dataclass
class Deploy(Versions):
    """One location of a deployment."""

    location: str
    deployment: Deployment

    @property
    def name(self) -> str:
        return self.location

    def image(self, tag: str) -> str:
        return f"ingest-{self.location}:{tag}"

    def images(self, tag: str) -> list[str]:
        return [self.image(tag)]

    def services(self) -> list[str]:
        return [self.location]

    def new_tag(self) -> str:
        """The tag of the location's image from this tree."""
        return f"{content_tag(self.location, self.deployment.tree)}-{self._renewed_base()}"

    def deploy(self, *, tests: bool) -> str:
        """Returns in a line what was done; raises :class:`Refused` if the new code was not activated."""
        self._must_be_up()
        self._must_keep_to_its_walls()
        tag = self.wanted = self.new_tag()
        if tag == self.tag and self._serves(tag):
            return f"{self.location}: {tag} is active already: nothing to do"
        self._build(tag, "build", *provenance(self.deployment.tree), self.location)
        if tests:
            self._must_run(tag)  # first, since it takes seconds, and the tests take minutes
            self._test(tag)
        with self._swapping(), ThreadPoolExecutor(1) as beside:
            tried = (lambda: None) if tests else beside.submit(self._try_out, tag).result  # while its server starts
            return self._switch(tag, [self.tag, *self.tags_before], tried)

    def roll_back(self, to: str = "") -> str:
        self._must_be_up()
        return super().roll_back(to)

    def _must_be_up(self) -> None:
        """Raises :class:`PlatformError` if the UI does not answer, before anything starts."""
        self.deployment.platform.locations()

    def _serve(self, tag: str, tried: Callable[[], None]) -> None:
        """Swaps the code server and waits until the webserver has loaded the tag's image."""
        up = ("up", "--detach", "--no-deps", "--wait", f"--wait-timeout={HEALTHY_SECONDS}", self.location)
        if not self._is_there():
            tried()
            self._announce()
        with self._standing_in(tag, tried) if self._is_there() else nullcontext():
            self.deployment.compose(*up, **self._settings(tag))
        if self.location in self.deployment.platform.locations():
            self.deployment.platform.reload_location(self.location)
        else:
            self.deployment.platform.reload_workspace()
        wait_for(lambda: self._serves(tag), f"{self.location} to be loaded from {tag}", HEALTHY_SECONDS, 0.2)

    @contextmanager
    def _standing_in(self, tag: str, tried: Callable[[], None]) -> Iterator[None]:
        """A server of the new code answers while the service's container is replaced.

        If it does not become healthy, or does not stay so, the deploy ends before anything is touched; likewise if
        ``tried`` raises.
        """
        name, network = f"{self.deployment.project}-{self.location}-next", f"{self.deployment.project}_{self.location}"
        run = ("run", "--detach", "--no-deps", "--name", name, self.location)
        try:
            try:
                self.deployment.compose(*run, **self._settings(tag))
                wait_for(lambda: _is_healthy(name), f"a server of {tag} to become healthy", HEALTHY_SECONDS, 0.2)
                if tag not in self.activated:
                    time.sleep(STEADY_SECONDS)
                if not _is_healthy(name):
                    raise PlatformError("its server did not stay healthy")
            except (EngineError, PlatformError) as error:
                raise PlatformError(last_error(name) or str(error)) from None
            tried()
            docker("network", "disconnect", network, name)
            docker("network", "connect", f"--alias={self.location}", network, name)
            yield
        finally:
            docker("rm", "--force", name)

    def _must_run(self, tag: str) -> None:
        """Raises :class:`Refused` if a run of the tag would fail."""
        try:
            with self._swapping():
                self._try_out(tag)
        except (EngineError, PlatformError) as error:
            raise Refused(f"{self.location}: nothing was deployed: {error}") from None

    def _try_out(self, tag: str) -> None:
        """Starts a run's container, which opens everything that a run needs; raises :class:`PlatformError` if it
        fails."""
        if not self._is_there():
            self._introduce()
        command = ("python", "-m", "ingest_host.trial", self.location, tag)
        try:
            self.deployment.compose("exec", "--no-TTY", "launch", *command)
        except EngineError as error:
            if "No module named ingest_host.trial" in error.output:
                raise PlatformError("the host is older than this tree: run `make deploy HOST=1` first") from None
            said = list(errors_in(error.output)) or error.output.strip().splitlines()[:1]
            raise PlatformError(f"a run of it would fail: {said[-1] if said else error}") from None

    def _serves(self, tag: str) -> bool:
        """Whether the webserver has loaded the tag's image, from the container that is running now.

        The image alone is not enough: for a while, the webserver still shows what a removed server served.
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

    def _unloaded(self) -> str:
        try:
            found = self.deployment.platform.locations().get(self.location)
        except PlatformError:
            return ""  # the UI is down, which is not the location's fault
        return f"could no longer be loaded ({found.error.splitlines()[-1]})" if found and found.error else ""

    def _test(self, tag: str) -> None:
        """Runs the location's tests in its image: as its user, without network, engine or access to this machine."""
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
            raise Refused(f"{self.location}: its tests fail: nothing was deployed")

    def _is_there(self) -> bool:
        return bool(self.deployment.compose("ps", "--all", "--quiet", self.location))

    def _introduce(self) -> None:
        """Prepares a location's first deploy: its network, its role and schema."""
        compose, setup = self.deployment.compose, f"{self.location}-setup"
        compose("create", "--no-recreate", setup)
        join(self.deployment, self.location)
        compose("up", "--no-deps", "--exit-code-from", setup, setup)
        if "sandbox" in compose("--profile=sandbox", "ps", "--services", "--status=running").split():
            one_shot = f"{self.location}-sandbox"
            compose("--profile=sandbox", "up", "--no-deps", "--exit-code-from", one_shot, one_shot)

    def _announce(self) -> None:
        """Adds a location to the workspace."""
        with self._sharing():
            self.deployment.compose("up", "--no-deps", "--exit-code-from", "setup", "setup")

    def _runs_need(self) -> set[str] | None:
        location = [{"key": "dagster/code_location", "value": self.location}]
        runs = self.deployment.platform.runs(limit=1000, statuses=UNFINISHED, tags=location)
        return {run.image for run in runs} if all(run.image for run in runs) else None


def provenance(tree: Path) -> Iterator[str]:
    """The labels of an image in `locations/Dockerfile`: revision, whether the tree differed, by whom, and when."""
    git = ["git", "-C", str(tree)]
    revision = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    yield f"--build-arg=REVISION={revision or 'unknown'}"
    yield f"--build-arg=DIRTY={str(bool(changed) or not revision).lower()}"
    yield f"--build-arg=BUILT_BY={audit.whoami()}"
    yield f"--build-arg=CREATED={datetime.now(UTC).isoformat(timespec='seconds')}"


def _is_healthy(container: str) -> bool:
    """Raises :class:`EngineError` if it has ended."""
    state = inspect(container)["State"]
    if not state["Running"]:
        raise EngineError(f"its server ended with exit code {state['ExitCode']}")
    return bool(state["Health"]["Status"] == "healthy")
