"""Activates the host of this tree: its images, `docker-compose.yml` and `dagster.yaml`; or an earlier version.

A version of the host is its images, which contain `dagster.yaml`, and the resolved Compose files. Those are kept in a
file next to ``.env``, so a rollback restores all of it. The storage stays migrated.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest_tools.dagster_api import PlatformError, wait_for
from ingest_tools.engine import Deployment, EngineError, docker
from ingest_tools.images import host_tag, location_names
from ingest_tools.local import Refused
from ingest_tools.versions import HOST, Versions, image_exists, last_error
from ingest_tools.walls import CONFIG

HEALTHY_SECONDS = 240
"""Seconds within which the services must become healthy, and the webserver must load the locations that it had
before."""
RESTARTS = 1
"""More restarts than this in a new container are no accident."""
BUILT = ("webserver", "front")
"""Services that together use the images."""
UNDER_RUNS = ("postgres", "turnstile")
"""Services that runs are connected to: they keep running, unless the version changes them."""
SANDBOX = "ingest-sandbox"
NETWORKS = {"default", "front", "launch"}
"""The host's own networks; all others are those of locations."""
CURRENT_IMAGE = "DAGSTER_CURRENT_IMAGE"
"""The variable that tells a code server its own image."""
IN_EVERY_NETWORK = {"turnstile": "postgres", "webserver": "webserver", "daemon": "daemon", "sandbox": "sandbox"}
"""Services of the host that are in the network of every location, with their names there."""


