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
"""For the platform and the sandbox, which are on this machine: no proxy is in between."""


class Refused(Exception):
    """A command cannot go on; the text says why, and what to do, in one line."""

    code = 1
    """The exit code of the command that it ends."""


def cause(error: OSError) -> object:
    """Why a request failed, without the ``<urlopen error ...>`` that urllib puts around it."""
    return getattr(error, "reason", error)


class Stopped(Refused):
    """Ctrl-C; the text says what remains of the work."""

    code = 130


def end_in_order() -> None:
    """Lets SIGTERM and Ctrl-C unwind the program, so that what it started is ended with it.

    Ctrl-C too, because a shell's background jobs are started with it ignored, and so would be
    their children.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def data_dir(*, live: bool = False) -> Path:
    """The folder of the warehouse and the logs.

    What the sandbox made up never mixes with real rows: those, which are ``live``, go to a folder below.
    """
    if chosen := os.environ.get("INGEST_DATA_DIR", "").strip():
        return Path(chosen).absolute()
    return ROOT / "data" / "live" if live else ROOT / "data"


def dagster_home() -> Path:
    """The folder of the Dagster instance."""
    return Path(os.environ.get("DAGSTER_HOME", "").strip() or ROOT / ".dagster").absolute()


def prepare(*, live: bool = False) -> dict[str, str]:
    """Makes the folders, and gives the environment of processes that use them; raises :class:`Refused`."""
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
    """Holds a lock file, which the system frees when the process ends, however it ends; several may share it.

    Where another process holds it, says ``waiting`` and waits.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with lock.open("a") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, kind)
        yield
