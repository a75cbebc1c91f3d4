"""Columns that refer to rows of other tables, and references that lead nowhere."""

from collections.abc import Iterable, Iterator, Mapping

from dlt.destinations.sql_client import SqlClientBase

from ingest_shared.tables import AnyTable, Column, Table


def references(table: AnyTable) -> list[Column]:
    """The columns of a table that refer to rows of other tables."""
    return [column for column in table.columns if column.to]


def naming(name: str, tables: Iterable[Table]) -> Iterator[tuple[AnyTable, Column]]:
    """The columns of all tables that refer to rows of this one, each with its table."""
    for root in tables:
        for table in root.with_children:
            yield from ((table, column) for column in references(table) if column.to == name)


def with_children(tables: Mapping[str, Table]) -> dict[str, AnyTable]:
    """The tables and their child tables, by name."""
    return {table.name: table for root in tables.values() for table in root.with_children}


def to_nowhere(client: SqlClientBase[object], table: AnyTable, column: Column, to: AnyTable) -> str:
    """``FROM ... WHERE ...`` in SQL: the rows ``t`` whose column refers to a row that the table ``to`` does not have.

    If both tables have other columns of the key of ``to``, such as the account, those must agree too.
    """
    same = {to.key[-1]: column.name}
    same |= {key: key for key in to.key[:-1] if key in {other.name for other in table.columns}}
    name = client.escape_column_name
    agree = " AND ".join(f"o.{name(theirs)} = t.{name(ours)}" for theirs, ours in same.items())
    ours, theirs = map(client.make_qualified_table_name, (table.name, to.name))
    named = f"t.{name(column.name)} IS NOT NULL"
    return f"FROM {ours} AS t WHERE {named} AND NOT EXISTS (SELECT 1 FROM {theirs} AS o WHERE {agree})"
