"""What a run's container executes: Dagster's own `api execute_run`, on its location's code and no other.

Dagster takes the code to load from the run's record in the storage, including `working_directory`, and
ignores what the command says. Here, the code that the launch service named replaces the record's. The
service passes this file's text to the Python of the location's image, whatever its version of Dagster,
so it needs nothing but Dagster and its Postgres storage.

A run also keeps its connections to that storage. By itself, Dagster opens one for each query, and several for each
event that a run records: that takes more CPU than the queries.

    python -c "$(cat run.py)" execute_run github_location.definitions RUN_ID INSTANCE
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

if __name__ == "__main__":
    # Nothing that is imported becomes garbage: looking for it would take a sixth of the CPU of a run's start.
    gc.disable()

import psycopg2
from dagster import DagsterInstance
from dagster._cli import api
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs
from dagster._serdes import deserialize_value, serialize_value
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

ATTRIBUTE = "defs"
"""The name of the definitions in the module, as in the code server's command."""
LOADS = "recon_job_from_origin"
"""What `dagster api execute_run` and `resume_run` call with the record's code."""
OPENS = "get_instance_for_cli"
"""What they open the instance with."""
CONNECTION_SECONDS = 3600
"""Seconds after which a connection is replaced."""
OVERFLOW = 20
"""Connections beyond the one that each storage keeps, for threads that query at the same time."""
ARGUMENTS = {"execute_run": ExecuteRunArgs, "resume_run": ResumeRunArgs}


def load_from(module: str) -> RepositoryPythonOrigin:
    """Makes Dagster load this module for every run; raises ``AttributeError`` if Dagster has renamed :data:`LOADS`."""
    origin = RepositoryPythonOrigin(sys.executable, ModuleCodePointer(module, ATTRIBUTE))

    def job_of(recorded: JobPythonOrigin) -> ReconstructableJob:
        gc.freeze()  # Dagster and its storage, which stay; the location's code is loaded after this
        gc.enable()
        repository = ReconstructableRepository(origin.code_pointer, executable_path=origin.executable_path)
        return repository.get_reconstructable_job(recorded.job_name)

    getattr(api, LOADS)  # a Dagster that has renamed it must not start the run
    setattr(api, LOADS, job_of)
    return origin


def keep_connections(instance: DagsterInstance, statement_milliseconds: int = 0) -> None:
    """Makes each storage of a Postgres instance keep a connection; by default, a statement may take any time."""
    # `dagster-webserver` calls this, but nothing in it is specific to the webserver.
    instance.optimize_for_webserver(statement_milliseconds, CONNECTION_SECONDS, OVERFLOW)
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        if engine := getattr(storage, "_engine", None):
            event.listen(engine, "checkout", _ping)


def _ping(connection: Any, *_: object) -> None:
    """Replaces a connection that Postgres closed, for example when it was restarted.

    https://docs.sqlalchemy.org/en/20/core/pooling.html#custom-legacy-pessimistic-ping
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise DisconnectionError(str(error)) from error


def open_once() -> None:
    """Makes a run keep its connections; raises ``AttributeError`` if Dagster has renamed :data:`OPENS`."""
    opened = getattr(api, OPENS)

    @contextmanager
    def kept(*arguments: Any, **options: Any) -> Iterator[DagsterInstance]:
        with opened(*arguments, **options) as instance:
            keep_connections(instance)
            yield instance

    setattr(api, OPENS, kept)


def main() -> None:
    verb, module, run_id, instance = sys.argv[1:]
    open_once()
    arguments = ARGUMENTS[verb](
        job_origin=JobPythonOrigin("", load_from(module)),
        run_id=run_id,
        instance_ref=deserialize_value(instance, InstanceRef),
        set_exit_code_on_failure=True,
    )
    api.api_cli.main([verb, serialize_value(arguments)])


if __name__ == "__main__":
    main()
