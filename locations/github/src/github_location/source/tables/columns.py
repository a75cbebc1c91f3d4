"""Columns that many tables share."""

from typing import Any

from ingest_shared.tables import Column, Table, bigint, epoch, text

REST = "https://docs.github.com/en/rest"
DELETED_AT = epoch("deleted_at", "When it was found to be deleted; null while it exists.", origin="reader")
ORGANIZATION_ID = bigint("organization_id", "Organization, by its immutable id.", origin="reader")
REPO_ID = bigint("repo_id", "Repository, by its immutable id; a rename does not change it.", origin="reader")


def user(name: str, role: str, path: str | None = None) -> tuple[Column, Column]:
    """Id and login of a user object; both are null if the account was deleted."""
    path = path or name
    return (
        bigint(f"{name}_id", f"{role}, by immutable id; null if the account was deleted.", path=f"{path}.id"),
        text(f"{name}_login", f"{role}'s login at the time of the last change of this row.", path=f"{path}.login"),
    )


def repo_table(
    *,
    name: str,
    docs: str,
    columns: tuple[Column, ...],
    key: tuple[str, ...] = ("id",),
    of: Column = REPO_ID,
    **more: Any,
) -> Table:
    """A table of objects of repositories or organizations, with columns for the owner and the time of deletion.

    ``docs`` is the page of its list, relative to the REST API's documentation.
    """
    return Table(name=name, docs=f"{REST}/{docs}", key=key, columns=(of, *columns, DELETED_AT), **more)
