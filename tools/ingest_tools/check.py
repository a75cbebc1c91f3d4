"""All checks that do not run the code: lint, format, types, locks, workflows, consistency.

All checks run, even if one fails; a check that passes prints one line.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from ingest_tools import documents, registrations
from ingest_tools.images import location_names
from ingest_tools.local import Refused
from ingest_tools.projects import ROOT, TOOLS, Project, projects

BIN = Path(sys.executable).parent
INGEST = BIN / "ingest"
SHARED = Project(ROOT / "shared")

Check = tuple[str, list[str | Path], Path]
"""The checks: name, command and folder."""


def checks() -> Iterator[Check]:
    """Quick checks first."""
    yield "lint", [BIN / "ruff", "check", "--output-format=concise", "."], ROOT
    yield "format", [BIN / "ruff", "format", "--check", "--output-format=concise", "."], ROOT
    yield "repository", [sys.executable, "-m", "pytest", "tests/repository"], ROOT
    yield "walls in the resolved Compose files", [INGEST, "walls"], ROOT
    yield from _workflows()
    yield "locks", [INGEST, "lock", "--check"], ROOT
    for name in documents.pages():
        yield f"docs/tables/{name}.md", [INGEST, "table-docs", "--check", name], ROOT
    # Some tools import Dagster, as the shared package does.
    yield _types("tools and tests", SHARED, ROOT, ["tools", "tests", "--exclude=tests/deployment"])
    yield _types("tests on an engine", Project(ROOT), ROOT, ["tests/deployment"])
    for project in projects():
        folders = [name for name in ("src", "tests") if any((project.folder / name).rglob("*.py"))]
        if folders and not project.is_root:
            yield _types(project.name, project, project.folder, folders)


def _workflows() -> Iterator[Check]:
    """Offline: the workflows are checked without contacting GitHub."""
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    options = ["--offline", "--no-progress", "--quiet", "--strict-collection", "--persona=pedantic"]
    yield "workflows", [BIN / "zizmor", *options, *files], ROOT
    schema = ["--builtin-schema", "vendor.github-workflows"]
    yield "schema of the workflows", [BIN / "check-jsonschema", *schema, *files], ROOT


def _types(name: str, environment: Project, folder: Path, targets: list[str]) -> Check:
    """The root environment's mypy, which looks for packages in the project's environment."""
    options: list[str | Path] = ["--config-file", ROOT / "pyproject.toml", "--no-error-summary"]
    options += ["--cache-dir", ROOT / ".mypy_cache" / name.replace("/", "-")]
    options += ["--python-executable", environment.python]
    return f"types of {name}", [BIN / "mypy", *options, *targets], folder


def passes(name: str, command: list[str | Path], folder: Path) -> bool:
    """Runs one check and prints the result, with its output if it failed."""
    started = time.monotonic()
    variables = os.environ | {"MYPYPATH": str(TOOLS)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    verdict = "FAIL" if done.returncode else "ok  "
    print(f"{verdict}  {name}  ({time.monotonic() - started:.1f} s)", flush=True)
    if done.returncode or done.stdout.startswith("!!!"):
        print(done.stdout, flush=True)
    return done.returncode == 0


@click.command(epilog="Example: ingest check")
def check_command() -> None:
    """Check lint, types, lock files and repository consistency."""
    results = [passes(*check) for check in checks()]
    if failed := results.count(False):
        raise Refused(f"{failed} of {len(results)} checks failed")


@click.command(epilog="Example: ingest format")
@click.pass_context
def format_command(context: click.Context) -> None:
    """Format the code, apply lint fixes, render generated files."""
    for name in location_names():
        registrations.render(name)
    text = documents.README.read_text()
    documents.README.write_text(documents.with_help(text, context.find_root().command))
    for arguments in (("check", "--fix-only", "--quiet"), ("format",)):
        if subprocess.run([BIN / "ruff", *arguments, ROOT], check=False).returncode:
            raise Refused(f"ruff {arguments[0]} failed: see above")
