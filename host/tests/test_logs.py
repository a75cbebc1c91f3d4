"""Logs are read from the folder of the run's location, and nothing that a location put there leads out of it."""

import asyncio
import os
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.webserver import DagsterWebserver
from starlette.requests import Request
from starlette.responses import StreamingResponse

from ingest_host import logs
from ingest_host.logs import RunLogs, download_logs, use_run_logs

SECRET = "the host's password"
PRINTED = "printed by a step"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The host's folder of all locations."""
    (tmp_path / "secret").write_text(SECRET)
    base = tmp_path / "runs"
    for location in ("github", "stripe"):
        (base / location).mkdir(parents=True)
    return base


@pytest.fixture
def instance(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp() as instance:
        monkeypatch.setattr(logs, "RunLogs", lambda: RunLogs(str(base)))
        use_run_logs(instance)
        yield instance


@pytest.fixture
def run(instance: DagsterInstance) -> DagsterRun:
    return run_of(instance, "stripe")


def run_of(instance: DagsterInstance, location: str) -> DagsterRun:
    server = GrpcServerCodeLocationOrigin(host=location, port=4000, location_name=location)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(server, "__repository__"), "ingest")
    made: DagsterRun = create_run_for_test(instance, "ingest", remote_job_origin=origin)
    return made


def key(run: DagsterRun) -> list[str]:
    return [run.run_id, "compute_logs", "step"]


def write(base: Path, run: DagsterRun, location: str = "stripe") -> Path:
    """Writes what a run does, as its own container sees the folder; returns the file of stdout."""
    own = LocalComputeLogManager(str(base / location / "logs"))
    with own.open_log_stream(key(run), ComputeIOType.STDOUT) as stream:
        print(PRINTED, end="", file=stream)
    return Path(own.get_captured_local_path(key(run), "out"))


def write_many(base: Path, run: DagsterRun) -> None:
    file = write(base, run)
    for number in range(20_000):
        os.link(file, file.with_name(f"{number:0200}"))


def read(instance: DagsterInstance, run: DagsterRun) -> bytes | None:
    return instance.compute_log_manager.get_log_data(key(run)).stdout


def _text(part: str | bytes | memoryview) -> str:
    return part if isinstance(part, str) else bytes(part).decode()


def download(instance: DagsterInstance, run: DagsterRun) -> tuple[int, str]:
    """Returns the status and text of the webserver's response to a download of the log."""

    async def answer() -> tuple[int, str]:
        request = Request({"type": "http", "path_params": {"path": f"{'/'.join(key(run))}/out"}})
        response = await download_logs(DagsterWebserver(context), request)
        if isinstance(response, StreamingResponse):
            return response.status_code, "".join([_text(part) async for part in response.body_iterator])
        return response.status_code, ""

    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        return asyncio.run(answer())


def test_what_a_run_printed_is_read_from_its_locations_folder(
    base: Path, instance: DagsterInstance, run: DagsterRun
) -> None:
    file = write(base, run)
    assert read(instance, run) == PRINTED.encode()
    assert download(instance, run) == (200, PRINTED)
    assert not instance.compute_log_manager.is_capture_complete(key(run))
    file.with_suffix(".complete").touch()
    assert instance.compute_log_manager.is_capture_complete(key(run))


@pytest.mark.parametrize("most", [None, -1, 2**40])
def test_a_file_is_read_a_part_at_a_time_however_much_is_wanted(
    base: Path, instance: DagsterInstance, run: DagsterRun, most: int | None
) -> None:
    with write(base, run).open("r+b") as file:
        file.truncate(3 * logs.READ_AT_ONCE)  # which takes no space on the disk
    cursor, parts = None, []
    for _ in range(4):
        found = instance.compute_log_manager.get_log_data(key(run), cursor, most)
        parts.append(len(found.stdout or b""))
        cursor = found.cursor
    assert parts == [*[logs.READ_AT_ONCE] * 3, 0]


def test_a_page_that_is_opened_before_anything_is_printed_writes_nothing(
    base: Path, instance: DagsterInstance, run: DagsterRun
) -> None:
    """The webserver's volume is read-only."""
    subscription = instance.compute_log_manager.subscribe(key(run))
    instance.compute_log_manager.unsubscribe(subscription)
    assert read(instance, run) is None
    assert list((base / "stripe").iterdir()) == []


def test_nobody_writes_what_another_locations_run_printed(
    base: Path, instance: DagsterInstance, run: DagsterRun
) -> None:
    write(base, run, "github")
    assert read(instance, run) is None
    assert download(instance, run)[0] == 404


def test_a_link_to_the_hosts_secrets_is_not_followed(base: Path, instance: DagsterInstance, run: DagsterRun) -> None:
    file = write(base, run)
    file.unlink()
    file.symlink_to(base.parent / "secret")
    assert read(instance, run) is None
    assert download(instance, run)[0] == 404


