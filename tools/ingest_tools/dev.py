"""Serves Dagster's UI with every code location, each in its own environment and folder.

A location's settings are in its own folder (``.dlt/config.toml``), but Dagster starts code servers in its own working
directory. So each gets a small launcher that changes to its folder first.
"""

import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from ingest_tools import sandbox
from ingest_tools.local import prepare
from ingest_tools.projects import ROOT, TOOLS, Project, locations

HOST = Project(ROOT / "host")
SUPERSEDED = "ignore:Function `dev_command` is superseded"
"""`dg dev`, which Dagster advises, starts every location in one folder."""


def workspace(folder: Path) -> Path:
    """Writes the workspace file, and next to it a launcher for each location."""
    lines = ["load_from:"]
    for location in locations():
        name = location.folder.name
        module = location.settings["tool"]["dg"]["project"]["root_module"]
        launcher = folder / f"{name}-python"
        where, python = shlex.quote(str(location.folder)), shlex.quote(str(location.python))
        launcher.write_text(f'#!/bin/sh\ncd {where} && exec {python} "$@"\n')
        launcher.chmod(0o700)
        lines += [
            "  - python_module:",
            f"      module_name: {module}.definitions",
            f"      location_name: {name}",
            f"      executable_path: {launcher}",
        ]
    file = folder / "workspace.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


@click.command(epilog="Example: ingest dev --port 3001")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@sandbox.origin
def dev_command(port: int, *, live: bool, url: str, size: str) -> None:
    """Serve Dagster's UI with every location, until Ctrl-C."""
    environment = prepare(live=live) | {"PYTHONWARNINGS": SUPERSEDED}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="ingest-dev-") as folder,
            sandbox.source_settings(live=live, url=url, size=size) as settings,
        ):
            subprocess.run([HOST.python, "-m", "ingest_tools.runs"], cwd=TOOLS, env=environment, check=True)
            serve(workspace(Path(folder)), port, environment | settings)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)


def serve(workspace: Path, port: int, environment: dict[str, str]) -> None:
    """Serves what the workspace file names until it is interrupted."""
    options = ("--workspace", workspace, "--host", "127.0.0.1", "--port", str(port))
    print(f"Dagster's UI, in a few seconds: http://127.0.0.1:{port}", flush=True)
    process = subprocess.Popen(HOST.tied("dagster", "dev", *options), env=environment, stdin=subprocess.PIPE)
    try:
        process.wait()
    finally:
        # Ctrl-C reached it too: it stops its servers and then itself.
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait()
