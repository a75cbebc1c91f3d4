"""The mirror's own tables, next to those of a location: what loads left out, audits found, and files were loaded."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from dlt.common.schema import Schema
from dlt.destinations.sql_client import SqlClientBase

from ingest_shared.errors import SettingError, WarehouseError
from ingest_shared.shards import Shard
from ingest_shared.tables import Table, bigint, epoch, text, timestamp

LOAD_GAPS = Table(
    name="load_gaps",
    description="What a load could not read and had to leave out, until a later load reads it.",
    docs="https://dlthub.com/docs/general-usage/merge-loading",
    key=("resource", "scope"),
    merge_key=("resource",),
    columns=(
        text("resource", "The resource that was being loaded.", origin="reader"),
        text("scope", "What was left out, as a person would name it: a repository, an account."),
        bigint("status", "HTTP status of the API's response; null if the reason was something else."),
        text("reason", "Why, in one line."),
        epoch("noticed_at", "When the load noticed it."),
    ),
)
AUDITS = Table(
    name="audits",
    description="What the latest audit of each list found and repaired, by scope.",
    docs="https://dlthub.com/docs/general-usage/merge-loading",
    key=("resource", "scope"),
    merge_key=("resource",),
    columns=(
        text("resource", "The resource that was audited.", origin="reader"),
        text("scope", "The part of its list: a repository, an account."),
        epoch("audited_at", "When it was audited."),
        bigint("compared", "Rows of the origin that were compared with the warehouse, value by value."),
        bigint("missing", "Rows that the warehouse did not have; they were loaded."),
        bigint("surplus", "Rows that the origin does not have; they were marked as deleted."),
        bigint("stale", "Rows that had other values in the warehouse; they were loaded again."),
        bigint(
            "changed",
            "Rows that appeared, changed or disappeared after the previous load, or may have in a list without times; "
            "they were not lost.",
        ),
        bigint("deleted", "Rows that are gone from a list that does not report deletes; they were marked as deleted."),
        bigint("calls", "API calls that it took."),
    ),
)
LOADED_FILES = Table(
    name="loaded_files",
    description="The files that tables were loaded from, and which version of each.",
    docs="https://dlthub.com/docs/dlt-ecosystem/verified-sources/filesystem/basic",
    key=("resource", "name"),
    columns=(
        text("resource", "The resource that was loaded from it."),
        text("name", "Its path in the folder."),
        bigint("size", "Its size in bytes."),
        timestamp("modified_at", "When it was last changed, by its storage."),
        text("etag", "The ETag of an object in S3; null for a local file."),
        bigint("row_count", "The number of rows in it."),
        timestamp("loaded_at", "When the sync that loaded it began."),
        timestamp("deleted_at", "When it was found to be gone and its rows were removed; null while it exists."),
        text("load_id", "The load that loaded it; it is complete once `_dlt_loads` has it."),
    ),
)
OWN_TABLES = {table.name for table in (LOAD_GAPS, AUDITS, LOADED_FILES)}
SHARD = "shard"
"""The column that distinguishes the notes of several shards, in :func:`noted_by`."""


@dataclass(frozen=True)
class Stored:
    """What the warehouse holds for a location when a run begins."""

    tables: frozenset[str]
    gaps: frozenset[str]
    """The resources with gaps, including those of a killed load, whose state is lost."""


STORED: ContextVar[Stored | None] = ContextVar("stored", default=None)


def stored(client: SqlClientBase[Any]) -> Stored:
    tables = stored_tables(client)
    if LOAD_GAPS.name not in tables:
        return Stored(tables, frozenset())
    rows = client.execute_sql(f"SELECT DISTINCT resource FROM {client.make_qualified_table_name(LOAD_GAPS.name)}")
    return Stored(tables, frozenset(resource for (resource,) in rows or ()))


@runtime_checkable
class ListsTables(Protocol):
    """A client of a warehouse in which SQL cannot list the tables."""

    def stored_tables(self) -> frozenset[str]: ...


def stored_tables(client: SqlClientBase[Any]) -> frozenset[str]:
    if isinstance(client, ListsTables):
        tables: frozenset[str] = client.stored_tables()
        return tables
    names = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    return frozenset(name for (name,) in client.execute_sql(names, client.dataset_name) or ())


def check_appended(schemas: Iterable[Schema], known: frozenset[str], there: frozenset[str]) -> None:
    """Raises :class:`WarehouseError` if rows would be appended to a table that another run has made meanwhile.

    ``known`` are the tables that existed when this run began, and its own. The next run merges.
    """
    tables = [table for schema in schemas for table in schema.data_tables()]
    appended = {str(table["name"]) for table in tables if table.get("write_disposition") == "append"}
    if made := sorted((appended & there) - known):
        raise WarehouseError(f"another run created {', '.join(made)} in the meantime: run this one again")


def noted_by(shard: Shard, notes: Table) -> Table:
    """``load_gaps`` or ``audits`` as a shard fills it: each shard replaces only its own notes."""
    if shard.is_whole:
        return notes
    column = text(SHARD, "The shard that noted it, such as 2_of_4; null if there was only one.", origin="reader")
    resource, *others = notes.columns
    return replace(
        notes,
        key=("resource", SHARD, "scope"),
        merge_key=("resource", SHARD),
        columns=(resource, column, *others),
    )


def check_name(table: str) -> None:
    """Raises :class:`SettingError` if a table has the name of one of the mirror's own or dlt's."""
    if table in OWN_TABLES or table.startswith("_dlt"):
        raise SettingError(f"the mirror uses the table name {table} itself: give your table another name")
