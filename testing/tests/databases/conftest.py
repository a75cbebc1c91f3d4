"""Small databases, and the mirror of their tables in a warehouse."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import dlt
import pytest
import sqlalchemy as sa

from ingest_shared.databases import reflect
from ingest_shared.databases.connection import Database
from ingest_shared.databases.declared import mirrored
from ingest_shared.databases.reader import Sync, TableReader
from ingest_shared.loading import mirror
from ingest_shared.pipelines import Loaded, pipeline, run
from ingest_testing.databases import mariadb, new_database, postgres

SERVERS = {"postgresql": postgres, "mariadb": mariadb}
_numbers = count(1)


@dataclass
class Mirror:
    """A database, and the warehouse that its tables are loaded into."""

    url: sa.URL
    location: str
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def execute(self, *statements: str) -> None:
        """Runs statements in the database, each committed."""
        with sa.create_engine(self.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def database(self) -> Database:
        return Database(self.url.render_as_string(hide_password=False), "sources.crm.credentials")

    def declare(self, source: str, **settings: Any) -> None:
        """Declares a table as `ingest reflect` does; raises its errors."""
        database = self.database()
        with database.connected() as connection:
            name = source.rpartition(".")[2].lower()
            self.entries[name] = reflect.entry(database, connection, name, {"source": source, **settings})

    def sync(self, *, audit: bool = False) -> Loaded:
        @dlt.source(name="crm_items")
        def items() -> Any:
            sync = Sync(self.database, audit)
            return [mirror(TableReader(mirrored(name, entry), sync)) for name, entry in self.entries.items()]

        return run(pipeline(self.location, "items").drop(), items())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with pipeline(self.location, "items").sql_client() as client:
            return [tuple(row) for row in client.execute_sql(sql) or ()]

    def rows(self, table: str) -> list[dict[str, Any]]:
        names = [column.name for column in mirrored(table, self.entries[table]).table.columns]
        asked = ", ".join(f'"{name}"' for name in names)
        return [dict(zip(names, row, strict=True)) for row in self.query(f"SELECT {asked} FROM {table} ORDER BY 1")]

    def gaps(self) -> list[tuple[Any, ...]]:
        return self.query("SELECT resource, scope, reason FROM load_gaps ORDER BY scope")

    def audited(self) -> dict[str, tuple[int, int, int, int, int]]:
        """What an audit finds: missing, surplus, stale, changed, deleted."""
        self.sync(audit=True)
        found = self.query("SELECT resource, missing, surplus, stale, changed, deleted FROM audits")
        return {str(name): (*map(int, counts),) for name, *counts in found}  # type: ignore[misc]


@pytest.fixture
def make_mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Mirror]:
    """Makes an empty database in a server, for a warehouse in DuckDB or PostgreSQL."""

    def make(server: str, destination: str = "duckdb") -> Mirror:
        monkeypatch.setenv("INGEST_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("INGEST_DESTINATION", destination)
        monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        if destination == "postgres":
            address = new_database(postgres()).render_as_string(hide_password=False)
            monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", address)
        return Mirror(new_database(SERVERS[server]()), f"crm{next(_numbers)}")

    return make
