"""Marks each run with who launched it: https://docs.dagster.io/deployment/execution/customizing-run-queue-priority"""

from dagster import DagsterRun
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator


class MarkingRunCoordinator(QueuedRunCoordinator):
    """Dagster's queue, with the tag `user` of whoever launched a run from the UI or with a token.

    What a client says there itself is written over.
    """

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        if tags := context.workspace.get_viewer_tags():
            self._instance.add_run_tags(context.dagster_run.run_id, tags)
        return super().submit_run(context)
