"""Evaluates how fresh each location's assets are, independently of other locations.

Dagster evaluates all assets together: one that raises, such as one more than a location may have, ends the evaluation
of all others, and each one that its location keeps locked delays them.
https://github.com/dagster-io/dagster/blob/1.13.27/python_modules/dagster/dagster/_daemon/freshness.py
"""

import logging
from typing import Any

from dagster._core.definitions.freshness import FreshnessStateRecord
from dagster._core.storage.event_log.base import AssetRecord
from dagster._daemon.freshness import FreshnessDaemon

ALL = "_evaluate_assets"
ONE = "_evaluate_asset"
logger = logging.getLogger("ingest")


def evaluate_apart() -> None:
    """Replaces Dagster's own evaluation; raises ``AttributeError`` if Dagster has renamed it."""
    for name in (ALL, ONE):
        getattr(FreshnessDaemon, name)
    setattr(FreshnessDaemon, ALL, _evaluated)


async def _evaluated(daemon: Any, workspace_process_context: Any) -> list[bool]:
    """Returns whether each asset's state changed; if one raises, the rest of its location waits for the next round."""
    context = workspace_process_context.create_request_context()
    nodes = list(context.asset_graph.asset_nodes)
    keys = [node.key for node in nodes]
    # Read together, and cached by the context: Dagster's own evaluation reads them asset by asset.
    await FreshnessStateRecord.gen_many(context, keys)
    await AssetRecord.gen_many(context, keys)
    changed, failed = [], set()
    for node in nodes:
        location = node.key.path[0]
        if location in failed:
            continue
        try:
            changed.append(await daemon._evaluate_asset(context=context, node=node))
        except Exception as error:  # noqa: BLE001  whatever it raises
            failed.add(location)
            reason = str(error).partition("\n")[0]
            at = node.key.to_user_string()
            logger.warning("assets of %s from %s on are not evaluated for now: %s", location, at, reason)
    return changed
