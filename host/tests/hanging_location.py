"""Two code locations: what is evaluated in ``hanging`` does not return until the file ``RELEASED`` is there."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg


@dg.job
def nothing() -> None: ...


def hang(_: object) -> dg.SkipReason:
    while not Path(os.environ["RELEASED"]).exists():
        time.sleep(0.1)
    return dg.SkipReason("released")


def skip(_: object) -> dg.SkipReason:
    return dg.SkipReason("nothing to do")


def parted(do: Callable[[object], dg.SkipReason], name: str) -> dg.JobDefinition:
    """A job whose backfill requests the tags of its partition."""

    def tags(_: str) -> dict[str, str]:
        return {"told": str(do(None).skip_message)}

    @dg.job(
        name=f"parted_{name}", config=dg.static_partitioned_config(["a"], tags_for_partition_key_fn=tags)(lambda _: {})
    )
    def parted_job() -> None: ...

    return parted_job


def evaluating(do: Callable[[object], dg.SkipReason], name: str) -> dg.Definitions:
    schedule, sensor = dg.DefaultScheduleStatus.RUNNING, dg.DefaultSensorStatus.RUNNING
    return dg.Definitions(
        jobs=[nothing, parted(do, name)],
        schedules=[
            dg.ScheduleDefinition(
                f"schedule_{name}", cron_schedule="* * * * *", job=nothing, execution_fn=do, default_status=schedule
            )
        ],
        sensors=[
            dg.SensorDefinition(
                f"sensor_{name}", job=nothing, evaluation_fn=do, default_status=sensor, minimum_interval_seconds=1
            )
        ],
    )


hanging = dg.Definitions.merge(*(evaluating(hang, str(number)) for number in range(3)))
quick = evaluating(skip, "quick")
