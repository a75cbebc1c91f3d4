"""What a run's container executes: Dagster's own `api execute_run`, on its location's code and no other.

Dagster takes the code to load from the run's record in the storage, including `working_directory`, and
ignores what the command says. Here, the code that the launch service named replaces the record's. The
service passes this file's text to the Python of the location's image, whatever its version of Dagster,
so it needs nothing but Dagster.

    python -c "$(cat run.py)" execute_run github_location.definitions RUN_ID INSTANCE
"""

import gc
import sys

if __name__ == "__main__":
    # Nothing that is imported becomes garbage: looking for it would take a sixth of the CPU of a run's start.
    gc.disable()

from dagster._cli import api
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs
from dagster._serdes import deserialize_value, serialize_value

ATTRIBUTE = "defs"
"""The name of the definitions in the module, as in the code server's command."""
LOADS = "recon_job_from_origin"
"""What `dagster api execute_run` and `resume_run` call with the record's code."""
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


def main() -> None:
    verb, module, run_id, instance = sys.argv[1:]
    arguments = ARGUMENTS[verb](
        job_origin=JobPythonOrigin("", load_from(module)),
        run_id=run_id,
        instance_ref=deserialize_value(instance, InstanceRef),
        set_exit_code_on_failure=True,
    )
    api.api_cli.main([verb, serialize_value(arguments)])


if __name__ == "__main__":
    main()
