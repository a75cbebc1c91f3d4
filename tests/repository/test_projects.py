"""Every project is where, and named as, the others expect it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ingest_tools import dev
from ingest_tools.projects import ROOT, Project, locations, projects

LOCATIONS = locations()
SOURCES = ("github", "stripe")
"""Names that belong to the sources' own Python packages."""


def test_the_first_locations_are_found() -> None:
    assert {"github", "stripe"} <= {location.folder.name for location in LOCATIONS}


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda location: location.folder.name)
class TestLocation:
    """The shape of ``locations/<name>``."""

    def test_distribution_and_module_are_named_after_the_folder(self, location: Project) -> None:
        name = location.folder.name
        assert location.settings["project"]["name"] == f"{name}-location"
        assert location.settings["tool"]["dg"]["project"]["root_module"] == f"{name}_location"

    def test_has_what_every_location_has(self, location: Project) -> None:
        module = f"src/{location.folder.name}_location"
        needed = [
            ".dlt/config.toml",
            f"{module}/definitions.py",
            f"{module}/defs",
            f"{module}/source",
            "requirements.lock",
            "requirements-dev.lock",
            "tests",
        ]
        assert [path for path in needed if not (location.folder / path).exists()] == []

    def test_takes_shared_and_the_test_kit_by_path(self, location: Project) -> None:
        assert location.path_dependencies == {"ingest-shared": ROOT / "shared", "ingest-testing": ROOT / "testing"}


@pytest.mark.parametrize("project", projects(), ids=lambda project: project.name)
def test_no_project_hides_the_package_of_a_source(project: Project) -> None:
    """A module ``stripe`` would overwrite Stripe's own when both are installed."""
    modules = [path.name for path in project.folder.glob("src/*")]
    assert not {project.settings["project"]["name"], *modules} & set(SOURCES)


def test_make_dev_serves_every_location(tmp_path: Path) -> None:
    served = dev.workspace(tmp_path).read_text()
    for location in LOCATIONS:
        assert f"location_name: {location.folder.name}\n" in served
        assert f"cd {location.folder} " in (tmp_path / f"{location.folder.name}-python").read_text()


def set_up_by(*arguments: str) -> set[str]:
    """The projects whose environments make sets up for a target, were none there yet."""
    command = ["make", "--dry-run", "--always-make", *arguments]
    variables = {name: value for name, value in os.environ.items() if name not in ("ONLY", "MAKEFLAGS")}
    told = subprocess.run(command, cwd=ROOT, env=variables, text=True, capture_output=True, check=True).stdout
    return set(re.findall(r"ingest sync (\S+)", told))


NAMES = {project.name for project in projects() if not project.is_root}
FOLDERS = {location.name for location in LOCATIONS}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("setup", NAMES),
        ("setup ONLY=shared", {"shared"}),
        ("test", NAMES),
        ("test ONLY=shared", {"shared"}),
        ("test ONLY=locations/github", {"locations/github", "sandbox"}),
        ("test ONLY=tests", {"sandbox", "host", *FOLDERS}),
        ("test ONLY='host benchmarks'", {"host", "benchmarks"}),
        ("test ONLY=nope", set()),
        ("ingest", {"sandbox", *FOLDERS}),
        ("ingest ONLY=github", {"locations/github", "sandbox"}),
        ("deploy LOCATION=github", set()),
    ],
)
def test_make_sets_up_what_is_needed_and_nothing_else(arguments: str, expected: set[str]) -> None:
    """The Makefile finds the projects by itself, since it cannot ask Python before there is one."""
    assert set_up_by(*shlex.split(arguments)) == expected


def test_source_is_kept_free_of_dagster_by_the_linter() -> None:
    """With a message that says where the code belongs."""

    def lint(file: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("ruff"), "check", "--stdin-filename", file, "-"],
            cwd=ROOT,
            input="import dagster\n\nprint(dagster)\n",
            text=True,
            capture_output=True,
            check=False,
        )
        return done.stdout

    assert "belongs in defs/" in lint("locations/github/src/github_location/source/new.py")
    assert "TID251" not in lint("locations/github/src/github_location/defs/new.py")
