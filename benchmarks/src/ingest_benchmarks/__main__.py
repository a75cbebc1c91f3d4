"""``make bench-load``: the load path against its floor, plain dlt beside it, in one run on one machine.

    python -m ingest_benchmarks            about ten minutes
    python -m ingest_benchmarks --quick    small sizes, under a minute: whether it runs, not how fast

Prints one table and writes the same as JSON to ``data/bench-load.json``. Absolute figures depend
on the machine and on what else it does; ratios are taken between neighbours in time.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ingest_benchmarks import columnar, memory, over_http
from ingest_benchmarks.measure import Measured, best, run

OUTPUT = Path(__file__).resolve().parents[3] / "data" / "bench-load.json"

SPEED_AIMS = {"issues": 0.85, "invoices": 0.95}
"""Rows per second, at least, to those of the floor."""
HTTP_AIMS = {"github": 1.3, "stripe": 1.0}
"""Seconds, at most, to those of a script that reads page after page."""
MEMORY_AIM = 1.2
"""Peak memory of a load ten times as large, at most."""

DATABASES: tuple[memory.Database, ...] = ("duckdb", "postgres")
GITHUB_LISTS = ("issues", "issue_comments", "commits")
STRIPE_LISTS = ("customers", "products", "prices", "subscriptions", "invoices")


@dataclass(frozen=True)
class Sizes:
    """How much is loaded; sandbox sizes are multiples of its small world."""

    rows: int
    plain_rows: int
    """For plain dlt, which is slow: rows per second hardly depend on it."""
    many_rows: int
    github: float
    """3,600 issues, comments and commits at 1."""
    stripe: float
    """2,130 customers, products, prices, subscriptions and invoices at 1, and their items and lines."""
    charges: float
    """14 pages of charges at 1."""
    comments: float
    """9 pages of comments in the largest repository at 1."""
    tries: int


FULL = Sizes(100_000, 5_000, 1_000_000, github=5.6, stripe=9.5, charges=15.2, comments=22.2, tries=3)
QUICK = Sizes(2_000, 200, 6_000, github=0.3, stripe=0.3, charges=0.5, comments=0.8, tries=1)


@dataclass(frozen=True)
class Line:
    """One line of the table; ``ratio`` is to the line named by ``to``, and ``aim`` bounds it."""

    what: str
    way: str
    measured: Measured
    to: str = ""
    ratio: float | None = None
    aim: float | None = None
    bound: Literal["at least", "at most"] = "at most"

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.aim is None or self.ratio is None:
            return None
        return self.ratio >= self.aim if self.bound == "at least" else self.ratio <= self.aim

    def shown(self, *, judged: bool) -> str:
        """The line as the table has it, with a verdict where one is asked for."""
        one = self.measured
        text = f"  {self.way:<26}{one.rows:>10,}{one.seconds:>9.2f}{one.rows_per_second:>10,.0f}{one.own_mb:>8,.0f}"
        if self.ratio is not None:
            text += f"   {self.ratio:.2f} {self.to}"
        if judged and self.aim is not None:
            text += f", aim {self.bound} {self.aim:.2f}: {'met' if self.met else 'MISSED'}"
        return text


def throughput(sizes: Sizes) -> Iterator[Line]:
    """Loads from memory: rows per second as a ratio to the floor's, more is better."""
    for subject in memory.SUBJECTS:
        for database in DATABASES:
            what = f"{subject} from memory into {database}"
            case = partial(memory.load, subject=subject, database=database, prepared=True)
            ways: tuple[memory.Way, ...] = ("floor", "ours", "merged")
            floor, *ours = best([partial(case, way=way, rows=sizes.rows) for way in ways], sizes.tries)
            yield Line(what, "floor: no dlt, one insert", floor)
            for name, one in zip(("ours, a first load", "ours, merged"), ours, strict=True):
                speed = _speed(one, floor)
                yield Line(what, name, one, "of the floor's rows/s", speed, SPEED_AIMS[subject], "at least")
            for way, name in memory.PLAIN.items():
                plain = run(partial(case, way=way, rows=sizes.plain_rows))
                yield Line(what, name, plain, "of the floor's rows/s", _speed(plain, floor))