@dataclass
class DeployHost(Versions):
    """The platform's own services: all but those of locations."""

    deployment: Deployment

    @property
    def name(self) -> str:
        return HOST

    def images(self, tag: str) -> list[str]:
        return [f"ingest-host:{tag}", f"ingest-front:{tag}"]

    def services(self) -> list[str]:
        """The services that should always run and do: a profile that is not switched on has no container."""
        return self._services(self._running())

    def new_tag(self) -> str:
        """The tag of the host from this tree."""
        return f"{host_tag(self.deployment.tree)}-{self._renewed_base()}"

    def deploy(self, *, tests: bool) -> str:
        """Like any version; ``tests`` only concerns locations, the host's tests run in CI."""
        self._must_keep_to_its_walls()
        if not self._has_postgres():
            raise Refused(f"{self.name}: Postgres is not running: start the platform with `make up`")
        tag = self.wanted = self.new_tag()
        if tag == self.tag and self._serves(tag):
            return f"{self.name}: {tag} is active already: nothing to do"
        running = self._running()
        if unbuilt := self.unbuilt(tag, with_sandbox="sandbox" in running):
            self._build(tag, "--profile=*", "build", *unbuilt)
        self.keep(tag)
        with self._swapping():
            with self._sharing():
                self._set_up(tag, running)
            return self._switch(tag, [self.tag, *self.tags_before])

    def unbuilt(self, tag: str, *, with_sandbox: bool) -> list[str]:
        """The services to build for a tag: those whose images do not exist yet.

        Docker Compose writes its project into an image. One that is built again for another project gets a new id, and
        the next `up` of this one would recreate the service.
        """
        images = dict(zip(BUILT, self.images(tag), strict=True))
        if with_sandbox:
            images["sandbox"] = f"{SANDBOX}:{tag}"
        return [service for service, image in images.items() if not image_exists(image)]

    def keep(self, tag: str) -> None:
        """Keeps the resolved Compose files for the tag, for rollbacks."""
        model = self.deployment.compose(*CONFIG, **self._settings(tag))
        file = self._kept(tag)
        file.touch(0o600)  # it contains the values of `.env`
        file.write_text(model)

    def remember(self, tag: str) -> None:
        """Records the tag as active: `make up` has just started it."""
        if tag != self.tag:
            self._remember(tag, [one for one in (self.tag, *self.tags_before) if one != tag and self._has_image(one)])

    def runs_as_kept(self, tag: str) -> bool:
        """Whether the containers are what the tree asks for, apart from the networks of locations.

        Docker Compose would recreate them for less: for a location more or fewer, and for a deploy, whose `--no-deps`
        changes ``depends_on``, which Compose before 2.28 counts as a change:
        https://github.com/docker/compose/blob/main/pkg/compose/hash.go
        """
        if not self._kept(tag).exists():
            return False
        model = self.deployment.compose(*CONFIG, **self._settings(tag))
        kept, wanted = (json.loads(text)["services"] for text in (self._kept(tag).read_text(), model))
        locations = location_names(self.deployment.tree)
        for name, container in self.deployment.containers().items():
            one = wanted.get(name, {"restart": "no"})
            if one.get("restart") == "no":
                continue  # it is not in the tree, or runs again anyway
            if name not in locations and datetime.fromisoformat(container["Created"]) > self._kept_since(tag):
                return False  # others than those that the file tells of
            same = _made_of(one) == _made_of(kept.get(name, one))
            if not same or _layers(one["image"]) != _layers(container["Image"]):
                return False
        return True

    def serves_runs(self) -> bool:
        """Whether the active version can be started again, and Postgres is running."""
        return self._has_image(self.tag) and self._has_postgres()

    def _has_postgres(self) -> bool:
        return bool(self.deployment.compose("ps", "--quiet", "postgres"))

    def _has_image(self, tag: str) -> bool:
        return self._kept(tag).exists() and super()._has_image(tag)

    def _kept(self, tag: str) -> Path:
        file = self.deployment.env_file
        return file.with_name(f"{file.name}.host.{tag}.json")

    def _kept_since(self, tag: str) -> datetime:
        """When the containers were last known to be what the file tells of."""
        return datetime.fromtimestamp(self._kept(tag).stat().st_mtime, UTC)

    def _kept_models(self) -> Iterator[dict[str, Any]]:
        for file in self._kept("*").parent.glob(self._kept("*").name):
            yield json.loads(file.read_text())["services"]

    def _set_up(self, tag: str, running: set[str]) -> None:
        """Migrates the storage and runs the new version's set-up; the old services keep running.

        Docker Compose starts each one-shot service once those that it depends on have succeeded.
        """
        names = [name for name in location_names(self.deployment.tree) if name in running]
        kinds = ["setup", "sandbox"] if "sandbox" in running else ["setup"]
        services = ["secrets", "setup", *(f"{name}-{kind}" for name in names for kind in kinds)]
        failed = None
        try:
            self.deployment.compose("--profile=*", "up", "--no-deps", *services, **self._settings(tag))
        except EngineError as error:
            failed = error  # names the service, but not the reason
        containers = self.deployment.containers()
        for service in services:
            if code := containers[service]["State"]["ExitCode"]:
                why = last_error(containers[service]["Id"]) or f"exit code {code}"
                raise Refused(f"{self.name}: nothing was swapped, because {service} of {tag} failed ({why})")
        if failed:
            raise Refused(f"{self.name}: nothing was swapped: {failed}")

    def _serve(self, tag: str, tried: Callable[[], None]) -> None:
        tried()
        before = self._loaded()
        services = [name for name in self._services(self._running()) if name not in UNDER_RUNS or self._changes(name)]
        file = (f"--file={self._kept(tag)}", f"--project-directory={self.deployment.tree}")
        up = ("--profile=*", "up", "--detach", "--no-deps")
        self.deployment.compose(*file, *up, *services, **self._settings(tag))
        join(
            self.deployment, *location_names(self.deployment.tree)
        )  # the resolved files may be older than some of them
        wait_for(lambda: self._well(tag, services), f"the services of {tag} to be healthy", HEALTHY_SECONDS)
        wait_for(lambda: before <= self._loaded(), f"{', '.join(sorted(before))} to be loaded again", HEALTHY_SECONDS)
        self._kept(tag).touch()

    def _serves(self, tag: str) -> bool:
        try:
            return self._well(tag, self.services())
        except (EngineError, PlatformError):
            return False

    def _well(self, tag: str, services: list[str]) -> bool:
        """Whether every service is healthy in its image of the tag, and the UI answers.

        Raises :class:`EngineError` if one keeps dying, instead of waiting for it.
        """
        containers = self.deployment.containers()
        found = {service: containers[service] for service in services if service in containers}
        for service, one in found.items():
            if one["RestartCount"] > RESTARTS:
                raise EngineError(f"{service} keeps dying: {last_error(one['Id']) or 'its log has no error'}")
        self.deployment.platform.login()
        return len(found) == len(services) and all(_is_well(*one, tag) for one in found.items())

    def _changes(self, service: str) -> bool:
        """Whether the kept versions of it differ, or it is gone: `up --no-deps` would restart an unchanged one."""
        kept = [services[service] for services in self._kept_models() if service in services]
        made_of = {json.dumps(_made_of(one) | {"image": _layers(one["image"])}) for one in kept}
        return len(made_of) > 1 or service not in self.deployment.containers()

    def _loaded(self) -> set[str]:
        """The locations that are loaded; none if the UI does not answer."""
        try:
            return {name for name, one in self.deployment.platform.locations().items() if one.loaded}
        except PlatformError:
            return set()

    def _running(self) -> set[str]:
        return set(self.deployment.compose("--profile=*", "ps", "--all", "--services").split())

    def _services(self, there: set[str]) -> list[str]:
        """The services of the tree that should always run; services with a profile only if they are ``there``."""
        model: dict[str, Any] = json.loads(self.deployment.compose(*CONFIG))["services"]
        locations = location_names(self.deployment.tree)
        own = {name: one for name, one in model.items() if one.get("restart") != "no" and name not in locations}
        return sorted(name for name, one in own.items() if not one.get("profiles") or name in there)

    def _runs_need(self) -> set[str]:
        return set()  # a run's container is made from its location's image

    def _forget(self, tag: str) -> None:
        self._kept(tag).unlink(missing_ok=True)
        if image_exists(f"{SANDBOX}:{tag}"):
            docker("image", "rm", f"{SANDBOX}:{tag}")


