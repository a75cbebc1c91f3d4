"""Ties a process to the one that started it, which holds the other end of its standard input.

When the starter is gone, even killed, the pipe closes and the process ends too: nothing is left
behind. ``python tied.py MODULE ...`` runs a module this way, one of this package too, with a Python
of any environment.
"""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 30
"""Time to end in order, after which the process is ended at once."""


def to_parent() -> None:
    """From now on, ends this process when the starter's end of standard input closes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # pytest puts a standard input of its own in its place.
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
