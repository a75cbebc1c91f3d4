"""``make bench-files``: files into the warehouse, as a ratio to DuckDB's own reader of them.

    python -m ingest_benchmarks.files 1000 10000       files, and rows in each: 10 million rows

Half of the files are Parquet, half CSV, in a table each. The floor is DuckDB alone, with the same memory limit:
``INSERT INTO … SELECT … FROM read_parquet(…)`` and ``read_csv(…)`` with the declared types. Then a sync that finds
nothing new, one after a file of each table changed, and an audit, which reads everything.
"""

import argparse
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import dlt
import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ingest_benchmarks.measure import Clock, Measured, run
from ingest_shared import pipelines
from ingest_shared.destinations import DUCKDB_MEMORY
from ingest_shared.loading import mirror
from ingest_shared.reading.files import FILE, FileReader, Files, Folder
from ingest_shared.reading.formats import Csv, Format, Parquet
from ingest_shared.tables import Table, bigint, boolean, double, text, timestamp

COLUMNS = (
    FILE,
    bigint("id", "Immutable id."),
    bigint("customer_id", "Customer."),
    text("status", "open, paid or shipped."),
    text("note", "What the customer wrote."),
    double("amount", "Amount, in euros."),
    boolean("gift", "Whether it is a gift."),
    timestamp("created_at", "When it was placed."),
)
FORMATS: dict[str, Format] = {"parquet": Parquet(), "csv": Csv()}
FLOORS = {
    "parquet": "SELECT '', id, customer_id, status, note, amount, gift, created_at FROM read_parquet('{0}')",
    "csv": "SELECT '', id, customer_id, status, note, amount, gift, created_at FROM read_csv('{0}', header = true, "
    "types = {{'id': 'BIGINT', 'customer_id': 'BIGINT', 'status': 'VARCHAR', 'note': 'VARCHAR', 'amount': 'DOUBLE', "
    "'gift': 'BOOLEAN', 'created_at': 'TIMESTAMPTZ'}})",
}
SQL_TYPES = "VARCHAR, BIGINT, BIGINT, VARCHAR, VARCHAR, DOUBLE, BOOLEAN, TIMESTAMPTZ".split(", ")


def declared(kind: str) -> Files:
    table = Table(
        name=f"orders_{kind}",
        description="Orders.",
        docs="https://duckdb.org/docs/stable/data/overview",
        key=("id",),
        merge_key=(FILE.name,),
        columns=COLUMNS,
    )
    return Files(table=table, pattern=f"{kind}/*.{kind}", format=FORMATS[kind])


def write(folder: Path, kind: str, number: int, rows: int) -> None:
    """Writes a file whose keys no other has."""
    choose = random.Random(number)
    values = {
        "id": pa.array(range(number * rows, (number + 1) * rows), pa.int64()),
        "customer_id": pa.array([choose.randrange(100_000) for _ in range(rows)], pa.int64()),
        "status": pa.array(choose.choices(("open", "paid", "shipped"), k=rows)),
        "note": pa.array([f"please ring twice, order {choose.randrange(10**9)}" for _ in range(rows)]),
        "amount": pa.array([choose.randrange(10**6) / 100 for _ in range(rows)]),
        "gift": pa.array([choose.random() < 0.1 for _ in range(rows)]),
        "created_at": pa.array([1_700_000_000_000_000 + number * rows + i for i in range(rows)]).cast(
            pa.timestamp("us", "UTC")
        ),
    }
    path = folder / kind / f"{number:06}.{kind}"
    path.parent.mkdir(exist_ok=True)
    (pq.write_table if kind == "parquet" else pyarrow.csv.write_csv)(pa.table(values), path)


def sync(files: Path, warehouse: Path, _: Path, *, audit: bool = False) -> Measured:
    """Mirrors both tables."""
    os.environ |= {"SOURCES__BENCH__BUCKET_URL": str(files), "INGEST_DATA_DIR": str(warehouse)}

    @dlt.source(name="bench")
    def source() -> list[object]:
        folder = Folder("sources.bench")
        return [mirror(FileReader(declared(kind), folder, audit)) for kind in FORMATS]

    clock = Clock()
    with clock.running():
        loaded = pipelines.run(pipelines.pipeline("bench", "files"), source())
    if gaps := [found["first_gap"] for found in loaded.metrics.values() if found.get("first_gap")]:
        raise RuntimeError(str(gaps[0]))
    return clock.measured(sum(found.get("pages", 0) for found in loaded.metrics.values()))


def floor(files: Path, folder: Path) -> Measured:
    """DuckDB alone."""
    clock = Clock()
    columns = ", ".join(f"{column.name} {type_}" for column, type_ in zip(COLUMNS, SQL_TYPES, strict=True))
    with closing(duckdb.connect(str(folder / "floor.duckdb"), config={"memory_limit": DUCKDB_MEMORY})) as database:
        database.execute("SET preserve_insertion_order = false")
        with clock.running():
            for kind, select in FLOORS.items():
                database.execute(f"CREATE TABLE {kind} ({columns})")
                database.execute(f"INSERT INTO {kind} {select.format(files / kind / f'*.{kind}')}")
            database.execute("CHECKPOINT")
    return clock.measured(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-files", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="?", type=int, default=1_000)
    parser.add_argument("rows", nargs="?", type=int, default=10_000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-files-"))
    try:
        files, warehouse = folder / "files", folder / "warehouse"
        for made in (files, warehouse):
            made.mkdir()
        for number in range(options.files):
            write(files, [*FORMATS][number % 2], number, options.rows)
        total = options.files * options.rows
        print(f"{options.files:,} files, {total:,} rows")
        print(f"{'':<22}{'seconds':>9}{'rows/s':>12}{'of floor':>10}{'files read':>12}{'peak MB':>9}", flush=True)

        def show(name: str, case: Callable[[Path], Measured], least: Measured | None = None) -> Measured:
            done = run(case)
            ratio = f"{least.seconds / done.seconds:.2f}" if least else ""
            print(
                f"{name:<22}{done.seconds:>9.2f}{total / done.seconds:>12,.0f}{ratio:>10}{done.rows:>12}"
                f"{done.peak_mb:>9.0f}",
                flush=True,
            )
            return done

        least = show("DuckDB's own reader", partial(floor, files))
        show("first load", partial(sync, files, warehouse), least)
        show("nothing new", partial(sync, files, warehouse))
        for number, kind in enumerate(FORMATS):
            write(files, kind, number, options.rows)
        show("two files changed", partial(sync, files, warehouse))
        show("audit", partial(sync, files, warehouse, audit=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
