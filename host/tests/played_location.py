"""What a code location is: served by `dagster api grpc`, run by `dagster api execute_run`."""

import dagster as dg


@dg.asset(key=["one", "items"], pool="one_items")
def items() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 1}, tags={"kind": "whole"})


@dg.asset(key=["one", "child"], deps=[items])
def child() -> None: ...


@dg.asset_check(asset=items)
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset(key=["one", "broken"])
def broken() -> None:
    raise dg.Failure("as it should")


@dg.asset(key=["other", "items"])
def foreign() -> None: ...


@dg.run_failure_sensor(name="told")
def told(context: dg.RunFailureSensorContext) -> None: ...


defs = dg.Definitions(
    assets=[items, child, broken, foreign],
    asset_checks=[sound],
    jobs=[
        dg.define_asset_job("good", selection=[items, child]),
        dg.define_asset_job("bad", selection=[broken]),
        dg.define_asset_job("astray", selection=[foreign]),
    ],
    sensors=[told],
    executor=dg.in_process_executor,
)
