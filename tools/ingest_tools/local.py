"""The local deployment: its folders, and the environment that a location's process gets."""

import fcntl
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest_tools.projects import ROOT

HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""For the platform and the sandbox, which are on this machine: uses no proxy."""


class Refused(Exception):
    """A command cannot continue; the text says in one line why, and what to do."""

    code = 1
    """The exit code of the command."""


def cause(error: OSError) -> object:
    """Why a request failed, without the ``<urlopen error ...>`` that urllib puts around it."""
    return getattr(error, "reason", error)


class Stopped(Refused):
    """Ctrl-C; the text says what remains of the work."""

    code = 130


def end_in_order() -> None:
    """Lets SIGTERM and Ctrl-C unwind the program, so that the processes it started end with it.

    This includes Ctrl-C, because a shell starts background jobs with it ignored, which their children would inherit.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def data_dir(*, live: bool = False) -> Path:
    """The folder of the warehouse and the logs.

    Sandbox rows never mix with real ones: ``live`` rows go to a subfolder.
    """
    if chosen := os.environ.get("INGEST_DATA_DIR", "").strip():
        return Path(chosen).absolute()
    return ROOT / "data" / "live" if live else ROOT / "data"


def dagster_home() -> Path:
    """The folder of the Dagster instance."""
    return Path(os.environ.get("DAGSTER_HOME", "").strip() or ROOT / ".dagster").absolute()


def prepare(*, live: bool = False) -> dict[str, str]:
    """Creates the folders, and returns the environment of processes that use them; raises :class:`Refused`."""
    folder = data_dir(live=live)
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise Refused(
            f"cannot write to the data folder {folder} ({error.strerror}): set INGEST_DATA_DIR to a writable folder"
        ) from None
    dagster_home().mkdir(parents=True, exist_ok=True)
    return os.environ | {
        "DAGSTER_HOME": str(dagster_home()),
        "INGEST_DATA_DIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def held(lock: Path, waiting: str, *, shared: bool = False) -> Iterator[None]:
    """Holds a lock file, which the system releases when the process ends, however it ends; it may be shared.

    If another process holds it, prints ``waiting`` and waits.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with lock.open("a") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, kind)
        yield
