"""Runs every test suite in its own environment, all of them even where one fails."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from local import end_in_order
from projects import ROOT, Project, chosen, projects

OUTCOMES = ("passed", "failed", "error", "skipped")
NO_TESTS = 5
"""pytest's exit code when it found no test."""
_COUNT = re.compile(rf"(\d+) ({'|'.join(OUTCOMES)})")


@dataclass
class Suite:
    """The tests of one project, and how they went."""

    project: Project
    verdict: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    passed: bool = False

    @property
    def name(self) -> str:
        """The project's folder; the repository's own tests are called ``tests``."""
        return "tests" if self.project.is_root else self.project.name

    def run(self) -> None:
        """Runs pytest, which writes to the screen as it goes."""
        print(f"\n=== {self.name}", flush=True)
        command: list[str | Path] = [self.project.python, "-m", "pytest", "tests"]
        last = ""
        with subprocess.Popen(command, cwd=self.project.folder, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                sys.stdout.write(line)
                sys.stdout.flush()
                last = line.strip() or last
        self.passed = process.returncode == 0
        self.counts = {outcome: int(count) for count, outcome in _COUNT.findall(last)}
        # A project whose tests are not found is not one whose tests pass.
        self.verdict = "it has no tests" if process.returncode == NO_TESTS else last.strip("= ")


def suites() -> list[Suite]:
    """Those asked for by ``ONLY``, or all."""
    found = {suite.name: suite for suite in map(Suite, projects()) if _is_tested(suite.project)}
    # The repository's own come last: they run the others' code.
    return [found[name] for name in chosen(sorted(found, key=lambda name: (name == "tests", name)))]


def _is_tested(project: Project) -> bool:
    """Locations always are: one without tests fails instead of being passed over."""
    return project.is_location or (project.folder / "tests").is_dir()


def main() -> int:
    """0 when all passed, else 1."""
    end_in_order()
    done = suites()
    for suite in done:
        suite.run()
    width = max(len(suite.name) for suite in done)
    print("\n=== all suites")
    for suite in done:
        print(f"{'ok  ' if suite.passed else 'FAIL'}  {suite.name:<{width}}  {suite.verdict}")
    total = {outcome: sum(suite.counts.get(outcome, 0) for suite in done) for outcome in OUTCOMES}
    print(f"{total['passed']} passed, {total['failed'] + total['error']} failed, {total['skipped']} skipped")
    return 0 if all(suite.passed for suite in done) else 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
