"""Where rows go: chosen by configuration, never by a location.

``INGEST_DESTINATION`` names it: ``duckdb`` (the default), ``postgres``, ``mariadb`` or ``delta``, with dlt's own
settings (``destination.postgres.credentials`` and so on). The tests compare every value in each of them with the
origin. dlt's other destinations may silently append instead of merging, so they are refused unless
``INGEST_UNPROVEN=1``: https://dlthub.com/docs/dlt-ecosystem/destinations
"""

import contextlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import dlt
from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.normalizers.naming import NamingConvention
from dlt.destinations.impl.duckdb.configuration import DuckDbConnectionPool, DuckDbCredentials
from dlt.pipeline.pipeline import Pipeline

from ingest_shared.errors import SettingError, WarehouseError

DATABASES = ("duckdb", "postgres", "mariadb")
"""The proven destinations that support views, and in which several pipelines may write to one table at a time."""
PROVEN = (*DATABASES, "delta")
"""Destinations on which the tests compare every value with the origin."""
ONE_OF_THEM = f"{', '.join(PROVEN[:-1])} or {PROVEN[-1]}"
DRIVERS = {"mariadb": "pymysql", "delta": "deltalake"}
"""Drivers that are not installed by default: ``ingest-shared[mariadb]`` adds one."""
DUCKDB_MEMORY = "192MB"
"""DuckDB's own cache. A large load uses all of it and, without a limit, up to 80 % of the machine's memory. With
128 MB, two files of Stripe's events, loaded side by side, are too much (`make bench-stripe OBJECTS=200000`)."""


class ResolvedOnce(Destination[Any, Any]):
    """A destination whose settings are resolved once.

    For each client and its capabilities, dlt looks up every setting again, some 40 times a run: more than a
    quarter of the time of a sync that finds nothing new.
    """

    def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
        known: dict[str, Any] = self.__dict__.setdefault("_configurations", {})
        asked = f"{accept_partial} {dict(initial_config or {})}"
        if asked not in known:
            known[asked] = super().configuration(initial_config, accept_partial).copy()
        return known[asked].copy()  # each client has its own connection

    def capabilities(
        self, config: Any = None, naming: NamingConvention | None = None
    ) -> DestinationCapabilitiesContext:
        if config is not None:
            return super().capabilities(config, naming)
        known: dict[str | None, DestinationCapabilitiesContext] = self.__dict__.setdefault("_capabilities", {})
        name = naming.name() if naming else None
        if name not in known:
            known[name] = super().capabilities(None, naming)
        return known[name].copy()  # because dlt modifies it


class duckdb(ResolvedOnce, dlt.destinations.duckdb):  # noqa: N801, dlt takes the destination's name from it
    """https://dlthub.com/docs/dlt-ecosystem/destinations/duckdb"""

    def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
        config = super().configuration(initial_config, accept_partial)
        if isinstance(config.credentials, DuckDbCredentials):  # dlt copies everything but the connections
            config.credentials.conn_pool = DuckDbConnectionPool(config.credentials)
        return config


def destination_name() -> str:
    return os.environ.get("INGEST_DESTINATION", "").strip() or "duckdb"


def data_dir() -> Path:
    """The folder of the DuckDB files: ``INGEST_DATA_DIR``, by default ``data``."""
    return Path(os.environ.get("INGEST_DATA_DIR", "").strip() or "data").absolute()


def duckdb_file(location: str) -> Path:
    return data_dir() / f"{location}.duckdb"


def destination(location: str, pipeline_name: str) -> Destination[Any, Any] | None:
    """The destination of a location's pipeline; None if dlt does not know the name, or a driver is missing.

    :func:`check_destination` raises that error when a run starts, so that definitions still load.
    Each pipeline stages its rows in a dataset of its own, since two may load at the same time.
    """
    name = destination_name()
    group = pipeline_name.removeprefix(f"{location}_")
    options: dict[str, Any] = {"staging_dataset_name_layout": f"%s_staging_{group}"}
    if name == "duckdb":
        with contextlib.suppress(OSError):  # reported by check_destination, when a run starts
            data_dir().mkdir(parents=True, exist_ok=True)
        memory = {"memory_limit": DUCKDB_MEMORY, "preserve_insertion_order": False}
        quiet = {"enable_progress_bar": False}
        credentials = {"database": str(duckdb_file(location)), "global_config": memory, "local_config": quiet}
        return duckdb(credentials, **options)
    if name == "postgres":
        from ingest_shared.postgres import postgres  # noqa: PLC0415, its driver is loaded where it is used

        return postgres(**options)
    if not _has_driver(name):
        return None
    if name == "mariadb":
        from ingest_shared.mariadb import ENGINE, mariadb  # noqa: PLC0415

        return mariadb(engine_kwargs=ENGINE, **options)
    if name == "delta":
        from ingest_shared.delta import delta  # noqa: PLC0415

        return delta(**options)
    try:
        return Destination.from_reference(name, **options)
    except UnknownDestinationModule:
        return None


def _has_driver(name: str) -> bool:
    return name not in DRIVERS or find_spec(DRIVERS[name]) is not None


@runtime_checkable
class ChecksStorage(Protocol):
    """A client that can check whether the warehouse's storage is suitable."""

    def check_storage(self) -> None:
        """Raises :class:`WarehouseError` if it is not suitable."""


def check_destination(pipeline: Pipeline) -> None:
    """Opens the warehouse briefly, before any call to an API.

    Raises :class:`SettingError` or :class:`WarehouseError` in one line.
    """
    name = destination_name()
    if not _has_driver(name):
        raise SettingError(
            f"INGEST_DESTINATION is {name!r}, whose driver {DRIVERS[name]} is not installed: "
            f"add ingest-shared[{name}] to the dependencies in pyproject.toml"
        )
    if pipeline.destination is None:
        raise SettingError(f"INGEST_DESTINATION is {name!r}, which dlt does not support; set it to {ONE_OF_THEM}")
    if name not in PROVEN and os.environ.get("INGEST_UNPROVEN", "").strip() != "1":
        raise SettingError(
            f"INGEST_DESTINATION is {name!r}, for which no test shows that a merge replaces rows instead of "
            "adding them; "
            f"use {ONE_OF_THEM}, or set INGEST_UNPROVEN=1 to try it"
        )
    if name == "duckdb":
        folder = data_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".writable").touch()
            (folder / ".writable").unlink()
        except OSError as error:
            raise SettingError(
                f"cannot write to the data folder {folder} ({error.strerror}); set INGEST_DATA_DIR to a writable folder"
            ) from None
    try:
        with pipeline.sql_client() as client:
            client.execute_sql("SELECT 1")
            if isinstance(client, ChecksStorage):
                client.check_storage()
    except WarehouseError:
        raise
    except Exception as error:
        raise _warehouse_error(name, error) from error


def _warehouse_error(name: str, error: Exception) -> WarehouseError:
    line = str(error).strip().splitlines()[0]
    if "Could not set lock" in line and name == "duckdb":
        return WarehouseError(f"another process is using the DuckDB file; close it and run again ({line})")
    setting = f"destination.{name}." + ("bucket_url` and its `credentials" if name == "delta" else "credentials")
    return WarehouseError(f"cannot open the warehouse ({line}); check `{setting}`")
