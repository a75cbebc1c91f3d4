"""The sandbox of the local deployment: finds a running one, or starts one.

Its world is kept in ``sandbox.jsonl`` in the data folder, so that a second run finds the world of the first.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from ingest_tools.local import HTTP, Refused, data_dir, prepare
from ingest_tools.projects import ROOT, Project, locations
from ingest_tools.registrations import sandbox_settings

SIZE = "2"
"""Size of the world, as a multiple of the sandbox's small one."""
GITHUB_QUOTA = "1000000"
"""Calls an hour: GitHub's 5,000 would not last for three runs over a large world."""
READY = "sandbox ready: "


def settings(url: str) -> dict[str, str]:
    """The settings that point the locations at the sandbox."""
    found: dict[str, str] = {}
    for location in locations():
        found |= sandbox_settings(location.folder.name, url)
    return found


@contextmanager
def source_settings(*, live: bool, url: str, size: str) -> Iterator[dict[str, str]]:
    """The settings that tell the locations where to read: the sandbox's, or none for the real APIs."""
    if live:
        yield {}
        return
    with running(url, size) as found:
        yield settings(found)


@contextmanager
def running(url: str, size: str) -> Iterator[str]:
    """The address of a sandbox: the given one, a running one, or one started until the block ends.

    Raises :class:`Refused` if it does not start.
    """
    if found := _found(url):
        _say(f"using the sandbox at {found}")
        yield found
        return
    with _started(size, port=0) as (own, _):
        yield own


def _found(url: str = "") -> str | None:
    """The address of a sandbox that answers: the given one, or one of ours."""
    if url := url.rstrip("/"):
        if not _answers(url):
            raise Refused(f"no sandbox answers at {url}: start one there, or unset SANDBOX_URL (--sandbox-url)")
        return url
    file = _address_file()
    url = file.read_text() if file.exists() else ""
    return url if url and _answers(url) else None


def _answers(url: str) -> bool:
    try:
        with HTTP.open(f"{url}/_sandbox/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


@contextmanager
def _started(size: str, port: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A sandbox that runs until the block ends: its address and its process."""
    environment = prepare()
    state = data_dir() / "sandbox.jsonl"
    # An existing world keeps its size; the sandbox refuses a different one.
    options = [] if state.exists() and not size else ["--size", size or SIZE]
    options += ["--port", str(port), "--github-quota", GITHUB_QUOTA]
    process = subprocess.Popen(
        Project(ROOT / "sandbox").tied("ingest_sandbox", "--state", state, *options),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C must not end it before the processes that read from it.
        start_new_session=True,
    )
    try:
        yield _wait_until_ready(process), process
    finally:
        _address_file().unlink(missing_ok=True)
        process.terminate()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    """Its address, once it answers; raises :class:`Refused` if it ends instead."""
    started = time.monotonic()
    _say("starting the sandbox APIs")
    for line in process.stdout or ():
        if line.startswith(READY):
            url = line.removeprefix(READY).strip()
            _address_file().write_text(url)
            _say(f"sandbox ready at {url} after {time.monotonic() - started:.1f} s")
            return url
    raise Refused("the sandbox did not start, see above; `make clean-data` resets its world")


def _say(line: str) -> None:
    """Prints progress to standard error, apart from reports."""
    print(line, file=sys.stderr, flush=True)


def _address_file() -> Path:
    return data_dir() / "sandbox.url"


_URL = click.option(
    "--sandbox-url", "url", envvar="SANDBOX_URL", show_envvar=True, default="", help="Address of a running sandbox."
)
_SIZE = click.option(
    "--sandbox-size",
    "size",
    envvar="SANDBOX_SIZE",
    show_envvar=True,
    default="",
    help=f"Size of a new world, such as {SIZE}.",
)


def origin(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for where locations read: the arguments of :func:`source_settings`."""
    live = click.option("--live", is_flag=True, help="Read the real APIs; rows go to data/live/.")
    return live(_URL(_SIZE(command)))


@click.command(epilog="Example: ingest sandbox --port 8099")
@click.option("--port", type=click.IntRange(0, 65535), default=8099, show_default=True)
@_SIZE
def sandbox_command(port: int, size: str) -> None:
    """Serve the sandbox APIs, with the world of `ingest run`, until Ctrl-C."""
    if url := _found():
        raise Refused(f"a sandbox is already running at {url}")
    with suppress(KeyboardInterrupt), _started(size, port) as (url, process):
        print("\n".join(f"{name}='{value}'" for name, value in settings(url).items()))
        print("press Ctrl-C to stop it", flush=True)
        process.wait()


@click.command(epilog="Example: ingest change-sandbox --count 10")
@click.option("--count", type=click.IntRange(1), default=50, show_default=True, help="How many changes to make.")
@_URL
@_SIZE
def change_sandbox_command(count: int, url: str, size: str) -> None:
    """Make random changes in the sandbox, to see an incremental run."""
    with running(url, size) as found:
        # A new seed each time, or the same changes would happen again.
        body = json.dumps({"seed": time.time_ns() % 2**32, "count": count}).encode()
        request = urllib.request.Request(f"{found}/_sandbox/changes/random", body)  # noqa: S310
        with HTTP.open(request) as answer:
            done = json.load(answer)
    kinds = [one["kind"] for one in done]
    for kind in sorted(set(kinds)):
        print(f"{kinds.count(kind):5}  {kind}")
