"""The standard tests follow what a location's tables declare."""

from dataclasses import replace
from pathlib import Path

import pytest

from ingest_testing import Warehouse
from ingest_testing.suites.bad_input import BadInput

from .test_mirror import ISSUES, Played, location


class KeepsNoNewField(BadInput):
    location = replace(location(), tables={"issues": replace(ISSUES, unused=("*",))})


def test_a_table_that_keeps_no_new_field_is_skipped_and_why_is_said(tmp_path: Path) -> None:
    warehouse = Warehouse(KeepsNoNewField.location, Played("http://127.0.0.1:9"), tmp_path)
    with pytest.raises(pytest.skip.Exception, match=r'^the table issues keeps no new field: its `unused` has "\*"$'):
        KeepsNoNewField().test_a_new_field_is_kept_and_reported(warehouse)
