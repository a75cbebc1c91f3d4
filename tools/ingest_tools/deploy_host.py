"""Activates what this tree makes of the host: its images, `docker-compose.yml` and `dagster.yaml`; or goes back.

A version of the host is its images, with `dagster.yaml` in them, and what Docker Compose makes of the Compose files.
That is kept in a file beside ``.env``, so a rollback brings back all of it. The storage stays migrated.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest_tools.dagster_api import PlatformError, wait_for
from ingest_tools.engine import Deployment, EngineError, docker
from ingest_tools.images import host_tag, location_names
from ingest_tools.local import Refused
from ingest_tools.versions import HOST, Versions, last_error
from ingest_tools.walls import CONFIG

HEALTHY_SECONDS = 240
"""Time that the services have to become healthy, and the webserver to load the locations that it had before."""
RESTARTS = 1
"""More of them in a new container are no accident."""
BUILT = ("webserver", "front")
"""Services that between them have the images."""
UNDER_RUNS = ("postgres", "turnstile")
"""Services that runs have connections to: they go on, unless the version changes them."""
SANDBOX = "ingest-sandbox"
IN_EVERY_NETWORK = {"turnstile": "postgres", "webserver": "webserver", "daemon": "daemon", "sandbox": "sandbox"}
"""Services of the host that are in the network of every location, and what each is called there."""


@dataclass(frozen=True)
class DeployHost(Versions):
    """The platform's own services: all but those of locations."""

    deployment: Deployment

    @property
    def name(self) -> str:
        return HOST

    def images(self, tag: str) -> list[str]:
        return [f"ingest-host:{tag}", f"ingest-front:{tag}"]

    def services(self) -> list[str]:
        """Those that are to run always, and do: of a profile that is not switched on there is no container."""
        return self._services(self._running())

    def new_tag(self) -> str:
        """The tag of what this tree makes of the host."""
        return f"{host_tag(self.deployment.tree)}-{self._renewed_base()}"

    def deploy(self, *, tests: bool) -> str:
        """As any version; ``tests`` are those of locations, the host's run in CI."""
        self._must_keep_to_its_walls()
        tag = self.new_tag()
        if tag == self.tag and self._serves(tag):
            return f"{self.name}: {tag} is active already, nothing to do"
        running = self._running()
        self._build(tag, "--profile=*", "build", *BUILT, *({"sandbox"} & running))
        self.keep(tag)
        with self._swapping():
            with self._sharing():
                self._set_up(tag, running)
            return self._switch(tag, [self.tag, *self.tags_before])

    def keep(self, tag: str) -> None:
        """Keeps what Docker Compose makes of the tree's files for the tag, to go back to."""
        model = self.deployment.compose(*CONFIG, **self._settings(tag))
        file = self._kept(tag)
        file.touch(0o600)  # what stands in `.env` is in it
        file.write_text(model)

    def remember(self, tag: str) -> None:
        """Makes the tag the active one: `make up` has just started it."""
        if tag != self.tag:
            self._remember(tag, [one for one in (self.tag, *self.tags_before) if one != tag and self._has_image(one)])

    def _has_image(self, tag: str) -> bool:
        return self._kept(tag).exists() and super()._has_image(tag)

    def _kept(self, tag: str) -> Path:
        file = self.deployment.env_file
        return file.with_name(f"{file.name}.host.{tag}.json")

    def _kept_models(self) -> Iterator[dict[str, Any]]:
        for file in self._kept("*").parent.glob(self._kept("*").name):
            yield json.loads(file.read_text())["services"]

    def _set_up(self, tag: str, running: set[str]) -> None:
        """Migrates the storage, and renews what the set-up of the new version makes; the old services go on.

        Docker Compose starts each of the one-shots when those that it depends on have succeeded.
        """
        names = [name for name in location_names(self.deployment.tree) if name in running]
        kinds = ["setup", "sandbox"] if "sandbox" in running else ["setup"]
        services = ["secrets", "setup", *(f"{name}-{kind}" for name in names for kind in kinds)]
        failed = None
        try:
            self.deployment.compose("--profile=*", "up", "--no-deps", *services, **self._settings(tag))
        except EngineError as error:
            failed = error  # names the service, and not its reason
        containers = self.deployment.containers()
        for service in services:
            if code := containers[service]["State"]["ExitCode"]:
                why = last_error(containers[service]["Id"]) or f"exit code {code}"
                raise Refused(f"{self.name}: nothing was swapped, since {service} of {tag} fails ({why})")
        if failed:
            raise Refused(f"{self.name}: nothing was swapped: {failed}")

    def _serve(self, tag: str, tried: Callable[[], None]) -> None:
        tried()
        before = self._loaded()
        services = [name for name in self._services(self._running()) if name not in UNDER_RUNS or self._changes(name)]
        file = (f"--file={self._kept(tag)}", f"--project-directory={self.deployment.tree}")
        up = ("--profile=*", "up", "--detach", "--no-deps")
        self.deployment.compose(*file, *up, *services, **self._settings(tag))
        join(self.deployment, *location_names(self.deployment.tree))  # the model may be older than some of them
        wait_for(lambda: self._well(tag, services), f"the services of {tag} to be healthy", HEALTHY_SECONDS)
        wait_for(lambda: before <= self._loaded(), f"{', '.join(sorted(before))} to be loaded again", HEALTHY_SECONDS)

    def _serves(self, tag: str) -> bool:
        try:
            return self._well(tag, self.services())
        except (EngineError, PlatformError):
            return False

    def _well(self, tag: str, services: list[str]) -> bool:
        """Whether every service is healthy in its image of the tag, and the UI answers.

        Raises :class:`EngineError` for one that dies again and again: nobody need wait for it.
        """
        containers = self.deployment.containers()
        found = {service: containers[service] for service in services if service in containers}
        for service, one in found.items():
            if one["RestartCount"] > RESTARTS:
                raise EngineError(f"{service} dies again and again: {last_error(one['Id']) or 'its log has no error'}")
        self.deployment.platform.login()
        return len(found) == len(services) and all(_is_well(*one, tag) for one in found.items())

    def _changes(self, service: str) -> bool:
        """Whether versions that are kept differ in it, or it is gone: `up --no-deps` restarts one that is the same."""
        kept = [services[service] for services in self._kept_models() if service in services]
        made_of = {json.dumps(one | {"image": _layers(one["image"])}) for one in kept}
        return len(made_of) > 1 or service not in self.deployment.containers()

    def _loaded(self) -> set[str]:
        """The locations that are loaded; none where the UI does not answer."""
        try:
            return {name for name, one in self.deployment.platform.locations().items() if one.loaded}
        except PlatformError:
            return set()

    def _running(self) -> set[str]:
        return set(self.deployment.compose("--profile=*", "ps", "--all", "--services").split())

    def _services(self, there: set[str]) -> list[str]:
        """Those of the tree that are to run always, of its profiles only what is ``there``."""
        model: dict[str, Any] = json.loads(self.deployment.compose(*CONFIG))["services"]
        locations = location_names(self.deployment.tree)
        own = {name: one for name, one in model.items() if one.get("restart") != "no" and name not in locations}
        return sorted(name for name, one in own.items() if not one.get("profiles") or name in there)

    def _runs_need(self) -> set[str]:
        return set()  # a run's container is made from its location's image

    def _forget(self, tag: str) -> None:
        self._kept(tag).unlink(missing_ok=True)
        if docker("image", "ls", "--quiet", f"{SANDBOX}:{tag}"):
            docker("image", "rm", f"{SANDBOX}:{tag}")


def _layers(image: str) -> str:
    """The files of an image, without the labels that say when it was built, and from what."""
    try:
        return docker("image", "inspect", "--format={{.RootFS.Layers}}", image)
    except EngineError:
        return "gone"


def _is_well(service: str, container: dict[str, Any], tag: str) -> bool:
    is_of_tag = container["Config"]["Image"].endswith(f":{tag}") or service in UNDER_RUNS
    return is_of_tag and bool(container["State"].get("Health", {}).get("Status") == "healthy")


def join(deployment: Deployment, *locations: str) -> None:
    """Connects the host's services with the networks of locations, where they are not yet."""
    networks = {f"{deployment.project}_{location}" for location in locations}
    networks &= set(docker("network", "ls", "--format={{.Name}}").split())  # one that was never deployed has none
    containers = deployment.containers()
    for service, alias in IN_EVERY_NETWORK.items():
        if not (container := containers.get(service)):
            continue
        for network in networks - container["NetworkSettings"]["Networks"].keys():
            if container["State"]["Running"]:
                docker("network", "connect", f"--alias={alias}", network, container["Id"])
