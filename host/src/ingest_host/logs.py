"""What runs printed, as webserver, daemon and purge read it: each location's output has a folder of its own.

A run writes to ``/var/lib/runs/logs``, where only the folder of its location is mounted. The host has all
of them: ``/var/lib/runs/<location>/logs``. A location's code wrote the files there, so no link is followed
and only regular files are read: a link to `/run/secrets` would expose the host's own passwords.
"""

import logging
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from dagster import DagsterInstance
from dagster._core.storage.cloud_storage_compute_log_manager import PollingComputeLogSubscriptionManager
from dagster._core.storage.compute_log_manager import MAX_BYTES_CHUNK_READ, ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from ingest_host.launch import NAME

logger = logging.getLogger("logs")

RUNS = Path("/var/lib/runs")
HOST = "host"
"""The folder of logs that belong to no run, such as a tick's; no location may have this name."""
CHUNK = 2**16
READ_AT_ONCE = MAX_BYTES_CHUNK_READ
"""Bytes of a file in memory; the cursor leads to the rest. A location may make its files as large as it likes."""
REMOVE_SECONDS = 60
"""The longest that removing a run's output may take; others' wait for it."""
_RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class RunLogs(LocalComputeLogManager):
    """Dagster's local logs, read from the folder of the run's location."""

    def __init__(self, base_dir: str = str(RUNS), inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data=inst_data)
        # Dagster's own watches a folder, and creates it if it is missing.
        polling: Any = PollingComputeLogSubscriptionManager
        self._subscription_manager = polling(self)
        self._locations: dict[str, str] = {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data=inst_data, **config_value)

    def open(self, path: str | Path) -> BinaryIO | None:
        """Opens a regular file below the base folder; returns None if there is none. Follows no link on the way."""
        try:
            with self._opened(Path(path).parent) as folder:
                file = os.fdopen(os.open(Path(path).name, _FILE, dir_fd=folder), "rb")
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            return None
        return file

    def get_captured_local_path(self, log_key: Sequence[str], extension: str, partial: bool = False) -> str:
        """Returns the path of the file; it may be a link, so only :meth:`open` may read it."""
        relative = Path(super().get_captured_local_path(log_key, extension, partial)).relative_to(
            Path(self._base_dir).resolve()
        )
        return str(self._folder(log_key[0]) / relative)

    def read_path(self, path: str, offset: int = 0, max_bytes: int | None = None) -> tuple[bytes | None, int]:
        file = self.open(path)
        if file is None:
            return None, offset
        with file:
            file.seek(offset)
            most = READ_AT_ONCE if max_bytes is None or max_bytes < 0 else min(max_bytes, READ_AT_ONCE)
            data = file.read(most)
            return data, file.tell()

    def is_capture_complete(self, log_key: Sequence[str]) -> bool:
        file = self.open(self.get_captured_local_path(log_key, "complete"))
        if file:
            file.close()
        return file is not None

    def get_log_keys_for_log_key_prefix(self, log_key_prefix: Sequence[str], io_type: Any) -> Sequence[list[str]]:
        """Returns the keys in the host's own folder, since only the logs of ticks are looked up by prefix."""
        return super().get_log_keys_for_log_key_prefix([HOST, *log_key_prefix], io_type)

    def delete_logs(self, log_key: Sequence[str] | None = None, prefix: Sequence[str] | None = None) -> None:
        """Removes what a run printed (``prefix=[run_id]``), while its record still names its location.

        Raises ``subprocess.TimeoutExpired`` if there is too much to remove in time; some of it is then left.
        """
        if prefix is None:
            super().delete_logs(log_key)
            return
        (run_id,) = prefix
        try:
            with self._opened(self._folder(run_id)) as folder:
                _remove(run_id, folder)
        except FileNotFoundError:
            pass  # it printed nothing
        except (OSError, subprocess.CalledProcessError) as error:  # its location put something else there
            logger.warning("the output of run %s could not be removed: %s", run_id, error)
        self._locations.pop(run_id, None)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[int]:
        """Opens a folder below the base folder; raises ``OSError`` if a part of it is missing, a link or a file."""
        at = os.open(self._base_dir, _FOLDER)
        try:
            for name in path.relative_to(self._base_dir).parts:
                below = os.open(name, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)

    def _folder(self, first: str) -> Path:
        base = Path(self._base_dir)
        if not _RUN_ID.fullmatch(first):
            return base / HOST
        if first not in self._locations:
            run = self._instance.get_run_by_id(first)
            origin = run.remote_job_origin if run else None
            location = origin.location_name if origin else ""
            if not NAME.fullmatch(location):
                return base / HOST
            self._locations[first] = location
        return base / self._locations[first] / "logs"


def use_run_logs(instance: DagsterInstance) -> None:
    """Makes a process of the host find each run's logs in its location's folder.

    dagster.yaml names Dagster's own log manager, which runs use with their own folder. If it names one that keeps no
    files, there is nothing to find.
    """
    if not isinstance(instance.compute_log_manager, LocalComputeLogManager):
        return
    logs: ComputeLogManager = RunLogs()
    logs.register_instance(instance)
    instance._compute_log_manager = logs


async def download_logs(self: Any, request: Request) -> Response:
    """Replaces the webserver's own, which opens a path that a location may have turned into a link meanwhile."""
    [*log_key, extension] = request.path_params["path"].split("/")
    with self.request_context(request) as context:
        logs = context.instance.compute_log_manager
        file = logs.open(logs.get_captured_local_path(log_key, extension)) if log_key else None
    if file is None:
        return PlainTextResponse("No log files available for download", 404)
    name = re.sub(r"[^\w.-]", "_", f"{'__'.join(log_key)}.{extension}")
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": "text/plain; charset=utf-8"}
    return StreamingResponse(_chunks(file), headers=headers)


def _remove(name: str, folder: int) -> None:
    """Removes what is there and follows no link; `rm`, since Python lists a folder in memory, and a location may have
    put millions of files there."""
    command, there = ["/bin/rm", "--recursive", "--force", "--", name], f"/proc/self/fd/{folder}"
    subprocess.run(command, cwd=there, timeout=REMOVE_SECONDS, check=True)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
