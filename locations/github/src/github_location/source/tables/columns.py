"""Columns that many tables have."""

from ingest_shared.tables import Column, bigint, epoch, text

REST = "https://docs.github.com/en/rest"
DELETED_AT = epoch("deleted_at", "When it was found to be deleted; null while it exists.", origin="reader")
ORGANIZATION_ID = bigint("organization_id", "Organisation, by its immutable id.", origin="reader")
REPO_ID = bigint("repo_id", "Repository, by its immutable id; a rename does not change it.", origin="reader")


def user(name: str, role: str, path: str | None = None) -> tuple[Column, Column]:
    """Id and login of a user object; both are null when the account was deleted."""
    path = path or name
    return (
        bigint(f"{name}_id", f"{role}, by immutable id; null when the account was deleted.", path=f"{path}.id"),
        text(f"{name}_login", f"{role}'s login at the time of the last change of this row.", path=f"{path}.login"),
    )
