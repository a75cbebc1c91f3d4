"""The sandbox beside the local deployment: finds the one that runs, or starts one.

    sandbox.py serve     in the foreground, until Ctrl-C
    sandbox.py change    lets COUNT random things happen in its world

Its world is kept in ``sandbox.jsonl`` in the data folder, so that a second run finds the world of
the first one.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from local import Refused, data_dir, end_in_order, environment, prepare, uses_sandbox
from projects import ROOT, Project, locations
from registrations import sandbox_settings

SIZE = "2"
"""Rows, as a multiple of the sandbox's small world; ``SANDBOX_SIZE`` sets another."""
GITHUB_QUOTA = "1000000"
"""Calls an hour: GitHub's 5,000 would end the third try of a large world."""
READY = "sandbox ready: "
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The sandbox is on this machine: no proxy stands between."""


def settings(url: str) -> dict[str, str]:
    """The settings that point the locations at the sandbox."""
    found: dict[str, str] = {}
    for location in locations():
        found |= sandbox_settings(location.folder.name, url)
    return found


@contextmanager
def running() -> Iterator[str]:
    """The address of a sandbox: the one that runs already, or one until the block ends.

    Raises :class:`Refused` when it does not start.
    """
    if url := _found():
        _say(f"using the sandbox at {url}")
        yield url
        return
    process = _start("--port", os.environ.get("SANDBOX_PORT", "0"))
    try:
        yield _wait_until_ready(process)
    finally:
        _address_file().unlink(missing_ok=True)
        process.terminate()
        process.wait()


@contextmanager
def source_settings() -> Iterator[dict[str, str]]:
    """What tells the locations where to read: a sandbox's settings, or none for the real APIs."""
    if not uses_sandbox():
        yield {}
        return
    with running() as url:
        yield settings(url)


def _found() -> str | None:
    """The address of a sandbox that answers: the one of ``SANDBOX_URL``, or one of ours."""
    if url := os.environ.get("SANDBOX_URL", "").rstrip("/"):
        if not _answers(url):
            raise Refused(f"no sandbox answers at {url}: start one there, or leave SANDBOX_URL empty")
        return url
    file = _address_file()
    url = file.read_text() if file.exists() else ""
    return url if url and _answers(url) else None


def _answers(url: str) -> bool:
    try:
        with _HTTP.open(f"{url}/_sandbox/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _start(*options: str) -> subprocess.Popen[str]:
    state = data_dir() / "sandbox.jsonl"
    chosen = os.environ.get("SANDBOX_SIZE", "")
    # A world that is there keeps its size, unless another is asked for, which is then refused.
    size = [] if state.exists() and not chosen else ["--size", chosen or SIZE]
    python, tied = Project(ROOT / "sandbox").python, ROOT / "tools" / "tied.py"
    command: list[str | Path] = [python, tied, "ingest_sandbox", "--state", state]
    command += ["--github-quota", GITHUB_QUOTA, *size, *options]
    return subprocess.Popen(
        command,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C must not end it before those who read from it.
        start_new_session=True,
    )


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    """Its address, once it answers; raises :class:`Refused` when it ends instead."""
    started = time.monotonic()
    _say("starting the sandbox APIs")
    for line in process.stdout or ():
        if line.startswith(READY):
            url = line.removeprefix(READY).strip()
            _address_file().write_text(url)
            _say(f"sandbox ready at {url} after {time.monotonic() - started:.1f} s")
            return url
    raise Refused("the sandbox did not start, see above; `make clean-data` begins a new world")


def _say(line: str) -> None:
    """Progress goes where a report is not disturbed by it."""
    print(line, file=sys.stderr, flush=True)


def _address_file() -> Path:
    return data_dir() / "sandbox.url"


def serve() -> None:
    """Serves in the foreground."""
    if url := _found():
        raise Refused(f"a sandbox answers already, at {url}")
    process = _start("--port", os.environ.get("SANDBOX_PORT", "8099"))
    try:
        url = _wait_until_ready(process)
        print("\n".join(f"{name}='{value}'" for name, value in settings(url).items()))
        print("Ctrl-C ends it", flush=True)
        process.wait()
    finally:
        _address_file().unlink(missing_ok=True)
        process.terminate()
        process.wait()


def change() -> None:
    """Lets random things happen in the world, and says which."""
    count = int(os.environ.get("COUNT", "50"))
    with running() as url:
        # Another seed each time, or the same things would happen again.
        body = json.dumps({"seed": time.time_ns() % 2**32, "count": count}).encode()
        request = urllib.request.Request(f"{url}/_sandbox/changes/random", body)  # noqa: S310
        with _HTTP.open(request) as answer:
            done = json.load(answer)
    kinds = [one["kind"] for one in done]
    for kind in sorted(set(kinds)):
        print(f"{kinds.count(kind):5}  {kind}")


def main() -> int:
    end_in_order()
    try:
        prepare()
        with suppress(KeyboardInterrupt):
            {"serve": serve, "change": change}[sys.argv[1]]()
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
