"""Runs the job of every code location, one after the other, and shows the results."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ingest_tools import sandbox
from ingest_tools.images import location_names
from ingest_tools.local import Refused, Stopped, dagster_home, held, prepare
from ingest_tools.options import locations as chosen
from ingest_tools.projects import LOCATIONS, ROOT, Project
from ingest_tools.registrations import sandbox_settings
from ingest_tools.table import aligned

SECONDS_TO_END = 15
"""How long a run may take to stop."""
GAPS_SHOWN = 10
"""How many open gaps of a table are listed."""
CHECKS_FAILED = 3
"""The exit code if every run succeeded but a check failed, usually because of gaps."""
MUCH_LESS = 0.5
"""A run that makes less than this share of an earlier run's calls is reported as incremental."""
HEAD = ("location", "table", "rows in the warehouse", "rows loaded", "API calls", "seconds")


@dataclass(frozen=True)
class Result:
    """The result of one location's run."""

    summary: dict[str, Any]
    seconds: float

    @property
    def location(self) -> str:
        return str(self.summary["location"])

    @property
    def error(self) -> str | None:
        """The error in one line; None if the run succeeded."""
        error = self.summary["error"]
        return None if error is None else str(error)

    @property
    def gaps(self) -> dict[str, int]:
        """The number of open gaps of each table that has any."""
        found = {check["table"]: len(check["metadata"].get("left out", ())) for check in self.summary["failed_checks"]}
        return {table: count for table, count in found.items() if count}

    @property
    def fails_a_check(self) -> bool:
        """Whether an asset check failed, rather than only warned."""
        return any(check["is_error"] for check in self.summary["failed_checks"])

    @property
    def tables(self) -> list[dict[str, Any]]:
        return list(self.summary["tables"])


