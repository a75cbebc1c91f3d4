"""Bad input ends in one line that names it and says what to do; nothing is lost or half-written."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_shared.reading.api import ATTEMPTS
from ingest_shared.tables import UNDECLARED
from ingest_testing.location import variable
from ingest_testing.mirror import assert_mirrors
from ingest_testing.runs import run_job
from ingest_testing.suites.suite import Suite
from ingest_testing.warehouse import Warehouse

NOTHING_ANSWERS = "http://127.0.0.1:9"
WRONG = "entirely_wrong"
HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


class BadInput(Suite):
    """Settings, responses and values that no location may trip over."""

    def test_no_credential(self, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, **{variable(self.location.credential): ""})
        assert f"`{self.location.credential}`" in run.failure
        assert variable(self.location.credential) in run.failure
        assert run.retries == 0
        assert warehouse.origin.requests()["total"] == 0

    def test_a_wrong_credential_is_tried_once(self, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, **{variable(self.location.credential): WRONG})
        assert self.location.refused in run.failure
        assert f"`{self.location.credential}`" in run.failure
        assert WRONG not in run.failure
        assert run.retries == 0
        assert warehouse.origin.requests()["by_status"] == {str(self.location.unauthorized): 1}

    def test_a_line_end_after_the_credential_does_no_harm(self, warehouse: Warehouse[Any]) -> None:
        assert self.run_sample(warehouse, **{variable(self.location.credential): f"{self.location.key}\n"}).success

    @pytest.mark.parametrize("credential", ["\u201ckey_in_typographic_marks\u201d", "key_of_two\nlines"])
    def test_a_credential_that_no_request_can_carry(self, credential: str, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, **{variable(self.location.credential): credential})
        assert run.failure.startswith(f"{self.location.credential} contains a character that cannot be in a credential")
        assert "key_" not in run.failure.removeprefix(self.location.credential)
        assert run.retries == 0

    @pytest.mark.parametrize(
        "url", ["api.example.com", "htp://api.example.com", "http://[", "https://exa mple", "https://h:x"]
    )
    def test_an_address_that_is_none(self, url: str, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, **{variable(self.location.address): url})
        assert run.failure.startswith(f"{self.location.address} is '{url}'; write it as https://")
        assert run.retries == 0

    def test_a_setting_that_is_no_number(self, number: str, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, **{variable(number): "often"})
        assert run.failure == f"{number} is 'often'; write it as a number greater than zero"
        assert run.retries == 0

    def test_an_unknown_destination(self, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, INGEST_DESTINATION="postgers")
        assert "INGEST_DESTINATION is 'postgers'" in run.failure
        assert run.retries == 0
        assert warehouse.origin.requests()["total"] == 0

    def test_a_data_folder_that_cannot_be_written(self, warehouse: Warehouse[Any], tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        run = self.run_sample(warehouse, INGEST_DATA_DIR=str(tmp_path / "file" / "data"))
        assert "INGEST_DATA_DIR" in run.failure
        assert run.retries == 0
        assert warehouse.origin.requests()["total"] == 0

    @pytest.fixture
    def locked(self, warehouse: Warehouse[Any]) -> Iterator[Warehouse[Any]]:
        """A warehouse whose DuckDB file another process has open."""
        command = [sys.executable, "-c", HOLD, str(warehouse.file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout
            assert other.stdout.readline() == b"held\n"
            yield warehouse
            other.kill()

    def test_a_duckdb_file_that_another_process_has_open(self, locked: Warehouse[Any]) -> None:
        run = self.run_sample(locked)
        assert "another process is using the DuckDB file" in run.failure
        assert locked.origin.requests()["total"] == 0

    def test_a_page_of_html(self, warehouse: Warehouse[Any]) -> None:
        """If nothing else can be read either, the run fails; a retry may succeed."""
        warehouse.origin.fail({"kind": "html", "path": self.location.sample.path})
        run = self.run_sample(warehouse)
        assert self.location.sample.table in run.failure
        assert "not valid JSON" in run.failure
        assert f"`{self.location.address}`" in run.failure

    def test_a_first_answer_of_html(self, warehouse: Warehouse[Any]) -> None:
        warehouse.origin.fail({"kind": "html", "path": self.location.asked_first})
        run = self.run_sample(warehouse)
        assert "JSON" in run.failure
        assert f"`{self.location.address}`" in run.failure

    def test_an_api_that_is_down(self, warehouse: Warehouse[Any]) -> None:
        run = self.run_sample(warehouse, **{variable(self.location.address): NOTHING_ANSWERS})
        assert "did not answer" in run.failure
        assert f"`{self.location.address}`" in run.failure

    def test_an_api_that_answers_500_is_asked_again_a_few_times(self, warehouse: Warehouse[Any]) -> None:
        warehouse.origin.fail({"kind": "status", "status": 500, "path": self.location.asked_first})
        run = self.run_sample(warehouse)
        assert "did not answer" in run.failure
        assert run.retries == 1
        assert warehouse.origin.requests()["by_status"] == {"500": 2 * ATTEMPTS}

    def test_a_failed_run_is_tried_again_when_that_can_help(self, warehouse: Warehouse[Any]) -> None:
        down = {"kind": "status", "status": 500, "path": self.location.asked_first, "times": ATTEMPTS}
        warehouse.origin.fail(down)
        run = self.run_sample(warehouse)
        assert run.success
        assert run.retries == 1
        assert_mirrors(warehouse, self.location.sample.table)

    def test_a_value_of_the_wrong_type_is_a_gap_in_its_table_and_all_else_is_loaded(
        self, synced: Warehouse[Any]
    ) -> None:
        sample, origin = self.location.sample, synced.origin
        others = set(self.location.tables_of(sample.group)) - {sample.table}
        before = synced.contents(sample.group)[sample.table]
        for kind in sample.changes:
            origin.change(kind)
        origin.advance()
        table = self.location.tables[sample.table]
        field = next(c.path for c in table.columns if c.name == sample.number)
        key = next(c.path for c in table.columns if c.name in table.key and c.origin == "payload")
        origin.fail({"kind": "replace_field", "path": sample.path, "field": field, "value": {"many": 1}})
        run = run_job(synced, self.location.job_of(sample.group))
        origin.heal()
        read = others - self.location.lists_per_row_of(sample.table)
        assert run.success is bool(read), "of lists per row of what cannot be read, nothing is read either"
        assert run.checks.get((sample.table, "no_open_load_gaps"), False) is False
        assert synced.contents(sample.group)[sample.table] == before
        for name in others:
            assert_mirrors(synced, name)
        assert {gap[0] for gap in synced.gaps()} == {sample.table}
        for *_, reason in synced.gaps():
            assert reason.startswith(f"table {sample.table}, column {sample.number}, row ")
            assert f"{key}=" in reason
            assert "'many'" in reason
        synced.sync(sample.group)
        assert_mirrors(synced, *self.location.tables_of(sample.group))
        assert synced.gaps() == []

    def test_a_new_field_is_kept_and_reported(self, warehouse: Warehouse[Any]) -> None:
        sample = self.location.sample
        if "*" in self.location.tables[sample.table].unused:
            pytest.skip(f'the table {sample.table} keeps no new field: its `unused` has "*"')
        warehouse.origin.fail({"kind": "extra_field", "path": sample.path, "field": "votes", "value": {"up": 3}})
        run = self.run_sample(warehouse)
        assert run.metadata[sample.table]["new_fields"] == ["votes"]
        kept = {str(row[UNDECLARED]).replace(" ", "") for row in warehouse.rows(self.location.tables[sample.table])}
        assert kept == {'{"votes":{"up":3}}'}
