"""Runs every test suite in its own environment, four at a time, all of them even if one fails.

A suite's output is shown in full when it ends, or line by line if it is the only one.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from threading import Timer

import click

from ingest_tools.projects import Project, projects

OUTCOMES = ("passed", "failed", "error", "skipped")
NO_TESTS = 5
"""pytest's exit code when it found no test."""
AT_ONCE = 4
"""Suites are independent, and spend half of the time waiting for engines, servers and clocks: four of them fill two
cores. Five take longer in total, because waiting means polling."""
LIMIT_SECONDS = 60 * 60
"""Seconds after which a suite is interrupted; its report says where it was."""
MEMORY = Path("/dev/shm")  # noqa: S108, only a folder of the process's own in it is used
"""Where tests write warehouses and databases, which takes a quarter less time than on a disk."""
MEMORY_BYTES = 6 * 2**30
"""Bytes that must be free there."""
PLATFORMS = ("tests/deployment", "tests/kubernetes")
"""Suites with a platform on an engine or a cluster; they take the longest."""
APART = {".": PLATFORMS, "shared": ("tests/reading",)}
"""Folders that are suites of their own, by project. In one piece, the tests of `shared` would run for seven minutes
after all others, on one core."""
_COUNT = re.compile(rf"(\d+) ({'|'.join(OUTCOMES)})")


@dataclass
class Suite:
    """The tests of one project, or of one of its folders, and their result."""

    project: Project
    folder: str = "tests"
    without: tuple[str, ...] = ()
    """Folders in it that are separate suites."""
    verdict: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    passed: bool = False

    @property
    def name(self) -> str:
        """What `ingest test` calls it: the project's folder; the repository's own tests have the names of theirs."""
        return self.folder if self.project.is_root else self.project.name

    @property
    def title(self) -> str:
        """Its name, and which part of the project it is."""
        return self.name if self.project.is_root or self.folder == "tests" else f"{self.name}/{self.folder}"

    def run(self) -> Iterator[str]:
        """Runs pytest and yields its output, line by line."""
        yield f"\n=== {self.title}\n"
        ignored = [f"--ignore={folder}" for folder in self.without]
        command = self.project.tied("pytest", self.folder, *ignored)
        pipe, last = subprocess.PIPE, ""
        with (
            tempfile.TemporaryDirectory(prefix="tests-", dir=_folder_in_memory(), ignore_cleanup_errors=True) as folder,
            subprocess.Popen(
                command,
                cwd=self.project.folder,
                env=_environment(folder),
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
        ):
            limit = Timer(LIMIT_SECONDS, process.send_signal, [signal.SIGINT])
            limit.daemon = True
            limit.start()
            for line in process.stdout or ():
                yield line
                # Libraries may write something after pytest's own last line.
                if line.strip() and (_COUNT.search(line) or not _COUNT.search(last)):
                    last = line.strip()
            limit.cancel()
        self.passed = process.returncode == 0
        self.counts = {outcome: int(count) for count, outcome in _COUNT.findall(last)}
        # A project without tests does not count as passing.
        self.verdict = "no tests found" if process.returncode == NO_TESTS else last.strip("= ")


def _environment(folder: str) -> dict[str, str]:
    """Without the variable that keeps Python from storing compiled code: every process that a test starts would compile
    Dagster and dlt anew, in two seconds of CPU or more."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {"TMPDIR": folder}


def _folder_in_memory() -> Path | None:
    """None if it is missing, too full, or does not allow execution."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES else None


def suites() -> list[Suite]:
    """All suites, the longest first: platforms, locations, the repository, libraries by the size of their tests."""
    found = [suite for project in projects() if _is_tested(project) for suite in _suites_of(project)]
    return sorted(found, key=_order)


def _suites_of(project: Project) -> list[Suite]:
    apart = APART.get(project.name, ())
    return [*(Suite(project, folder) for folder in apart), Suite(project, without=apart)]


def _order(suite: Suite) -> tuple[bool, bool, bool, int]:
    project = suite.project
    return suite.name not in PLATFORMS, not project.is_location, not project.is_root, -_size(suite)


def _size(suite: Suite) -> int:
    """Size of its tests in bytes, to estimate how long they take."""
    files = (suite.project.folder / suite.folder).rglob("*.py")
    apart = [suite.project.folder / folder for folder in suite.without]
    return sum(file.stat().st_size for file in files if not any(map(file.is_relative_to, apart)))


def _names() -> list[str]:
    return list(dict.fromkeys(suite.name for suite in suites()))


def _is_tested(project: Project) -> bool:
    """Locations always count: one without tests fails instead of being skipped."""
    return project.is_location or (project.folder / "tests").is_dir()


def run(suites: list[Suite]) -> Iterator[str]:
    """Runs all suites and yields their output; with several, each suite's output when it has ended."""
    if len(suites) == 1:
        yield from suites[0].run()
    else:
        with ThreadPool(AT_ONCE) as pool:
            yield from pool.imap_unordered(lambda suite: "".join(suite.run()), suites)


@click.command(epilog="Example: ingest test shared locations/github")
@click.argument("names", type=click.Choice(_names()), nargs=-1, metavar="[SUITE]...")
def test_command(names: tuple[str, ...]) -> int:
    """Run every test suite, or only the named ones."""
    done = [suite for suite in suites() if not names or suite.name in names]
    for output in run(done):
        print(output, end="", flush=True)
    width = max(len(suite.title) for suite in done)
    print("\n=== all suites")
    for suite in done:
        print(f"{'ok  ' if suite.passed else 'FAIL'}  {suite.title:<{width}}  {suite.verdict}")
    total = {outcome: sum(suite.counts.get(outcome, 0) for suite in done) for outcome in OUTCOMES}
    print(f"{total['passed']} passed, {total['failed'] + total['error']} failed, {total['skipped']} skipped")
    return 0 if all(suite.passed for suite in done) else 1
