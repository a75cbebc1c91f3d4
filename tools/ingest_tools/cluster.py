"""The platform on a Kubernetes cluster: the same commands as on a Docker engine, through kubectl and Helm.

A location is a release of the chart ``deploy/kubernetes/location``, the host one of ``deploy/kubernetes/host``; all are
installed in the host's namespace. Helm remembers the versions. Images are built on this machine and reach the cluster
through the registry ``INGEST_REGISTRY`` or, without a registry, through the command ``INGEST_LOAD``.
"""

import atexit
import base64
import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest_tools.dagster_api import Platform, PlatformError, wait_for
from ingest_tools.deploy import HEALTHY_SECONDS, Deploy, provenance
from ingest_tools.deploy_host import BUILT, DeployHost
from ingest_tools.engine import LOOPBACK, Deployment, EngineError, docker
from ingest_tools.local import Refused
from ingest_tools.registrations import sandbox_settings, workspace
from ingest_tools.versions import HOST, LOOK_SECONDS, WATCH_SECONDS, errors_in

CHARTS = "deploy/kubernetes"
HELM_SECONDS = 180
"""Seconds within which whatever Helm installs must be ready."""
SANDBOX = "sandbox"
SERVICES = ("webserver", "daemon", "purge", "turnstile")
STARTING = ("", "ContainerCreating", "PodInitializing", "CrashLoopBackOff")
"""Reasons for which a container may wait for a while; one that died says why in its log."""
DIED = "died"
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
_forwards: dict[tuple[str, str], tuple[subprocess.Popen[str], str]] = {}