def memory_growth(sizes: Sizes) -> Iterator[Line]:
    """Peak memory of a load ten times as large, its pages made as they are taken."""
    for database in DATABASES:
        what = f"peak memory of issues into {database} (MB: the whole process)"
        case = partial(memory.load, way="ours", subject="issues", database=database, prepared=False)
        few, many = (_whole(run(partial(case, rows=rows))) for rows in (sizes.rows, sizes.many_rows))
        yield Line(what, "ours", few)
        yield Line(what, "ours", many, "of the smaller load's MB", many.peak_mb / few.peak_mb, MEMORY_AIM)


def over_the_wire(sizes: Sizes) -> Iterator[Line]:
    """First runs over HTTP: wall time as a ratio to a script's that reads page after page."""
    for api, size, lists in (("github", sizes.github, GITHUB_LISTS), ("stripe", sizes.stripe, STRIPE_LISTS)):
        with over_http.sandbox(size) as url:
            reading = over_http.Reading(api, url, lists)
            cases = [partial(over_http.one_by_one, reading=reading), partial(over_http.ours, reading=reading)]
            floor, ours = best(cases, sizes.tries, reading.settings)
        what = f"{api} over HTTP into duckdb: {', '.join(lists)}"
        yield Line(what, "floor: no dlt, one insert", floor)
        yield Line(what, "ours", ours, "of the floor's seconds", ours.seconds / floor.seconds, HTTP_AIMS[api])


def with_latency(sizes: Sizes) -> Iterator[Line]:
    """200 pages of one list at 50 ms a request: wall time as a ratio to fetching them one by one."""
    lists = (
        ("stripe", sizes.charges, "charges", ""),
        ("github", sizes.comments, "issue_comments", "acme/platform"),
    )
    for api, size, name, repository in lists:
        with over_http.sandbox(size, latency_ms=50) as url:
            reading = over_http.Reading(api, url, (name,), repository)
            one_by_one = run(partial(over_http.fetch_one_by_one, reading=reading), reading.settings)
            cases = [partial(over_http.read, reading=reading), partial(over_http.ours, reading=reading)]
            read, ours = best(cases, sizes.tries, reading.settings)
        what = f"{api} {name} at 50 ms latency, {one_by_one.rows / 100:.0f} pages"
        yield Line(what, "only fetched, one by one", one_by_one)
        yield Line(what, "ours, only read", read, "of those seconds", read.seconds / one_by_one.seconds)
        yield Line(what, "ours, read and loaded", ours, "of those seconds", ours.seconds / one_by_one.seconds, 0.2)


def exploration(sizes: Sizes) -> Iterator[Line]:
    """The step from JSON pages to Arrow alone."""
    what = "issues: only JSON pages to typed root and child Arrow tables"
    cases = [partial(columnar.convert, way=way, rows=sizes.rows // 2) for way in columnar.WAYS]
    for way, one in zip(columnar.WAYS, best(cases, sizes.tries), strict=True):
        yield Line(what, way, one)
    yield Line(what, "dlt: extract and normalize", run(partial(columnar.infer, rows=sizes.plain_rows)))


def main() -> int:
    """Measures all, prints each line as it comes, writes the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one try: whether it runs, not how fast")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, best of {sizes.tries}")
    print(f"  {'':<26}{'rows':>10}{'seconds':>9}{'rows/s':>10}{'MB':>8}   MB: beyond the pages held in memory")
    lines: list[Line] = []
    for section in (throughput, memory_growth, over_the_wire, with_latency, exploration):
        for line in section(sizes):
            if not lines or lines[-1].what != line.what:
                print(f"\n{line.what}")
            print(line.shown(judged=not options.quick), flush=True)
            lines.append(line)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps([{**asdict(line), "met": line.met} for line in lines], indent=1))
    print(f"\nwritten to {options.output}")
    return 0


def _speed(one: Measured, floor: Measured) -> float:
    return one.rows_per_second / floor.rows_per_second


def _whole(one: Measured) -> Measured:
    """The same with nothing taken off its memory."""
    return replace(one, held_mb=0.0)


if __name__ == "__main__":
    sys.exit(main())
