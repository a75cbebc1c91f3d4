"""Everything that is checked without running the code: lint, format, types, locks, workflows, consistency.

All checks run, even where one fails; a check that passes says one line.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from local import end_in_order
from projects import LOCATIONS, ROOT, Project, projects

TOOLS = Path(sys.executable).parent
SHARED = Project(ROOT / "shared")

Check = tuple[str, list[str | Path], Path]
"""What is checked, by which command, in which folder."""


def checks() -> Iterator[Check]:
    """The quick ones first."""
    yield "lint", [TOOLS / "ruff", "check", "--output-format=concise", "."], ROOT
    yield "format", [TOOLS / "ruff", "format", "--check", "--output-format=concise", "."], ROOT
    yield "repository", [sys.executable, "-m", "pytest", "tests/repository"], ROOT
    yield "walls in what Docker Compose makes of its files", [sys.executable, "tools/walls.py"], ROOT
    yield from _workflows()
    yield "locks", [sys.executable, "tools/lock.py", "--check"], ROOT
    for name in sorted(page.stem for page in (ROOT / "docs" / "tables").glob("*.md")):
        python = Project(LOCATIONS / name).python
        yield f"docs/tables/{name}.md", [python, "tools/table_docs.py", name, "--check"], ROOT
    # Some tools import Dagster, as the shared package does; the others need nothing.
    yield _types("tools and tests", SHARED, ROOT, ["tools", "tests", "--exclude=tests/deployment"])
    yield _types("tests on an engine", Project(ROOT), ROOT, ["tests/deployment"])
    for project in projects():
        folders = [name for name in ("src", "tests") if any((project.folder / name).rglob("*.py"))]
        if folders and not project.is_root:
            yield _types(project.name, project, project.folder, folders)


def _workflows() -> Iterator[Check]:
    """Nothing is asked of GitHub: what is said of a workflow follows from its text."""
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    options = ["--offline", "--no-progress", "--quiet", "--strict-collection", "--persona=pedantic"]
    yield "workflows", [TOOLS / "zizmor", *options, *files], ROOT
    schema = ["--builtin-schema", "vendor.github-workflows"]
    yield "schema of the workflows", [TOOLS / "check-jsonschema", *schema, *files], ROOT


def _types(name: str, environment: Project, folder: Path, targets: list[str]) -> Check:
    """mypy of the root's environment, which looks for packages in the project's."""
    options: list[str | Path] = ["--config-file", ROOT / "pyproject.toml", "--no-error-summary"]
    options += ["--cache-dir", ROOT / ".mypy_cache" / name.replace("/", "-")]
    options += ["--python-executable", environment.python]
    return f"types of {name}", [TOOLS / "mypy", *options, *targets], folder


def passes(name: str, command: list[str | Path], folder: Path) -> bool:
    """Runs one check and says how it went, with its output where it failed."""
    started = time.monotonic()
    variables = os.environ | {"MYPYPATH": str(ROOT / "tools")}
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


def main() -> int:
    """0 when all pass, else 1."""
    end_in_order()
    results = [passes(*check) for check in checks()]
    if failed := results.count(False):
        print(f"{failed} of {len(results)} checks failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
