"""How often tables are loaded, stated once: tags, freshness and schedules follow from it."""

from dataclasses import dataclass
from datetime import timedelta

from dagster import FreshnessPolicy

LATE = timedelta(hours=2)
"""How late a load may be before its tables show a warning."""
STALE = timedelta(hours=6)
"""How late a load may be before its tables fail."""


@dataclass(frozen=True)
class Group:
    """The asset group ``name``: tables that one pipeline loads together, on the schedule ``cron`` (UTC).

    ``cadence`` is the tag by which people select tables, ``every`` the longest time between two loads.
    """

    name: str
    cadence: str
    cron: str
    every: timedelta

    @property
    def tags(self) -> dict[str, str]:
        return {"cadence": self.cadence}

    @property
    def freshness(self) -> FreshnessPolicy:
        """https://docs.dagster.io/guides/observe/asset-freshness-policies"""
        return FreshnessPolicy.time_window(warn_window=self.every + LATE, fail_window=self.every + STALE)
