"""Two code locations whose assets have to be fresh."""

from datetime import timedelta

import dagster as dg

DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=1))
one = dg.Definitions(
    assets=[dg.AssetSpec(["one", name], freshness_policy=DAILY, group_name="one") for name in ("items", "more")]
)
other = dg.Definitions(assets=[dg.AssetSpec(["other", "items"], freshness_policy=DAILY)])
