"""Puts a location's code into force, or the code that was in force before; nothing else is restarted.

    LOCATION=github [TESTS=0] deploy.py     test, build, swap the code server, and go back where that fails
    LOCATION=github deploy.py --rollback

The tag in force stands in ``.env``, which Docker Compose reads: it survives `docker compose up`.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from dagster_api import ENDED, PlatformError, wait_for
from engine import Deployment, EngineError, docker, inspect
from images import content_tag, location_names
from local import Refused, end_in_order, held
from projects import Project

KEPT_IMAGES = 3
"""Images of a location that stay on this machine, the one in force among them."""
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
        """The tag in force."""
        return self.deployment.remembered().get(self._variable) or FIRST_TAG

    @property
    def tag_before(self) -> str | None:
        return self.deployment.remembered().get(f"{self._variable}_BEFORE")

    def deploy(self, *, tests: bool) -> str:
        """What was done, in a line; raises :class:`Refused` when the new code was not put into force."""
        self._must_be_up()
        tag = content_tag(self.location, self.deployment.tree)
        if tag == self.tag and self._serves(tag):
            return f"{self.location}: {tag} is in force already, nothing to do"
        if tests:
            self._test()
        self._build(tag)
        if not self._is_there():
            self._introduce()
        return self._switch(tag)

    def roll_back(self) -> str:
        """Puts the tag that was in force before into force again; raises :class:`Refused`."""
        self._must_be_up()
        before = self.tag_before
        if before is None or not self._has_image(before):
            raise Refused(f"{self.location} has no earlier version to go back to: no image of it is there")
        return self._switch(before)

    def _switch(self, tag: str) -> str:
        started, old = time.monotonic(), self.tag
        try:
            self._serve(tag)
        except (EngineError, PlatformError) as error:
            raise Refused(f"{self.location}: {tag} was refused ({error}); {self._restored(old, tag)}") from None
        except BaseException:  # Ctrl-C, or the end of a job of CI
            print(f"{self.location}: interrupted; {self._restored(old, tag)}", file=sys.stderr)
            raise
        self._remember(tag, old)
        self._remove_old_images()
        return f"{self.location}: {tag} is in force, {time.monotonic() - started:.1f} s after it was built"

    def _restored(self, old: str, refused: str) -> str:
        """Puts what was in force back where it is gone, and says in a few words how that went."""
        if old == refused or not self._has_image(old):
            return "and there is no earlier version"
        try:
            if not self._serves(old):
                self._serve(old)
        except (EngineError, PlatformError) as error:
            return f"and {old} could not be put back ({error}): docker compose up --detach {self.location}"
        return f"{old} is in force again"

    def _must_be_up(self) -> None:
        """Raises :class:`PlatformError` where the UI does not answer: nothing is begun then."""
        self.deployment.platform.locations()

    def _serve(self, tag: str) -> None:
        """Swaps the code server and waits until the webserver has loaded what the tag's image holds."""
        up = ("up", "--detach", "--no-deps", "--wait", f"--wait-timeout={HEALTHY_SECONDS}", self.location)
        with self._standing_in(tag) if self._is_there() else nullcontext():
            self.deployment.compose(*up, **{self._variable: tag})
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
            self.deployment.compose(*run, **{self._variable: tag})
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

    def _test(self) -> None:
        project = Project(self.deployment.tree / "locations" / self.location)
        done = subprocess.run([project.python, "-m", "pytest", "tests"], cwd=project.folder, check=False)
        if done.returncode:
            raise Refused(f"{self.location}: its tests fail, nothing was deployed")

    def _build(self, tag: str) -> None:
        try:
            self.deployment.compose("--progress=plain", "build", self.location, **{self._variable: tag})
        except EngineError as error:
            errors = _ERROR.findall(error.output)
            reason = errors[-1] if errors else str(error)
            raise Refused(f"{self.location}: no image was made, nothing was deployed ({reason})") from None

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
        compose("up", "--no-deps", "--exit-code-from", "setup", "setup")
        self.deployment.platform.reload_workspace()

    def _remove_old_images(self) -> None:
        """Keeps what is in force, what was before it and then the newest; never removes what a run needs."""
        tags = docker("image", "ls", "--format={{.Tag}}", f"ingest-{self.location}").split()  # the newest first
        kept = list(dict.fromkeys(tag for tag in (self.tag, self.tag_before, *tags) if tag in tags))[:KEPT_IMAGES]
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

    def _remember(self, tag: str, before: str) -> None:
        """Writes the tags to ``.env``, whole or not at all; other lines stay."""
        file = self.deployment.env_file
        own = {self._variable: tag}
        if self._has_image(before):
            own[f"{self._variable}_BEFORE"] = before
        lines = file.read_text().splitlines() if file.exists() else []
        kept = [line for line in lines if line.split("=", 1)[0] not in own]
        half = file.with_name(f"{file.name}.new")
        half.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in own.items())]) + "\n")
        half.replace(file)

    def _has_image(self, tag: str) -> bool:
        return bool(docker("image", "ls", "--quiet", self.image(tag)))


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


def main() -> int:
    """0 when the code is in force, else 1 and one line that says why not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rollback", action="store_true", help="back to what was in force before")
    options = parser.parse_args()
    end_in_order()
    name = os.environ.get("LOCATION", "")
    try:
        if name not in location_names():
            raise Refused(f"LOCATION={name}: there are {', '.join(location_names())}")
        deployment = Deployment.here()
        one = Deploy(name, deployment)
        with held(deployment.env_file.with_suffix(".lock"), "waiting for another deploy to end"):
            print(one.roll_back() if options.rollback else one.deploy(tests=os.environ.get("TESTS") != "0"))
    except (Refused, EngineError, PlatformError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
