"""The code of a location ``one`` whose assets are its own, and whose sensors and pool are not."""

import dagster as dg
from dagster._core.definitions.run_request import DagsterRunReaction
from dagster._core.definitions.sensor_definition import SensorExecutionData


@dg.asset(key=["one", "items"], deps=[dg.AssetKey(["other", "items"])])
def items() -> None: ...


@dg.asset_check(asset=items)
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.op(pool="other_items")
def fill() -> None: ...


@dg.job
def filling() -> None:
    fill()


@dg.sensor(target=[items])
def telling() -> dg.SensorResult:
    return dg.SensorResult(asset_events=[dg.AssetMaterialization(["other", "items"])])


class Reacting(dg.SensorDefinition):
    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> SensorExecutionData:
        run = dg.DagsterRun("filling", run_id="anothers")
        return SensorExecutionData(dagster_run_reactions=[DagsterRunReaction(run, error=None)])


reacting = Reacting("reacting", evaluation_fn=lambda _: None, target=[items])


@dg.sensor(target=[items])
def noting(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    context.update_cursor("x" * 250_001)
    return dg.SkipReason("it has noted much")


@dg.sensor(target=[items])
def skipping(_context: dg.SensorEvaluationContext) -> dg.SkipReason:
    return dg.SkipReason("x" * 50_001)


@dg.sensor(target=[items])
def failing(_context: dg.SensorEvaluationContext) -> dg.SkipReason:
    raise ValueError("x" * 100_000)


@dg.op
def fill_part() -> None: ...


@dg.job(config=dg.static_partitioned_config(["a"], tags_for_partition_key_fn=lambda _: {"user": "admin"})(lambda _: {}))
def parted() -> None:
    fill_part()


defs = dg.Definitions(
    assets=[items], asset_checks=[sound], jobs=[filling, parted], sensors=[telling, reacting, noting, skipping, failing]
)
