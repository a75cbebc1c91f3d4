"""The repository's projects: every folder with a ``pyproject.toml`` and an environment of its own."""

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).resolve().parent.parent
"""The folder that this package is imported from."""
ROOT = TOOLS.parent
LOCATIONS = ROOT / "locations"
NOT_DEPLOYED = (".", "shared", "testing", "benchmarks")
"""Projects without a runtime lock; the users of a library choose its versions."""


@dataclass(frozen=True)
class Project:
    """One folder with a ``pyproject.toml``."""

    folder: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The content of its ``pyproject.toml``."""
        return tomllib.loads((self.folder / "pyproject.toml").read_text())

    @property
    def name(self) -> str:
        """The folder relative to the root: ``locations/github``; ``.`` for the root itself."""
        return self.folder.relative_to(ROOT).as_posix()

    @property
    def python(self) -> Path:
        return self.folder / ".venv" / "bin" / "python"

    def tied(self, module: str, *arguments: str | Path) -> list[str | Path]:
        """A command that runs a module in its environment, and ends when its standard input closes."""
        return [self.python, TOOLS / "ingest_tools" / "tied.py", module, *arguments]

    @property
    def is_package(self) -> bool:
        """Whether it is installed, rather than only a list of requirements."""
        return "build-system" in self.settings

    @property
    def is_root(self) -> bool:
        return self.folder == ROOT

    @property
    def is_location(self) -> bool:
        return self.folder.parent == LOCATIONS

    @property
    def has_dev_group(self) -> bool:
        return "dev" in self.settings.get("dependency-groups", {})

    @property
    def locks(self) -> list[Path]:
        """Its lock files."""
        runtime = self.name not in NOT_DEPLOYED
        names = ["requirements.lock"] * runtime + ["requirements-dev.lock"] * self.has_dev_group
        return [self.folder / name for name in names]

    @property
    def dev_lock(self) -> Path:
        """The lock of the environment that ``make`` sets up."""
        return self.locks[-1]

    @property
    def path_dependencies(self) -> dict[str, Path]:
        """The projects of this repository that it depends on, by distribution name."""
        sources = self.settings.get("tool", {}).get("uv", {}).get("sources", {})
        return {name: (self.folder / source["path"]).resolve() for name, source in sources.items()}


def projects() -> list[Project]:
    """The root first, then every folder, in a stable order."""
    folders = [ROOT, *(path.parent for path in sorted(ROOT.glob("*/pyproject.toml")))]
    return [Project(folder) for folder in folders] + locations()


def locations() -> list[Project]:
    """The code locations: every folder below ``locations/`` with a ``pyproject.toml``."""
    return [Project(path.parent) for path in sorted(LOCATIONS.glob("*/pyproject.toml"))]