def _made_of(service: dict[str, Any]) -> dict[str, Any]:
    """What of a resolved service a container is created from, without what differs by version or by location."""
    others = ("build", "depends_on", "image", "labels")
    environment = {name: value for name, value in (service.get("environment") or {}).items() if name != CURRENT_IMAGE}
    networks = sorted(NETWORKS.intersection(service.get("networks") or {}))
    kept = {name: value for name, value in service.items() if name not in others}
    return kept | {"environment": environment, "networks": networks}


def _layers(image: str) -> str:
    """The contents of an image, without the labels that say when and from what it was built."""
    try:
        return docker("image", "inspect", "--format={{.RootFS.Layers}}", image)
    except EngineError:
        return "gone"


def _is_well(service: str, container: dict[str, Any], tag: str) -> bool:
    is_of_tag = container["Config"]["Image"].endswith(f":{tag}") or service in UNDER_RUNS
    return is_of_tag and bool(container["State"].get("Health", {}).get("Status") == "healthy")


def join(deployment: Deployment, *locations: str) -> None:
    """Connects the host's services to the networks of locations, if they are not connected yet."""
    networks = {f"{deployment.project}_{location}" for location in locations}
    networks &= set(docker("network", "ls", "--format={{.Name}}").split())  # one that was never deployed has none
    containers = deployment.containers()
    for service, alias in IN_EVERY_NETWORK.items():
        if not (container := containers.get(service)):
            continue
        for network in networks - container["NetworkSettings"]["Networks"].keys():
            if container["State"]["Running"]:
                docker("network", "connect", f"--alias={alias}", network, container["Id"])
