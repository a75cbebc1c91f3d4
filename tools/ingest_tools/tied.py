"""Ties a process to its parent, which holds the other end of its standard input.

When the parent is gone, even killed, the pipe closes and the process ends too: nothing is left behind. ``python tied.py
MODULE ...`` runs a module this way, including one of this package, with the Python of any environment.
"""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 30
"""Seconds for a graceful end, after which the process is killed."""


def to_parent() -> None:
    """From now on, ends this process when the parent's end of standard input closes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # pytest replaces the standard input with its own.
    threading.Thread(target=_watch, args=[os.dup(0)], name="tied", daemon=True).start()


def _watch(pipe: int) -> None:
    while os.read(pipe, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    to_parent()
    sys.argv = sys.argv[1:]
    sys.path[0] = ""
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
