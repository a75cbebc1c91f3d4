"""Errors are told in one line."""

import sqlalchemy as sa

from ingest_shared.errors import first_line


def test_the_line_is_the_drivers_own_and_never_empty() -> None:
    assert first_line(ValueError("wrong\nand more")) == "wrong"
    assert first_line(sa.exc.DBAPIError("SELECT 1", {}, Exception("no such table"))) == "no such table"
    assert first_line(TimeoutError()) == "TimeoutError"
