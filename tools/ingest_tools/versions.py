"""Versions of what is deployed, a location or the host: remembered, swapped, rolled back, watched.

The active tag is in ``.env``, which Docker Compose reads, so it survives `docker compose up`. Next to it are the tags
that a rollback can return to, and all that were activated: only those may be run.
"""

import json
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ingest_tools import walls
from ingest_tools.dagster_api import PlatformError
from ingest_tools.engine import Deployment, EngineError, docker, inspect, logs
from ingest_tools.images import location_names
from ingest_tools.local import Refused, held
from ingest_tools.registrations import unrendered

HOST = "host"
"""What the command line calls the platform's own services; no location may have that name."""
KEPT_IMAGES = 3
"""Versions whose images stay on this machine, the active one among them."""
BASE = "python:3.13-slim-trixie"
"""The base image, unless INGEST_PYTHON in ``.env`` names another, or the same with its digest."""
BASE_DIGITS = 6
PULL_SECONDS = 60
WATCH_SECONDS = 60
"""Seconds for which new containers are watched after the swap; if one dies, the previous version is activated again."""
LOOK_SECONDS = 2
FIRST_TAG = "local"
"""What `docker compose up` built before any deploy."""

_ERROR = re.compile(r"\b(?:[\w.]*\.)?(?!DagsterUserCodeLoadError)(\w+(?:Error|Exception): .+)")
"""The line of a traceback that says what is wrong; Dagster's wrapper only says that something is."""


