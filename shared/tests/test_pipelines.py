"""Pipelines have names that last, and working folders that do not."""

import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dlt
import pytest

from ingest_shared import pipelines
from ingest_shared.columnar import Decoder
from tests.conftest import ISSUES, Warehouse, reading


def test_the_names_of_pipeline_and_dataset_follow_from_location_and_group() -> None:
    pipeline = pipelines.pipeline("github", "activity")
    assert (pipeline.pipeline_name, pipeline.dataset_name) == ("github_activity", "github_raw")


def test_a_pipeline_is_made_without_opening_the_warehouse(tmp_path: Path) -> None:
    pipelines.pipeline("github", "activity")
    assert list((tmp_path / "data").glob("*")) == []


def test_pipelines_of_a_location_stage_apart(duckdb_warehouse: Warehouse) -> None:
    """They may load at the same time, and each empties its staging tables first."""
    location = duckdb_warehouse.location
    for group in ("activity", "catalog"):
        duckdb_warehouse.pipeline(group).run(reading(Decoder(ISSUES)))
    with duckdb_warehouse.pipeline("activity").sql_client() as client:
        rows = client.execute_sql("SELECT schema_name FROM information_schema.schemata") or ()
    assert {name for (name,) in rows if name.startswith(location)} == {
        f"{location}_raw",
        f"{location}_raw_staging_activity",
        f"{location}_raw_staging_catalog",
    }


SHOW_FOLDER = """
from ingest_shared.pipelines import pipeline
print(pipeline("github", "all").pipelines_dir)
"""


def working_folder() -> Path:
    """The working folder that a process of its own takes, and leaves."""
    output = subprocess.run([sys.executable, "-c", SHOW_FOLDER], check=True, capture_output=True, text=True)
    return Path(output.stdout.strip())


def test_a_process_has_a_working_folder_of_its_own_and_removes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "work" / "dlt"))
    first, second = working_folder(), working_folder()
    assert first != second
    assert first.parent == second.parent == tmp_path / "work" / "dlt"
    assert not first.exists()
    assert not second.exists()


def test_pipelines_of_one_process_share_its_folder() -> None:
    first, second = pipelines.pipeline("github", "activity"), pipelines.pipeline("github", "catalog")
    assert first.pipelines_dir == second.pipelines_dir


def test_nothing_is_told_to_dlts_makers() -> None:
    os.environ.pop("RUNTIME__DLTHUB_TELEMETRY")
    pipelines.pipeline("github", "all")
    assert os.environ["RUNTIME__DLTHUB_TELEMETRY"] == "false"


def test_a_setting_of_dlts_own_in_the_environment_is_kept() -> None:
    os.environ["LOAD__WORKERS"] = "7"
    pipelines.pipeline("github", "all")
    assert os.environ["LOAD__WORKERS"] == "7"


def test_a_setting_of_dlts_own_in_a_file_is_kept(dlt_files: Callable[..., None]) -> None:
    dlt_files(config="[load]\nworkers = 7")
    pipelines.pipeline("github", "all")
    assert "LOAD__WORKERS" not in os.environ


def test_a_load_says_nothing_that_nobody_can_act_on(
    duckdb_warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    page = Decoder(ISSUES).page(b'[{"id": 1, "mood": 2}]', {"repo_id": 1})
    dlt_log = logging.getLogger("dlt")  # does not propagate
    dlt_log.addHandler(caplog.handler)
    try:
        for _ in range(2):
            duckdb_warehouse.load(reading(Decoder(ISSUES), page))
    finally:
        dlt_log.removeHandler(caplog.handler)
    warnings = [record for record in caplog.records if record.name == "dlt" and record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warnings] == []


def test_a_resource_is_read_whole_before_the_next_one_begins() -> None:
    """So a list per row of another one knows all rows of it."""
    read: list[str] = []

    def rows(name: str) -> Iterator[dict[str, int]]:
        for number in range(3):
            read.append(name)
            yield {"number": number}

    resources = [dlt.resource(rows(name), name=name) for name in ("parents", "children")]
    pipelines.pipeline("github", "activity").extract(resources)
    assert read == ["parents"] * 3 + ["children"] * 3


MANY_THREADS = """
import ctypes, sys, threading
from ingest_shared.pipelines import pipeline

pipeline("github", "activity")
libc, all_here = ctypes.CDLL(None), threading.Barrier(20)

def work():
    libc.malloc(1_000)
    all_here.wait()

threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fopen.restype = ctypes.c_void_p
told = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, told)
libc.fclose(told)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives threads heaps of their own")
def test_threads_share_heaps_so_that_each_uses_what_others_gave_back(tmp_path: Path) -> None:
    told = tmp_path / "heaps.xml"
    subprocess.run([sys.executable, "-c", MANY_THREADS, str(told)], check=True)
    assert 1 <= told.read_text().count("<heap nr=") <= pipelines.HEAPS


WITH_STORAGE = """
import atexit, threading
atexit.register(lambda: print(*(thread.name for thread in threading.enumerate())))  # the first one is called last

from fsspec.asyn import get_loop
from ingest_shared import pipelines

get_loop()
"""


def test_the_thread_that_talks_to_s3_ends_before_the_interpreter() -> None:
    """Or else DuckDB reports leaks."""
    done = subprocess.run([sys.executable, "-c", WITH_STORAGE], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("MainThread\n", "")
