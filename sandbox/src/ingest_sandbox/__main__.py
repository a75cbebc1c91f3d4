"""``python -m ingest_sandbox``: serve a world until SIGTERM or Ctrl-C."""

import argparse
import gc
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from .app import GITHUB_TOKEN, STRIPE_KEY, STRIPE_LIVE_KEY, create_app
from .github.seed import add_many
from .world import World


def _size(text: str) -> float:
    if text == "small":
        return 1.0
    size = float(text)
    if size <= 0:
        raise ValueError
    return size


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ingest_sandbox",
        description="GitHub- and Stripe-shaped HTTP APIs over a seeded, changeable world.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8099, help="0 picks a free one")
    add("--seed", type=int, help="which world (default: that of --state, or 1)")
    add("--size", type=_size, help="'small' or a multiple of it (default: that of --state, or small)")
    add("--state", type=Path, help="file that keeps the world across restarts")
    add("--latency-ms", type=float, default=0, help="wait before every response of an API")
    add("--github-token", action="append", help=f"may be repeated (default: {GITHUB_TOKEN})")
    add("--github-quota", type=int, default=5_000, help="requests an hour for each token")
    add("--github-border", type=int, default=10_000, help="number of rows after which page= is refused")
    add("--github-repositories", type=int, default=0, help="this many more, in the organization `many`")
    add("--github-issues", type=int, default=100, help="number of issues in each of these")
    add("--github-app-key", type=Path, help="file with an App's public key, to try authentication as an App")
    add("--github-enterprise", action="store_true", help="serve GitHub under /github/api/v3, without a quota")
    add("--stripe-key", default=STRIPE_KEY, help="the secret key of test mode")
    add("--stripe-live-key", default=STRIPE_LIVE_KEY, help="the secret key of live mode")
    add(
        "--stripe-limits",
        type=int,
        nargs="?",
        const=25,
        help="enforce Stripe's requests per second, 25 as in test mode",
    )
    add("--copies", action="store_true", help="serve a copy of the world for each line of standard input, see README")
    options = parser.parse_args()
    if options.github_repositories and options.state:
        parser.error("--github-repositories cannot be kept in a --state: leave one out")
    if options.copies and (options.state or options.port):
        parser.error("--copies needs --port 0 and no --state")
    return options


class _Server(uvicorn.Server):
    """Prints a line once it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets and self.started:
            host, port = sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            print(f"sandbox ready: http://{name}:{port}", flush=True)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; raises `OSError`."""
    # By its name as TCP, or else asyncio leaves Nagle's algorithm on: 40 ms for a short answer.
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    return listener


def _world(options: argparse.Namespace) -> World:
    """The world that the options describe; raises `OSError` or `ValueError` if the file of `--state` cannot be used."""
    if options.state:
        return World.kept(options.state, options.seed, options.size)
    return World(1 if options.seed is None else options.seed, options.size or 1.0)


def _prepare(world: World, options: argparse.Namespace) -> None:
    """Makes everything before the first request."""
    if options.github_repositories:
        add_many(world.github, world.seed, world.anchor, options.github_repositories, options.github_issues)
    # All objects stay, so the garbage collector need not look through them again and again.
    gc.disable()
    world.prepare()
    gc.freeze()
    gc.enable()


def _is_a_copy() -> bool:
    """True in a new process for each line of standard input, which says its id; False at the end of all.

    A copy ends with SIGTERM, or with the process that it was made by.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a copy
    lives, end = os.pipe()
    for _ in sys.stdin:
        if os.fork() == 0:
            os.close(end)
            print(f"copy: {os.getpid()}", flush=True)
            threading.Thread(target=lambda: (os.read(lives, 1), os._exit(0)), daemon=True).start()
            return True
    return False


def main() -> int:
    """Serves; returns 0 after a clean end, 2 if the options do not fit the machine or the file."""
    options = _arguments()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    listener = None
    try:
        if not options.copies:
            listener = _listen(options.host, options.port)
    except OSError as error:
        print(
            f"cannot listen on {options.host}:{options.port} ({error.strerror}): "
            "choose another --port, or 0 for any free one",
            file=sys.stderr,
        )
        return 2
    try:
        world = _world(options)
    except (OSError, ValueError) as error:
        print(f"--state: {error}", file=sys.stderr)
        return 2
    _prepare(world, options)
    if listener is None:
        if not _is_a_copy():
            return 0
        listener = _listen(options.host, 0)
    app = create_app(
        world,
        github_tokens=options.github_token or (GITHUB_TOKEN,),
        github_quota=options.github_quota,
        github_border=options.github_border,
        github_app_key=options.github_app_key and options.github_app_key.read_bytes(),
        github_enterprise=options.github_enterprise,
        stripe_key=options.stripe_key,
        stripe_live_key=options.stripe_live_key,
        stripe_limits=options.stripe_limits,
        latency_ms=options.latency_ms,
    )
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        date_header=False,
        # A connection that is closed while its client sends the next request fails that request: no test idles so long.
        timeout_keep_alive=3600,
    )
    _Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