class Versions(ABC):
    """The versions of a location or the host; what happens to one after it is built."""

    deployment: Deployment
    wanted = ""
    """The tag that the latest deploy or rollback was to activate; empty if that was not known before it failed."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of what is deployed, as on the command line."""

    @abstractmethod
    def deploy(self, *, tests: bool) -> str:
        """Returns in a line what was done; raises :class:`Refused` if the new version was not activated."""

    @abstractmethod
    def images(self, tag: str) -> list[str]:
        """The images that a version is made of."""

    @abstractmethod
    def services(self) -> list[str]:
        """The services that a swap replaces."""

    @abstractmethod
    def _serve(self, tag: str, tried: Callable[[], None]) -> None:
        """Swaps, unless ``tried`` raises, and waits until the version serves; raises :class:`Refused`."""

    @abstractmethod
    def _serves(self, tag: str) -> bool:
        """Whether the version serves now."""

    @abstractmethod
    def _runs_need(self) -> set[str] | None:
        """Images that unfinished runs need, running or not; None if that is not known yet."""

    @property
    def tag(self) -> str:
        """The active tag."""
        return self.deployment.remembered().get(self._variable) or FIRST_TAG

    @property
    def tags_before(self) -> list[str]:
        """What a rollback can go back to: the earlier versions, newest first, if their images still exist."""
        return self._tags(f"{self._variable}_BEFORE")

    @property
    def activated(self) -> list[str]:
        """Tags that have been active, newest first, if their images still exist."""
        return self._tags(f"{self._variable}S") or [self.tag]

    def _tags(self, variable: str) -> list[str]:
        """Remembered tags whose images are there."""
        tags = self.deployment.remembered().get(variable, "").split(",")
        return [tag for tag in tags if tag and self._has_image(tag)]

    def roll_back(self, to: str = "") -> str:
        """Activates the previous version, or ``to``; calling it twice goes back twice. Raises :class:`Refused`."""
        with self._swapping():
            return self._switch_back(to)

    def _switch_back(self, to: str) -> str:
        before = self.tags_before
        if not to and not before:
            raise Refused(f"{self.name} has no earlier version to go back to: no image of one is left")
        to = self.wanted = to or before[0]
        if to not in self.activated and to not in before:
            known = ", ".join(self.activated)
            raise Refused(f"--to={to} is not a version of {self.name} that was active: choose from {known}")
        # A version that was rolled back is not a target again, unless it is named.
        before = before[before.index(to) + 1 :] if to in before else [self.tag, *before]
        return self._switch(to, before, since="the rollback began")

    @contextmanager
    def _swapping(self) -> Iterator[None]:
        """While held, no other deploy swaps it, or the host under it. Builds and tests need no lock."""
        with (
            self._alone(HOST, shared=self.name != HOST),  # swaps of locations do not wait for each other
            self._alone(self.name) if self.name != HOST else nullcontext(),
        ):
            yield

    def _sharing(self) -> AbstractContextManager[None]:
        """While held, no other deploy touches what all share: ``.env`` and the platform's set-up."""
        file = self.deployment.env_file
        return held(file.with_name(f"{file.name}.lock"), "waiting for another deploy to be set up")

    def _alone(self, name: str, *, shared: bool = False) -> AbstractContextManager[None]:
        file = self.deployment.env_file
        waiting = f"waiting for another deploy to swap the containers of {name}"
        return held(file.with_name(f"{file.name}.{name}.lock"), waiting, shared=shared)

    def _switch(
        self, tag: str, before: list[str], tried: Callable[[], None] = lambda: None, since: str = "it was built"
    ) -> str:
        """Serves the tag, unless ``tried`` raises."""
        started, old = time.monotonic(), self.tag
        try:
            self._serve(tag, tried)
        except (EngineError, PlatformError) as error:
            raise Refused(f"{self.name}: {tag} was refused ({error}); {self._restored(old, tag)}") from None
        except BaseException:  # Ctrl-C, or a canceled CI job
            print(f"{self.name}: interrupted; {self._restored(old, tag)}", file=sys.stderr)
            raise
        self._remember(tag, [other for other in before if other != tag and self._has_image(other)])
        self._remove_old_images()
        return f"{self.name}: {tag} is active, {time.monotonic() - started:.1f} s after {since}"

    def _restored(self, old: str, refused: str) -> str:
        """Puts the active version back if it is gone, and returns in a few words how that went."""
        if old == refused or not self._has_image(old):
            return "there is no earlier version"
        try:
            if not self._serves(old):
                self._serve(old, lambda: None)
        except (EngineError, PlatformError) as error:
            up = "make up" if self.name == HOST else f"docker compose up --detach --no-deps {self.name}"
            return f"{old} could not be put back ({error}): run `{up}`"
        return f"{old} is active again"

    def watch(self) -> str:
        """Watches the containers for a minute, without a lock; returns why one is unhealthy, or an empty text."""
        tag, began = self.tag, time.monotonic()
        containers = self.deployment.containers()
        served = {service: containers[service] for service in self.services()}
        while time.monotonic() - began < WATCH_SECONDS:
            time.sleep(LOOK_SECONDS)
            for service, first in served.items():
                try:
                    found = inspect(first["Id"])
                except EngineError:
                    return ""  # another deploy has replaced it, and watches that one
                why = _illness(found, first["State"]["StartedAt"]) or self._unloaded()
                if self.tag != tag:
                    return ""
                if why:
                    subject = "" if service == self.name else f"its {service} "
                    return f"{subject}{why} {time.monotonic() - began:.0f} s after it was loaded"
        return ""

    def _unloaded(self) -> str:
        """What is wrong with what the webserver has loaded, in a few words; empty if nothing is."""
        return ""

    def take_back(self, tag: str, why: str) -> str:
        """Activates the previous version, unless the bad one was replaced in the meantime; returns in a line what it
        did."""
        with self._swapping():
            if self.tag != tag:
                return f"{self.name}: {tag} {why}, and was replaced meanwhile"
            try:
                self._switch_back("")
            except Refused as error:
                return f"{self.name}: {tag} {why}, and stays active: {error}"
        return f"{self.name}: {tag} {why}; {self.tag} is active again"

    def _must_keep_to_its_walls(self) -> None:
        """Raises :class:`Refused` if the Compose files give a service more than it may have."""
        tree = self.deployment.tree
        names = location_names(tree)
        found = [line for name in names if self.name in (name, HOST) for line in unrendered(name, tree)]
        if not found:  # otherwise it would be resolved, and the error could quote this machine's variables and files
            found += walls.problems(json.loads(self.deployment.compose(*walls.CONFIG)), names, tree)
        if found:
            raise Refused(f"{self.name}: nothing was deployed: {'; '.join(found)}")

    def _renewed_base(self) -> str:
        """The first digits of the base image's id, after pulling the newest one under its name.

        If no registry answers, prints a warning and uses the local image.
        """
        base = self.deployment.setting("INGEST_PYTHON") or BASE
        try:
            docker("pull", "--quiet", base, seconds=PULL_SECONDS)
        except EngineError as error:
            print(f"could not look for a newer {base}: {error}", file=sys.stderr)
        return str(inspect(base)["Id"]).partition(":")[2][:BASE_DIGITS]

    def _build(self, tag: str, *arguments: str) -> None:
        """Builds with `docker compose build`; raises :class:`Refused` with the line that says why it failed."""
        try:
            self.deployment.compose("--progress=plain", *arguments, **self._settings(tag))
        except EngineError as error:
            errors = _ERROR.findall(error.output)
            reason = errors[-1] if errors else str(error)
            raise Refused(f"{self.name}: the image could not be built ({reason}): nothing was deployed") from None

    def _remove_old_images(self) -> None:
        """Keeps the active version, the one before it and the latest ones; never removes an image in use."""
        repositories = [image.rpartition(":")[0] for image in self.images(self.tag)]
        tags = docker("image", "ls", "--format={{.Tag}}", repositories[0]).split()  # the newest first
        wanted = (self.tag, *self.tags_before[:1], *self.activated, *tags)
        kept = list(dict.fromkeys(tag for tag in wanted if tag in tags))[:KEPT_IMAGES]
        runs = self._runs_need()
        if runs is None:
            return  # a queued run has not named its image yet; the next deploy tries again
        needed = runs | set(docker("ps", "--all", "--format={{.Image}}").split())
        for tag in tags:
            images = self.images(tag)
            if tag not in kept and needed.isdisjoint(images):
                self._forget(tag)
                docker("image", "rm", *(image for image in images if image_exists(image)))

    def _forget(self, tag: str) -> None:  # noqa: B027, most keep nothing else
        """Removes other files of a version whose images are removed."""

    @property
    def _variable(self) -> str:
        return f"{self.name.upper()}_TAG"

    def _settings(self, tag: str) -> dict[str, str]:
        """The variables with which Compose serves the tag: a location's runs may use any image that was activated."""
        activated = list(dict.fromkeys([tag, *self.activated]))
        return {self._variable: tag, f"{self._variable}S": ",".join(activated)}

    def _remember(self, tag: str, before: list[str]) -> None:
        self._write(self._settings(tag) | {f"{self._variable}_BEFORE": ",".join(before)})

    def forget(self) -> None:
        """Removes its tags from ``.env``."""
        if self.deployment.env_file.exists():
            self._write({})

    def _write(self, own: dict[str, str]) -> None:
        """Replaces its lines in ``.env``, atomically; other lines stay."""
        file, names = self.deployment.env_file, [f"{self._variable}{end}" for end in ("", "S", "_BEFORE")]
        half = file.with_name(f"{file.name}.new")
        with self._sharing():
            lines = file.read_text().splitlines() if file.exists() else []
            kept = [line for line in lines if line.split("=", 1)[0] not in names]
            half.write_text("".join(f"{line}\n" for line in [*kept, *(f"{name}={own[name]}" for name in own)]))
            half.replace(file)

    def _has_image(self, tag: str) -> bool:
        return all(image_exists(image) for image in self.images(tag))


def image_exists(image: str) -> bool:
    """Whether the engine has an image of that name and tag."""
    return bool(docker("image", "ls", "--quiet", image))


def _illness(found: dict[str, Any], started: str) -> str:
    """What is wrong with a container that started at a given time, in a few words; empty if nothing is."""
    state = found["State"]
    if not state["Running"] or state["StartedAt"] != started:
        return f"died ({last_error(found['Id']) or 'its log gives no reason'})"
    # The engine also calls a dying container unhealthy, without a failed check.
    health = state["Health"]
    return "became unhealthy" if health["Status"] == "unhealthy" and health["FailingStreak"] else ""


def errors_in(text: str) -> Iterator[str]:
    """The lines of tracebacks that say what is wrong."""
    return iter(_ERROR.findall(text))


def last_error(container: str) -> str:
    """The last line of a container's log that says what is wrong; empty if none does."""
    errors = _ERROR.findall(logs(container, 200))
    return errors[-1] if errors else ""
