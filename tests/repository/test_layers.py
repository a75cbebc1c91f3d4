"""Who may know whom: the way of the data has one direction.

That ``source`` knows nothing of Dagster is the linter's rule, in the root's ``pyproject.toml``.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_tools.projects import ROOT, locations

LOCATIONS = {f"{location.folder.name}_location": location.folder / "src" for location in locations()}
SHARED = ROOT / "shared" / "src"
TESTING = ROOT / "testing" / "src"
SANDBOX = ROOT / "sandbox" / "src"
HTTP = {"aiohttp", "http", "httpx", "ingest_shared.reading", "requests", "urllib"}


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, as written."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(folder: Path, banned: set[str], files: str = "**/*.py") -> list[str]:
    """Imports of a banned module, or of one below it, in the folder."""
    return [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sorted(folder.glob(files))
        for name in imports(file)
        if any(name == module or name.startswith(f"{module}.") for module in banned)
    ]


@pytest.mark.parametrize("folder", [SHARED, TESTING], ids=["shared", "testing"])
def test_what_locations_share_knows_none_of_them(folder: Path) -> None:
    assert breaches(folder, {*LOCATIONS, "ingest_sandbox"}) == []


@pytest.mark.parametrize("folder", [SHARED, *LOCATIONS.values()], ids=["shared", *LOCATIONS])
def test_nothing_that_is_deployed_knows_the_test_kit(folder: Path) -> None:
    assert breaches(folder, {"ingest_testing", "pytest"}) == []


@pytest.mark.parametrize("module", LOCATIONS)
def test_no_location_knows_another(module: str) -> None:
    assert breaches(LOCATIONS[module], {*LOCATIONS, "ingest_sandbox"} - {module}) == []


@pytest.mark.parametrize("module", LOCATIONS)
def test_defs_knows_nothing_of_http(module: str) -> None:
    assert breaches(LOCATIONS[module], HTTP, f"{module}/defs/**/*.py") == []


def test_the_sandbox_stands_alone() -> None:
    """As the oracle of tests it must not share a mistake with what it judges."""
    assert breaches(SANDBOX, {*LOCATIONS, "ingest_shared", "ingest_testing", "dlt", "dagster"}) == []
