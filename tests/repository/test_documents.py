"""What the documents name is there; what must not stand in a file does not."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from ingest_tools import documents
from ingest_tools.cli import cli
from ingest_tools.projects import ROOT, Project, locations

_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
_PLACEHOLDER = re.compile(r"<[^>]*>|\{[^}]*\}|…|\.\.\.|[A-Z]{3,}")
REGISTRIES = re.compile(r"\b(?:pypi|pythonhosted|npmjs)\.(?:org|com)\b|\bdeb\.debian\b")
"""Hosts of package registries: which one is used is the machine's business."""


@cache
def tracked() -> list[Path]:
    """The repository's files, those that are not yet committed too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    told = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True)
    return [ROOT / name for name in sorted(set(told.stdout.split("\0"))) if name and (ROOT / name).is_file()]


def texts() -> list[Path]:
    return [file for file in tracked() if b"\0" not in file.read_bytes()[:8192]]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


DOCUMENTS = [file for file in tracked() if file.suffix == ".md"]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))


def exists(name: str, document: Path) -> bool:
    """Whether a path is there, as seen from the root or from the document's own folder."""
    pattern = _PLACEHOLDER.sub("*", name).rstrip("/.,:")
    return any(any(folder.glob(pattern)) for folder in (ROOT, document.parent))


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    links = [link for link in _LINK.findall(document.read_text()) if "://" not in link and link[0] != "/"]
    assert [link for link in links if not (document.parent / link).exists()] == []


@each_document
def test_named_paths_exist(document: Path) -> None:
    """A path in code marks that begins with one of the repository's own folders."""
    folders = {file.relative_to(ROOT).parts[0] for file in tracked() if file.parent != ROOT}
    path = re.compile(rf"(?<![\w/.~$-])(?:{'|'.join(map(re.escape, sorted(folders)))})/[\w./*<>{{}}…-]*")
    named = [name for code in _CODE.findall(document.read_text()) for name in path.findall(code)]
    assert [name for name in named if ".venv" not in name and not exists(name, document)] == []


@each_document
def test_named_make_targets_exist(document: Path) -> None:
    named = {name for code in _CODE.findall(document.read_text()) for name in _MAKE.findall(code)}
    assert named - targets() == set()


@pytest.mark.parametrize("location", locations(), ids=lambda location: location.folder.name)
def test_a_locations_readme_names_each_job_and_when_it_runs(location: Project) -> None:
    snapshot = (location.folder / "tests" / "definitions.txt").read_text()
    scheduled = dict(re.findall(r"^    job (\w+); at (.*) UTC$", snapshot, re.MULTILINE))
    jobs = {job: scheduled.get(job, "by hand") for job in re.findall(r"^job (\w+)$", snapshot, re.MULTILINE)}
    readme = (location.folder / "README.md").read_text()
    assert {
        job: when.strip("`") for job, when in re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", readme, re.MULTILINE)
    } == jobs


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda file: file.name)
def test_prose_keeps_to_the_width_of_the_code(document: Path) -> None:
    prose = re.sub("```.*?```", "", document.read_text(), flags=re.DOTALL)
    assert [line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_no_file_names_a_registry() -> None:
    assert [str(file.relative_to(ROOT)) for file in texts() if REGISTRIES.search(file.read_text())] == []


def test_no_file_names_a_folder_of_this_machine() -> None:
    assert [str(file.relative_to(ROOT)) for file in texts() if f"{ROOT}/" in file.read_text()] == []


def test_every_wall_is_shown_by_a_test_that_is_there() -> None:
    told = "".join((ROOT / "docs" / name).read_text() for name in ("security.md", "kubernetes.md"))
    named = set(re.findall(r"`(test_[a-z_]+)`", told))
    tests = "".join(file.read_text() for file in tracked() if file.name.startswith("test_"))
    assert named
    assert named - set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE)) == set()


def test_the_readme_has_the_help_of_the_command() -> None:
    """`make format` puts it there."""
    text = documents.README.read_text()
    assert "\nUsage: ingest " in text
    assert documents.with_help(text, cli) == text


def test_help_lists_every_target() -> None:
    """Each with a line that says what it is for."""
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", told.stdout, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(listed) == phony == targets()


@pytest.mark.parametrize(
    "path",
    [
        ".venv/bin/python",
        "locations/github/.venv/bin/python",
        "data/github.duckdb",
        ".dagster/history/runs.db",
        "locations/github/.dlt/secrets.toml",
        ".env",
    ],
)
def test_git_ignores(path: str) -> None:
    assert subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False).returncode == 0
