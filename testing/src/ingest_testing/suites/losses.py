"""Whatever is wrong in the warehouse, one audit finds every mistake, names its table and repairs it."""

from typing import Any

import pytest

from ingest_testing import planted
from ingest_testing.mirror import assert_mirrors
from ingest_testing.suites.suite import Suite
from ingest_testing.warehouse import Warehouse

DAY = 86_400
MISTAKES = 100
CHANGES = 150


class Losses(Suite):
    """Losses of any kind, at random."""

    @pytest.mark.exhaustive
    def test_a_hundred_planted_mistakes_are_found_and_mended_by_one_audit(self, synced: Warehouse[Any]) -> None:
        synced.origin.advance(DAY)  # so that there are rows for a day that the origin shows no more
        assert synced.audit() == {}, "nothing is wrong on a quiet origin"
        mistakes = planted.plant(synced, MISTAKES, seed=1)
        assert len(mistakes) == MISTAKES, "the origin has too few rows for so many mistakes: raise `size` in LOCATION"
        found = synced.audit()
        assert {table: sum(counts) for table, counts in found.items()} == planted.by_root(mistakes), mistakes
        assert synced.audit() == {}
        audits = "SELECT resource, sum(compared), sum(calls) FROM {audits} GROUP BY 1 ORDER BY 1"
        for table, compared, calls in synced.query(audits):
            print(f"audit of {table}: {compared} rows compared with {calls} calls")
        planted.take_out_added(synced, mistakes)
        assert_mirrors(synced, audited=True)

    @pytest.mark.exhaustive
    def test_nothing_that_changed_after_the_last_load_is_called_lost(self, synced: Warehouse[Any]) -> None:
        synced.origin.change_at_random(seed=1, count=CHANGES, without=self.location.untold)
        synced.origin.advance()
        synced.audit()
        assert synced.lost() == []
        assert synced.query("SELECT sum(changed) > 0 FROM {audits}") == [(True,)]
        assert_mirrors(synced, audited=True)