@pytest.mark.parametrize("folder", ["compute_logs", "run", "logs"])
def test_nor_is_a_link_on_the_way(base: Path, instance: DagsterInstance, run: DagsterRun, folder: str) -> None:
    file = write(base, run)
    file.write_text(SECRET)
    linked = {"compute_logs": file.parent, "run": file.parents[1], "logs": file.parents[2]}[folder]
    linked.rename(base.parent / "elsewhere")
    linked.symlink_to(base.parent / "elsewhere")
    assert read(instance, run) is None
    assert download(instance, run)[0] == 404


def test_a_pipe_keeps_nobody_waiting(base: Path, instance: DagsterInstance, run: DagsterRun) -> None:
    file = write(base, run)
    file.unlink()
    os.mkfifo(file)
    started = time.monotonic()
    assert read(instance, run) is None
    assert time.monotonic() - started < 2


def test_a_link_that_comes_and_goes_never_shows_the_secret(
    base: Path, instance: DagsterInstance, run: DagsterRun
) -> None:
    """A path that is checked first and opened afterwards loses that race."""
    file, link, spare = write(base, run), base / "stripe" / "link", base / "stripe" / "spare"
    ended = threading.Event()

    def flip() -> None:
        while not ended.is_set():
            link.unlink(missing_ok=True)
            link.symlink_to(base.parent / "secret")
            link.replace(file)
            spare.write_text(PRINTED)
            spare.replace(file)

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        seen = {read(instance, run) for _ in range(300)}
        shown = {download(instance, run)[1] for _ in range(20)}
    finally:
        ended.set()
        flipping.join()
    assert PRINTED.encode() in seen
    assert SECRET.encode() not in seen
    assert PRINTED in shown
    assert SECRET not in shown


def test_a_purged_run_leaves_nothing_and_takes_nothing_with_it(
    base: Path, instance: DagsterInstance, run: DagsterRun
) -> None:
    other = run_of(instance, "stripe")
    write(base, run)
    kept = write(base, other)
    instance.compute_log_manager.delete_logs(prefix=[run.run_id])
    assert not (base / "stripe" / "logs" / run.run_id).exists()
    assert kept.exists()
    instance.compute_log_manager.delete_logs(prefix=[run.run_id])  # there is nothing, which is fine


def test_purge_comes_through_whatever_a_location_left(
    base: Path, instance: DagsterInstance, run: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as folders too deep for Python to remove."""
    monkeypatch.chdir(write(base, run).parent)
    for _ in range(1500):
        os.mkdir("deep")  # noqa: PTH102, its path is longer than a path may be
        os.chdir("deep")
    try:
        instance.compute_log_manager.delete_logs(prefix=[run.run_id])
        assert not (base / "stripe" / "logs" / run.run_id).exists()
    finally:
        subprocess.run(["rm", "-rf", base], check=True)


def test_purge_takes_no_more_memory_for_more_files(base: Path, instance: DagsterInstance, run: DagsterRun) -> None:
    """With the names of some millions in its memory, purge would be killed, each time again."""
    write_many(base, run)
    tracemalloc.start()
    try:
        instance.compute_log_manager.delete_logs(prefix=[run.run_id])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert not (base / "stripe" / "logs" / run.run_id).exists()


def test_what_cannot_be_removed_in_time_stays_for_the_next_time(
    base: Path, instance: DagsterInstance, run: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_many(base, run)
    monkeypatch.setattr(logs, "REMOVE_SECONDS", 0.001)
    with pytest.raises(subprocess.TimeoutExpired):
        instance.compute_log_manager.delete_logs(prefix=[run.run_id])


def test_purge_follows_no_link(base: Path, instance: DagsterInstance, run: DagsterRun) -> None:
    """Otherwise a location could have another's logs removed, with a link in place of its own."""
    theirs = base / "github" / "logs" / run.run_id / "theirs"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    (base / "stripe" / "logs").symlink_to(base / "github" / "logs")
    instance.compute_log_manager.delete_logs(prefix=[run.run_id])
    (base / "stripe" / "logs").unlink()
    (base / "stripe" / "logs").mkdir()
    (base / "stripe" / "logs" / run.run_id).symlink_to(theirs.parent)
    instance.compute_log_manager.delete_logs(prefix=[run.run_id])
    assert theirs.exists()


def test_what_is_of_no_run_is_in_the_hosts_own_folder(base: Path, instance: DagsterInstance) -> None:
    tick = ["__repository__", "a_schedule", "17"]
    with instance.compute_log_manager.open_log_stream(tick, ComputeIOType.STDERR) as stream:
        assert stream
        stream.writelines(["{}"])  # type: ignore[list-item]  # it is opened for text
    assert instance.compute_log_manager.get_log_data(tick).stderr == b"{}"
    assert (base / "host" / "__repository__" / "a_schedule" / "17.err").exists()
