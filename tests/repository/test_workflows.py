"""The workflows name what is there, and every location has a reviewer.

That they are sound YAML, pinned and take no text from strangers is the linters' matter, in tools/ingest_tools/check.py.
"""

import itertools
import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from ingest_tools import run_tests
from ingest_tools.projects import ROOT, Project, locations

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CODEOWNERS = ROOT / ".github" / "CODEOWNERS"
ORGANIZATION = "@acme"
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
_TEAM = re.compile(r"""["']?team:([\w-]+)""")

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.name)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def named_targets() -> list[str]:
    return sorted({name for file in WORKFLOWS for name in _MAKE.findall(file.read_text())})


def owners() -> dict[str, list[str]]:
    """Who reviews which path."""
    lines = [line.split() for line in CODEOWNERS.read_text().splitlines() if line and not line.startswith("#")]
    return {path: teams for path, *teams in lines}


def test_the_workflows_are_found() -> None:
    assert [file.name for file in WORKFLOWS] == ["ci.yml", "deploy.yml", "location.yml"]


@pytest.mark.parametrize("target", named_targets())
def test_named_make_targets_exist(target: str) -> None:
    assert target in targets()


@each_workflow
def test_named_files_exist(workflow: Path) -> None:
    text = workflow.read_text()
    named = re.findall(r"(?<![\w/$-])(?:\./)?((?:tools|locations|\.github)/[\w./-]+\.\w+|locations/Dockerfile)", text)
    assert [name for name in named if not (ROOT / name).is_file()] == []


@each_workflow
def test_may_read_the_code_and_nothing_else(workflow: Path) -> None:
    """For one job more would be said below it, further to the right."""
    assert re.findall(r"^( *)permissions:(.*\n(?:\1  .*\n)*)", workflow.read_text(), re.MULTILINE) == [
        ("", "\n  contents: read\n")
    ]


def test_the_last_job_of_ci_waits_for_all_others() -> None:
    """Branch protection requires that one alone."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    jobs = re.split(r"^  (?=\w+:$)", text.split("\njobs:\n")[1], flags=re.MULTILINE)
    names = [job.partition(":")[0] for job in jobs if job.strip()]
    needs = re.findall(r"^    needs: \[(.*)\]$", jobs[-1], re.MULTILINE)
    assert names[-1] == "ci"
    assert needs == [", ".join(names[:-1])]


def script(workflow: str, marker: str) -> str:
    """The shell commands of the first step after a marker."""
    text = (ROOT / ".github" / "workflows" / workflow).read_text().split(marker, 1)[1].split("run: |\n", 1)[1]
    lines = itertools.takewhile(lambda line: line.startswith(" " * 10), text.splitlines(keepends=True))
    return textwrap.dedent("".join(lines))


def run(commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs them as GitHub does."""
    return subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["", "nope", "../github", "github/", "github x", "$(id)", 'github"]\nmore=["'])
def test_only_a_location_that_is_there_is_deployed(name: str, tmp_path: Path) -> None:
    commands, output = script("deploy.yml", "id: chosen"), tmp_path / "output"
    assert run(commands, LOCATION="github", GITHUB_OUTPUT=str(output)).returncode == 0
    assert output.read_text() == 'locations=["github"]\n'
    assert run(commands, LOCATION=name, GITHUB_OUTPUT=str(output)).returncode == 1
    assert output.read_text() == 'locations=["github"]\n'


@pytest.mark.parametrize(
    ("affected", "results", "code"),
    [
        ("success", "success success success success", 0),
        ("success", "success success success skipped", 0),
        ("success", "success failure success success", 1),
        ("success", "success success success cancelled", 1),
        ("failure", "failure success success skipped", 1),
        ("skipped", "skipped skipped skipped skipped", 1),
    ],
)
def test_ci_passes_when_all_that_was_to_run_passed(affected: str, results: str, code: int) -> None:
    assert run(script("ci.yml", "\n  ci:\n"), AFFECTED=affected, RESULTS=results).returncode == code


def test_ci_runs_every_suite(tmp_path: Path) -> None:
    """Those of locations by the matrix, all others as the platform's."""
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$2"\n')
    make.chmod(0o755)
    told = run(script("ci.yml", "\n  platform:\n"), PATH=f"{tmp_path}:{os.environ['PATH']}").stdout
    suites = {suite.name for suite in run_tests.suites() if not suite.project.is_location}
    assert set(told.strip().removeprefix("ONLY=").split()) == suites


def test_every_location_is_reviewed_by_its_owners() -> None:
    """Those that own its assets; a location that is gone has no line."""
    expected = {"*": [f"{ORGANIZATION}/data-platform"]}
    for location in locations():
        expected[f"/{location.name}/"] = [f"{ORGANIZATION}/{team}" for team in sorted(teams(location))]
    platforms = {f"/locations/*/{file}": expected["*"] for file in ("compose.yaml", ".env")}
    assert owners() == expected | platforms
    assert list(owners())[-2:] == list(platforms), "of the lines that match a file, the last one counts"


def teams(location: Project) -> set[str]:
    """The teams that the location's code and components name as owners."""
    files = [file for kind in ("py", "yaml") for file in (location.folder / "src").rglob(f"*.{kind}")]
    return {team for file in files for team in _TEAM.findall(file.read_text())}