@dataclass(frozen=True)
class Cluster(Deployment):
    """The platform in a namespace of the cluster that kubectl's current context names."""

    @classmethod
    def here(cls) -> "Cluster":
        return cls(Deployment.here().project)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """What kubectl prints; raises :class:`EngineError` with its last line."""
        return self._call("kubectl", f"--namespace={self.project}", *arguments, text=text)

    def helm(self, *arguments: str) -> str:
        """What Helm prints; raises :class:`EngineError` with its last line."""
        return self._call("helm", f"--namespace={self.project}", *arguments)

    def _call(
        self, program: str, *arguments: str, text: str | None = None, is_in_vain: Callable[[], bool] | None = None
    ) -> str:
        """A program's output; the program is stopped early once it is bound to fail."""
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                [program, *arguments], cwd=self.tree, stdin=pipe, stdout=pipe, stderr=pipe, text=True
            )
        except FileNotFoundError:
            raise EngineError(f"{program} is not installed: install it, then point it at the cluster") from None
        with process:
            while process.returncode is None:
                try:
                    out, err = process.communicate(text, LOOK_SECONDS if is_in_vain else None)
                except subprocess.TimeoutExpired:
                    if is_in_vain and is_in_vain():
                        process.terminate()
                        is_in_vain = None
        if process.returncode:
            said = (err or out).strip() or f"exit code {process.returncode}"
            verb = next((one for one in arguments if not one.startswith("-")), "")
            raise EngineError(f"{program} {verb}: {said.splitlines()[-1]}", out + said)
        return out.strip()

    def namespace(self, location: str) -> str:
        """Where a location's pods are."""
        return f"{self.project}-{location.replace('_', '-')}"

    def make_namespace(self) -> None:
        """Creates the host's namespace, if there is none."""
        there = self.kubectl("get", "namespaces", "--output=name").splitlines()
        if f"namespace/{self.project}" not in there:
            self.kubectl("create", "namespace", self.project)

    def forward(self, service: str, port: int) -> str:
        """An address on this machine that leads to a service of the host, while this program runs."""
        process, address = _forwards.get((self.project, service), (None, ""))
        if process is None or process.poll() is not None:
            command = ["kubectl", f"--namespace={self.project}", "port-forward", f"service/{service}", f":{port}"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            atexit.register(process.kill)
            said = process.stdout.readline() if process.stdout else ""
            if not (found := re.search(r"from (\S+) ->", said)):
                raise PlatformError(f"{service} in namespace {self.project} cannot be reached: is the host deployed?")
            address = found[1]
            _forwards[self.project, service] = process, address
        return address

    @property
    def platform(self) -> Platform:
        """Through `kubectl port-forward`, under the address that people use."""
        seen_at = f"{LOOPBACK}:{self.setting('INGEST_PORT') or 3000}"
        return Platform(f"http://{self.forward('ui', 3000)}", self.setting("INGEST_TOKEN"), seen_at)

    def psql(self, *arguments: str, text: str) -> str:
        """The output of psql, run as superuser in the host's own Postgres."""
        return self.kubectl("exec", "-i", "postgres-0", "--", "psql", *arguments, text=text)

    def deliver(self, image: str) -> str:
        """Moves an image of this machine to where the cluster finds it; returns its name there.

        Raises :class:`Refused`.
        """
        if registry := self.setting("INGEST_REGISTRY"):
            name = f"{registry}/{image}"
            docker("tag", image, name)
            pushed = _DIGEST.search(docker("push", name))
            if not pushed:
                raise Refused(f"the registry gave no digest for {name}")
            return f"{name.rpartition(':')[0]}@{pushed[1]}"
        if not (load := self.setting("INGEST_LOAD")):
            raise Refused(
                "INGEST_REGISTRY is not set: name in .env the registry that the cluster pulls from, or set INGEST_LOAD"
                " to a command that loads an image into a cluster on this machine, such as `kind load docker-image`"
            )
        try:
            self._call(*shlex.split(load), image)
        except EngineError as error:
            raise Refused(f"INGEST_LOAD `{load}`: {error}") from None
        return image

    def share(self) -> None:
        """Updates the list of locations and access.yaml from this tree; the host rereads them by itself."""
        access = (self.tree / "access.yaml").read_text()
        texts = {"workspace.yaml": workspace(self.namespace, self.tree), "access.yaml": access}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "given"}, "data": texts}
        self.kubectl("apply", "--filename=-", text=json.dumps(config))

    def upgrade(self, release: str, chart: str, values: dict[str, Any], is_in_vain: Callable[[], bool]) -> None:
        """Installs or upgrades a release and waits until it is ready; otherwise everything stays as before.

        Helm rolls back at once when it is interrupted: https://helm.sh/docs/helm/helm_upgrade/
        """
        given = [f"--values={own}"] if (own := self.setting("INGEST_VALUES")) and chart == HOST else []
        given += [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]
        wait = ("--wait", f"--timeout={HELM_SECONDS}s", "--rollback-on-failure", "--history-max=10")
        try:
            command = (f"--namespace={self.project}", "upgrade", "--install", release, str(Path(CHARTS) / chart))
            self._call("helm", *command, *wait, *given, is_in_vain=is_in_vain)
        except EngineError as error:
            if "another operation" not in error.output:
                raise
            back = f"helm --namespace={self.project} rollback {release}"
            why = f"another deploy of it is under way; if that was killed: `{back}`"
            raise EngineError(why, error.output) from None

    def values(self, release: str, revision: int | None = None) -> dict[str, Any]:
        """The values of a release; empty if it is not installed."""
        which = [f"--revision={revision}"] if revision else []
        try:
            return dict(json.loads(self.helm("get", "values", release, *which, "--output=json")) or {})
        except EngineError as error:
            if "not found" in error.output:
                return {}
            raise

    def revisions(self, release: str) -> list[int]:
        """The versions that have been active, newest first."""
        try:
            told = json.loads(self.helm("history", release, "--output=json"))
        except EngineError as error:
            if "not found" in error.output:
                return []
            raise
        return [one["revision"] for one in reversed(told) if one["status"] in ("deployed", "superseded")]

    def pods(self, namespace: str, app: str) -> list[dict[str, Any]]:
        """The pods of a service that are not being deleted."""
        told = json.loads(self.kubectl("get", "pods", f"--namespace={namespace}", f"--selector=app={app}", "-ojson"))
        return [one for one in told["items"] if "deletionTimestamp" not in one["metadata"]]

    def services(self) -> list[dict[str, Any]]:
        """The pods of the host and the code servers, in the form in which the monitor reports containers."""
        selectors = ["--all-namespaces", "--selector=app,app notin (run, set-up)", "-ojson"]
        found = json.loads(self.kubectl("get", "pods", *selectors))["items"]
        told = []
        for pod in found:
            space, statuses = pod["metadata"]["namespace"], _statuses(pod)
            if space != self.project and not space.startswith(f"{self.project}-"):
                continue
            app = pod["metadata"]["labels"]["app"]
            told.append(
                {
                    "service": app if space == self.project else f"{space.removeprefix(f'{self.project}-')} {app}",
                    "keeps": True,
                    "status": pod["status"]["phase"].lower(),
                    "health": "healthy" if statuses and all(one["ready"] for one in statuses) else "not ready",
                    "restarts": sum(one["restartCount"] for one in statuses),
                }
            )
        return told

    def store(self, location: str, setting: str, text: str) -> str:
        """Stores a setting for a location's runs, or ``alerts.*`` for its code server; raises :class:`Refused`."""
        if not (value := text.strip()):
            raise Refused(f"standard input is empty: {setting} was not changed")
        if setting.startswith("sources.") and self.values(location.replace("_", "-")).get("sandbox"):
            raise Refused(f"{location} reads from the sandbox: deploy the host without it, then {location}")
        secret, reader = ("server", "alert") if setting.startswith("alerts.") else ("runs", "run")
        key = setting.replace(".", "--").replace("_", "-")
        patch = json.dumps({"data": {key: base64.b64encode(value.encode()).decode()}})
        where = f"--namespace={self.namespace(location)}"
        self.kubectl("patch", "secret", secret, where, "--patch-file=/dev/stdin", text=patch)
        return f"{location}: {setting} is stored; the next {reader} reads it"


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The statuses of its containers that exist."""
    found: list[dict[str, Any]] = pod["status"].get("containerStatuses", [])
    return found


class _Released:
    """What both kinds of release have in common; Helm keeps their versions and their locks."""

    deployment: Cluster
    name: str
    wanted: str

    @property
    def release(self) -> str:
        return self.name.replace("_", "-")

    @property
    def tag(self) -> str:
        """The active tag; empty if nothing is installed."""
        return str(self.deployment.values(self.release).get("tag", ""))

    def roll_back(self, to: str = "") -> str:
        """Activates the previous version, or ``to``; raises :class:`Refused`."""
        started, tag, self.wanted = time.monotonic(), self.tag, to
        earlier: dict[str, int] = {}
        for revision in self.deployment.revisions(self.release)[1:]:
            earlier.setdefault(str(self.deployment.values(self.release, revision).get("tag")), revision)
        earlier.pop(tag, None)
        if not earlier:
            raise Refused(f"{self.name} has no earlier version to go back to")
        if to and to not in earlier:
            raise Refused(
                f"--to={to} is not a version of {self.name} that was active: choose from {', '.join(earlier)}"
            )
        to = self.wanted = to or next(iter(earlier))
        wait = ("--wait", f"--timeout={HELM_SECONDS}s")
        self.deployment.helm("rollback", self.release, str(earlier[to]), *wait)
        self._gate(to)
        return f"{self.name}: {to} is active, {time.monotonic() - started:.1f} s after the rollback began"

    def _activate(self, tag: str, chart: str, values: dict[str, Any]) -> str:
        """Upgrades the release; if it dies or does not serve, it is rolled back. Raises :class:`Refused`."""
        started, old, before = time.monotonic(), self.tag, self._restarts()
        why = ""

        def has_died() -> bool:
            nonlocal why
            with suppress(EngineError):
                why = self._illness(before) or why  # afterwards its pods are gone, and their logs too
            return why.startswith(DIED)

        try:
            self.deployment.upgrade(self.release, chart, {"tag": tag, **values}, has_died)
        except EngineError as error:
            left = f"{old} is active again" if old else "there is no earlier version"
            raise Refused(f"{self.name}: {tag} was refused ({why or error}); {left}") from None
        try:
            self._gate(tag)
        except PlatformError as error:
            said, self.wanted = self.take_back(tag, f"was refused ({error})"), tag
            raise Refused(said) from None
        return f"{self.name}: {tag} is active, {time.monotonic() - started:.1f} s after it was built"

    def take_back(self, tag: str, why: str) -> str:
        """Activates the previous version, unless the unhealthy one was replaced in the meantime; returns in a line what
        was done."""
        if self.tag != tag:
            return f"{self.name}: {tag} {why}, and was replaced meanwhile"
        try:
            return f"{self.name}: {tag} {why}; {self.roll_back()}"
        except Refused as error:
            return f"{self.name}: {tag} {why}, and stays active: {error}"

    def _gate(self, tag: str) -> None:
        raise NotImplementedError

    def _pods(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def watch(self) -> str:
        """Watches the pods for a minute, without a lock; returns why one is unhealthy, or an empty text."""
        began, before = time.monotonic(), self._restarts()
        while time.monotonic() - began < WATCH_SECONDS:
            time.sleep(LOOK_SECONDS)
            if why := self._illness(before):
                return f"{why} {time.monotonic() - began:.0f} s after it was loaded"
        return ""

    def _restarts(self) -> dict[str, int]:
        """How often each pod was restarted."""
        return {pod["metadata"]["name"]: sum(one["restartCount"] for one in _statuses(pod)) for pod in self._pods()}

    def _illness(self, before: dict[str, int]) -> str:
        """What is wrong with a pod, in a few words; empty if there is nothing new."""
        for pod in self._pods():
            metadata, statuses = pod["metadata"], _statuses(pod)
            has_died = sum(one["restartCount"] for one in statuses) > before.get(metadata["name"], 0)
            if has_died and (said := self._log_of_dead(metadata, statuses)) is not None:
                return f"{DIED} ({([*errors_in(said)] or ['its log gives no reason'])[-1]})"
            for waiting in (one["state"].get("waiting", {}) for one in statuses):
                if waiting.get("reason", "") not in STARTING:
                    return f"cannot start ({waiting['reason']}: {waiting.get('message', '')})"
        return ""

    def _log_of_dead(self, metadata: dict[str, Any], statuses: list[dict[str, Any]]) -> str | None:
        """The log of the container that died last; None if the node has removed it, or the whole pod."""
        is_next_begun = not any("terminated" in one["state"] for one in statuses)
        which = (f"--namespace={metadata['namespace']}", f"--previous={str(is_next_begun).lower()}", "--tail=2000")
        try:
            said = self.deployment.kubectl("logs", metadata["name"], *which)
        except EngineError:
            return None
        return None if said.startswith("unable to retrieve container logs") else said


class LocationRelease(_Released, Deploy):
    """One location of the cluster; built, tested and checked against its walls as on a Docker engine."""

    deployment: Cluster

    def deploy(self, *, tests: bool) -> str:
        self._must_keep_to_its_walls()
        host = self.deployment.values(HOST)
        if not host:
            raise Refused("there is no host in the cluster: run `ingest deploy host --on kubernetes` first")
        tag = self.wanted = self.new_tag()
        if tag == self.tag and self._serves(tag):
            return f"{self.location}: {tag} is active already: nothing to do"
        self._build(tag, "build", *provenance(self.deployment.tree), self.location)
        if tests:
            self._test(tag)
        image = self.deployment.deliver(self.image(tag))
        self.deployment.share()
        values = {"name": self.location, "image": image, "hostImage": host["image"], "sandbox": self._sandbox(host)}
        if server := host.get("postgres", {}).get("host"):
            values["postgres"] = server
        return self._activate(tag, "location", values)

    def _sandbox(self, host: dict[str, Any]) -> dict[str, str]:
        """The settings that point it at the sandbox, by file name; none if the host has no sandbox."""
        if not host.get("sandboxImage"):
            return {}
        settings = sandbox_settings(
            self.location, f"http://{SANDBOX}.{self.deployment.project}:8099", self.deployment.tree
        )
        return {name.lower().replace("__", "--").replace("_", "-"): value for name, value in settings.items()}

    def _gate(self, tag: str) -> None:
        """Waits until the webserver has loaded the tag from the pod that runs now; raises :class:`PlatformError`."""
        platform = self.deployment.platform

        def served() -> bool:
            if self.location not in platform.locations():
                platform.reload_workspace()  # takes effect once the cluster has updated the list: within a minute
            elif not self._serves(tag):
                platform.reload_location(self.location)
            return self._serves(tag)

        wait_for(served, f"{self.location} to be loaded from {tag}", HEALTHY_SECONDS, 0.5)

    def _serves(self, tag: str) -> bool:
        image = self.deployment.values(self.release).get("image")
        pods = [pod["metadata"]["name"] for pod in self._pods()]
        try:
            found = self.deployment.platform.locations().get(self.location)
        except PlatformError:
            return False
        loaded = found is not None and found.loaded and found.image == image
        return bool(found and loaded and any(found.server_id.startswith(pod) for pod in pods))

    def _pods(self) -> list[dict[str, Any]]:
        return self.deployment.pods(self.deployment.namespace(self.location), "server")


class HostRelease(_Released, DeployHost):
    """The platform's own services in the cluster."""

    deployment: Cluster

    def deploy(self, *, tests: bool) -> str:
        """Like any version; ``tests`` only concerns locations, the host's tests run in CI."""
        self._must_keep_to_its_walls()
        tag, sandbox = self.new_tag(), bool(self.deployment.setting("SANDBOX"))
        self.wanted = tag
        self._build(tag, "--profile=*", "build", *BUILT, *([SANDBOX] if sandbox else []))
        names = {"image": "ingest-host", "frontImage": "ingest-front"}
        if sandbox:
            names["sandboxImage"] = "ingest-sandbox"
        values = {value: self.deployment.deliver(f"{name}:{tag}") for value, name in names.items()}
        self.deployment.make_namespace()
        self.deployment.share()
        return self._activate(tag, HOST, {"sandboxImage": "", **values})

    def _gate(self, tag: str) -> None:
        wait_for(self.deployment.platform.login, f"the UI of {tag} to answer", HEALTHY_SECONDS)

    def _pods(self) -> list[dict[str, Any]]:
        return [pod for app in SERVICES for pod in self.deployment.pods(self.deployment.project, app)]
