"""Renews and checks the lock files.

A lock is a ``requirements.lock`` that uv and plain pip both install with every hash checked. It
names versions and hashes and no registry, so it works behind any mirror. The development lock is
the runtime lock plus the group ``dev``, at the very same versions.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from ingest_tools.local import Refused
from ingest_tools.projects import ROOT, Project, projects

UV = Path(sys.executable).with_name("uv")
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    # pip before 24 does not take the hash of `gql` for `gql[requests]`.
    "--no-strip-extras",
    "--annotation-style=line",
    "--custom-compile-command=make lock",
    "--quiet",
)


def compile_lock(project: Project, lock: Path, output: Path, *, upgrade: bool = False) -> None:
    """Compiles ``lock`` into ``output``, keeping its versions where they still fit.

    Raises :class:`Refused`, after uv's own words, when the requirements contradict each other.
    """
    command: list[str | Path] = [UV, "pip", "compile", "pyproject.toml", "--output-file", output, *OPTIONS]
    # The path dependency is installed from its folder; its requirements are in the lock.
    command += [f"--no-emit-package={name}" for name in project.path_dependencies]
    command += ["--upgrade"] * upgrade
    if lock.name == "requirements-dev.lock":
        command += ["--group=dev"]
        if (runtime := lock.with_name("requirements.lock")) in project.locks:
            command += ["--constraints", runtime.name]
    environment = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
    # The machine's settings (mirrors, local wheels) must not affect the lock.
    environment |= {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(command, cwd=project.folder, env=environment, check=False)
    if done.returncode:
        raise Refused(f"cannot lock {project.name}: see above")


def changed(*, upgrade: bool = False) -> Iterator[tuple[Path, str]]:
    """Every lock that does not match its ``pyproject.toml``, with its correct content."""
    with tempfile.TemporaryDirectory() as folder:
        for project in projects():
            for lock in project.locks:
                fresh = Path(folder) / "fresh.lock"
                fresh.unlink(missing_ok=True)
                if lock.exists():
                    shutil.copy(lock, fresh)
                compile_lock(project, lock, fresh, upgrade=upgrade)
                if not lock.exists() or fresh.read_bytes() != lock.read_bytes():
                    yield lock, fresh.read_text()


@click.command(epilog="Example: ingest lock --upgrade")
@click.option("--check", is_flag=True, help="Change nothing; fail if a lock is outdated.")
@click.option("--upgrade", is_flag=True, help="Upgrade to the newest versions that fit.")
def lock_command(*, check: bool, upgrade: bool) -> None:
    """Renew the lock files."""
    if check and upgrade:
        raise click.UsageError("--check changes nothing, --upgrade does: choose one.")
    outdated = []
    for lock, text in changed(upgrade=upgrade):
        name = str(lock.relative_to(ROOT))
        if check:
            outdated.append(name)
        else:
            # Only changed locks are written, because make then sets up their environments again.
            lock.write_text(text)
            print(f"{name}: renewed")
    if outdated:
        raise Refused(f"not up to date: {', '.join(outdated)}: run `make lock`")
