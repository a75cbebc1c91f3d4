"""Tags each run with who launched it, and with the partition that it loads.

https://docs.dagster.io/deployment/execution/customizing-run-queue-priority
"""

from dagster import DagsterInstance, DagsterRun
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.storage.tags import PARTITION_NAME_TAG

PARTITION = "ingest/partition"
"""The tag by which dagster.yaml runs a partition once at a time. It names the location, since keys may repeat."""


class MarkingRunCoordinator(QueuedRunCoordinator):
    """Dagster's queue, which sets the tag `user` of a run to whoever launched it from the UI or with a token.

    A value of either tag that the client itself sends is overwritten: one location could take another's place.
    """

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        run = context.dagster_run
        if tags := {**context.workspace.get_viewer_tags(), **_partition(run)}:
            self._instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context)


def _partition(run: DagsterRun) -> dict[str, str]:
    key = run.tags.get(PARTITION_NAME_TAG, run.run_id if PARTITION in run.tags else None)
    if key is None or run.remote_job_origin is None:
        return {}
    return {PARTITION: f"{run.remote_job_origin.location_name} {key}"}


def mark_runs(instance: DagsterInstance) -> None:
    """Gives the instance this coordinator, with the settings of dagster.yaml.

    dagster.yaml does not name it, because runs receive those settings and a location's image does not have the class.
    """
    settings = instance.get_ref().run_coordinator_data
    assert settings is not None
    own = settings._replace(module_name=__name__, class_name=MarkingRunCoordinator.__name__)
    coordinator = own.rehydrate(as_type=QueuedRunCoordinator)
    coordinator.register_instance(instance)
    instance._run_coordinator = coordinator
