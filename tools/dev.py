"""Serves Dagster's UI with every code location, each in its own environment and folder.

A location's settings are found in its own folder (``.dlt/config.toml``), and Dagster starts a code
server where it was started itself. So each gets a small launcher that changes to the folder first.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import sandbox
from local import Refused, end_in_order, environment, prepare
from projects import ROOT, Project, locations

HOST = Project(ROOT / "host")
SUPERSEDED = "ignore:Function `dev_command` is superseded"
"""`dg dev`, which Dagster advises, starts every location in one folder."""


def workspace(folder: Path) -> Path:
    """Writes the workspace file, and beside it a launcher for each location."""
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


def serve() -> None:
    """Serves until Ctrl-C."""
    prepare()
    port = os.environ.get("PORT", "3000")
    with (
        tempfile.TemporaryDirectory(prefix="ingest-dev-") as folder,
        sandbox.source_settings() as settings,
    ):
        variables = environment() | settings | {"PYTHONWARNINGS": SUPERSEDED}
        subprocess.run([HOST.python, ROOT / "tools" / "runs.py"], env=variables, check=True)
        command: list[str | Path] = [HOST.python, ROOT / "tools" / "tied.py", "dagster", "dev"]
        command += ["--workspace", workspace(Path(folder)), "--host", "127.0.0.1", "--port", port]
        print(f"Dagster's UI, in a few seconds: http://127.0.0.1:{port}", flush=True)
        process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE)
        try:
            process.wait()
        finally:
            # Ctrl-C reached it too: it ends its servers and then itself.
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait()


def main() -> int:
    end_in_order()
    try:
        serve()
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
