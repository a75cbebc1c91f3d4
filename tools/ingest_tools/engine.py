"""The Docker engine and the Compose project on it, as commands whose errors are one line."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest_tools.dagster_api import Platform
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT

RUN_LABEL = "ingest.project"
"""Marks run containers: `host/src/ingest_host/launch.py`."""
LOOPBACK = "127.0.0.1"
_SETTING = re.compile(r"""(?m)^\s*(?:export\s+)?(\w+)\s*=[ \t]*(?:"(.*?)"|'(.*?)'|(.*?))[ \t]*(?:(?<=\s)#.*)?$""")
"""A line of ``.env``: https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/"""


_STOPPED = re.compile(r'service "(\S+)" is not running')
"""What `docker compose exec` says."""


class EngineError(Refused):
    """A Docker command failed; the text is the last line of its output, ``output`` is all of it."""

    def __init__(self, text: str, output: str = "") -> None:
        super().__init__(text)
        self.output = output


def docker(
    *arguments: str,
    text: str | None = None,
    folder: Path = ROOT,
    seconds: float | None = None,
    shown: bool = False,
    **environment: str,
) -> str:
    """The output of a docker command, unless it is ``shown`` on the screen; ``text`` is its standard input.

    Raises :class:`EngineError`.
    """
    command, env = ["docker", *arguments], os.environ | environment
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, input=text, capture_output=not shown, text=True, timeout=seconds, check=False
        )
    except FileNotFoundError:
        raise EngineError("docker is not installed: install Docker Engine with Compose") from None
    except subprocess.TimeoutExpired:
        raise EngineError(f"{_name(arguments)}: no answer in {seconds:.0f} s") from None
    out, err = done.stdout or "", done.stderr or ""
    if done.returncode:
        said = (err or out).strip() or f"exit code {done.returncode}"
        raise EngineError(f"{_name(arguments)}: {said.splitlines()[-1]}", out + err or said)
    return out.strip()


def _name(arguments: Sequence[str]) -> str:
    """A docker command in a message: ``docker compose exec``."""
    return " ".join(["docker", *[one for one in arguments if not one.startswith("-")][:2]])


@dataclass(frozen=True)
class Deployment:
    """A Compose project of this repository, built from ``tree``.

    ``settings`` take precedence over ``env_file``, to which `deploy` writes the active tags.
    """

    project: str = "ingest"
    settings: dict[str, str] = field(default_factory=dict)
    env_file: Path = ROOT / ".env"
    tree: Path = ROOT

    @classmethod
    def here(cls) -> "Deployment":
        """The project that `docker compose` in this folder means."""
        name = "COMPOSE_PROJECT_NAME"
        return cls(os.environ.get(name) or cls().remembered().get(name) or cls.project)

    @property
    def platform(self) -> Platform:
        host = self.setting("INGEST_HOST") or LOOPBACK
        host = LOOPBACK if host in ("0.0.0.0", "::", "[::]") else host  # noqa: S104, where it is published
        return Platform(f"http://{host}:{self.setting('INGEST_PORT') or 3000}", self.setting("INGEST_TOKEN"))

    def setting(self, name: str) -> str:
        """A setting as Docker Compose sees it; empty if it is not set."""
        return (self.remembered() | os.environ | self.settings).get(name, "")

    def remembered(self) -> dict[str, str]:
        """The settings in ``env_file``, which Docker Compose reads too."""
        text = self.env_file.read_text() if self.env_file.exists() else ""
        return {found[1]: found[found.lastindex or 1] for found in _SETTING.finditer(text)}

    def compose(self, *arguments: str, text: str | None = None, **settings: str) -> str:
        """The output of a Docker Compose command."""
        return self._compose(arguments, settings, text=text)

    def show(self, *arguments: str, **settings: str) -> None:
        """Runs a Docker Compose command on the screen."""
        self._compose(arguments, settings, shown=True)

    def _compose(
        self, arguments: Sequence[str], settings: dict[str, str], *, text: str | None = None, shown: bool = False
    ) -> str:
        env_file = [f"--env-file={self.env_file}"] if self.env_file.exists() else []
        variables = {"COMPOSE_PROJECT_NAME": self.project} | self.settings | settings
        command = ("compose", *env_file, *arguments)
        try:
            return docker(*command, text=text, folder=self.tree, seconds=None, shown=shown, **variables)
        except EngineError as error:
            if not (stopped := _STOPPED.search(error.output)):
                raise
            text = f"{stopped[1]} is not running: start the platform with `make up`"
            raise EngineError(text, error.output) from None

    def psql(self, *arguments: str, text: str) -> str:
        """The output of psql, run as superuser in the container of Postgres."""
        return self.compose("exec", "-T", "postgres", "psql", *arguments, text=text)

    def one_shot(self, service: str, module: str, *arguments: str, text: str = "") -> str:
        """The output of a module of the host, run in a temporary container of the service.

        Raises :class:`Refused` with its last line if it fails.
        """
        run = ("run", "--rm", "--no-TTY", "--no-deps", service, "python", "-m", module, *arguments)
        try:
            return self.compose(*run, text=text)
        except EngineError as error:
            raise Refused((error.output.strip() or str(error)).splitlines()[-1]) from None

    def container(self, service: str) -> str:
        """The id of a service's container, running or not; raises :class:`EngineError` if it has none."""
        found = self.compose("ps", "--all", "--quiet", service)
        if not found:
            raise EngineError(f"{service} has no container: start the platform with `make up`")
        return found.splitlines()[0]

    def inspect(self, service: str) -> dict[str, Any]:
        return inspect(self.container(service))

    def containers(self) -> dict[str, dict[str, Any]]:
        """The engine's data on each service's container, running or not."""
        told = self.compose("--profile=*", "ps", "--all", "--no-trunc", "--format={{.ID}} {{.Service}}")
        services = dict(line.split() for line in told.splitlines())
        found = json.loads(docker("inspect", *services)) if services else []
        return {services[one["Id"]]: one for one in found}

    def address(self, service: str) -> str:
        """The address of a service's container in the platform's own network, from this machine."""
        networks = self.inspect(service)["NetworkSettings"]["Networks"]
        return str(networks[f"{self.project}_default"]["IPAddress"])

    def run_containers(self, *filters: str) -> list[str]:
        """The ids of run containers, including ended ones."""
        wanted = [f"--filter={one}" for one in (f"label={RUN_LABEL}={self.project}", *filters)]
        return docker("ps", "--all", "--quiet", "--no-trunc", *wanted).split()


def logs(container: str, lines: int) -> str:
    """The last output of a container, from both streams; empty if it does not exist."""
    command = ["docker", "logs", f"--tail={lines}", container]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return "" if done.returncode else done.stdout


def inspect(name: str) -> dict[str, Any]:
    """The engine's data on a container or an image."""
    found: dict[str, Any] = json.loads(docker("inspect", name))[0]
    return found