def ingest(location: Project, job: str, environment: dict[str, str]) -> Result:
    """Runs a job of the location in its own environment and folder; shows progress."""
    name = location.folder.name
    module = location.settings["tool"]["dg"]["project"]["root_module"]
    started = time.monotonic()
    process = subprocess.Popen(
        location.tied("ingest_tools.run_job", name, job, f"{module}.definitions"),
        cwd=location.folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        told = process.stdout.read() if process.stdout else ""
        process.wait()
    finally:
        _end(process)
    seconds = time.monotonic() - started
    return Result(json.loads(told) if told else _killed(name, job, process.returncode), seconds)


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the run's process, gracefully if possible."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()


def _killed(location: str, job: str, code: int) -> dict[str, Any]:
    error = f"the process of {job} ended without a message (exit code {code}); run it again"
    return {"location": location, "error": error, "tables": [], "failed_checks": []}


def report(results: list[Result]) -> str:
    """The report: errors, a table of what was done, where the rows are and what is open; finally the number of gaps."""
    lines = [f"{one.location} failed: {one.error}" for one in results if one.error]
    if rows := [row for one in results for row in _rows(one)]:
        lines += ["", *aligned([HEAD, *rows[:-1]], names=2), ""]
    for one in results:
        lines += _remarks(one)
    for one in results:
        if one.gaps:
            count, tables = sum(one.gaps.values()), ", ".join(one.gaps)
            lines.append(f"{one.location}: finished with {count:,} open gap{'s' * (count > 1)}: {tables}")
    return "\n".join(lines)


def _rows(result: Result) -> list[tuple[str, ...]]:
    """A location's lines of the report: each table, and the sum."""
    if not result.tables:
        return []
    rows = []
    in_warehouse = loaded = calls = 0
    for table in result.tables:
        rows.append(
            (
                result.location,
                table["name"],
                _number(table["rows_total"]),
                _number(table["rows_loaded"]),
                _number(table["api_calls"]),
                "" if table["seconds"] is None else f"{table['seconds']:.1f}",
            )
        )
        in_warehouse += table["rows_total"] or 0
        loaded += table["rows_loaded"] or 0
        calls += table["api_calls"] or 0
    total = (_number(in_warehouse), _number(loaded), _number(calls), f"{result.seconds:.1f}")
    return [*rows, (result.location, "total", *total), ("",) * len(HEAD)]


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _remarks(result: Result) -> list[str]:
    """The notes on a location, in addition to the numbers."""
    summary = result.summary
    lines = []
    if result.tables:
        lines.append(f"{result.location}: the rows are in {_short(summary['warehouse'])}")
    before, calls = summary.get("first_calls"), summary.get("api_calls", 0)
    if not result.error and before and calls < before * MUCH_LESS:
        lines.append(f"{result.location}: incremental: {calls:,} API calls instead of {before:,}")
    for table in result.tables:
        if table["new_fields"]:
            fields = ", ".join(table["new_fields"])
            lines.append(f"{result.location}: new fields in {table['name']}, kept as JSON: {fields}")
    for check in summary["failed_checks"]:
        lines += [f"{result.location}: {finding}" for finding in _findings(check)]
    if result.error and summary.get("log"):
        lines.append(f"{result.location}: Dagster's log is {_short(summary['log'])}")
    return lines


def _findings(check: dict[str, Any]) -> list[str]:
    """The findings of an asset check in words: each open gap by name, or the check's own description."""
    table, said = check["table"], check["metadata"]
    if gaps := said.get("left out"):
        lines = [f"open gap in {table}: {scope}: {reason}" for scope, reason in gaps.items()]
        more = len(lines) - GAPS_SHOWN
        return lines if more <= 0 else [*lines[:GAPS_SHOWN], f"{more:,} more open gaps in {table}: see load_gaps"]
    return [f"check {check['check']} of {table} failed: {json.dumps(said)}"]


def _short(path: str) -> str:
    """A path relative to the root of the repository, if it is below it."""
    inside = Path(path)
    return str(inside.relative_to(ROOT)) if inside.is_relative_to(ROOT) else path


def _left_out(names: list[str]) -> str:
    """Why the sandbox cannot stand in for these locations, in one line, with the command that loads them."""
    return (
        f"{', '.join(names)}: not loaded, because pyproject.toml has no [tool.ingest.sandbox]: "
        f'`make ingest ONLY="{" ".join(names)}" SANDBOX=0` loads from the real source'
    )


@click.command(epilog="Example: ingest run github --live")
@chosen
@click.option("--audit", is_flag=True, help="Run the audits: compare every value with the API and repair differences.")
@sandbox.origin
def run_command(locations: tuple[str, ...], *, audit: bool, live: bool, url: str, size: str) -> int:
    """Run every location's job, or only those of the named locations.

    The exit code is 0 if every run succeeded, 1 if one failed, and 3 if all succeeded but a check failed, for example
    because of gaps. Without --live, locations that have no [tool.ingest.sandbox] in their pyproject.toml are left out.
    """
    names = list(locations or location_names())
    left_out = [] if live else [name for name in names if not sandbox_settings(name, url)]
    if left_out and (locations or left_out == names):
        raise Refused(_left_out(left_out))
    environment, kind = prepare(live=live), "audit" if audit else "ingest"
    try:
        with (
            held(dagster_home() / "ingest.lock", "waiting for another `ingest run` to finish"),
            sandbox.source_settings(live=live, url=url, size=size) as settings,
        ):
            loaded = [Project(LOCATIONS / name) for name in names if name not in left_out]
            results = [ingest(one, f"{one.folder.name}_{kind}", environment | settings) for one in loaded]
    except KeyboardInterrupt:
        raise Stopped("\nstopped; the next run continues from what was loaded") from None
    if left_out:
        print(_left_out(left_out))
    print(report(results), flush=True)
    if any(one.error for one in results):
        return 1
    return CHECKS_FAILED if any(one.fails_a_check for one in results) else 0
