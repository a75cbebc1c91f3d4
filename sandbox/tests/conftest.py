"""A small world at a fixed time, and clients of it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from ingest_sandbox.app import GITHUB_TOKEN, STRIPE_KEY, create_app
from ingest_sandbox.world import World

ANCHOR = 1_750_000_000


def make_world(seed: int = 1, size: float = 0.3) -> World:
    """A world whose clock stands at `ANCHOR` until it is set forward."""
    return World(seed, size, ANCHOR, now=lambda: ANCHOR)


@contextmanager
def serving(world: World, **options: Any) -> Iterator[httpx.Client]:
    """A client of a real server on a free port, since a cut needs a connection."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(world, **options), log_level="critical", lifespan="off", date_header=False)
    )
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with serving(world) as client:
        yield client


class GitHub:
    """Reads as a client of GitHub does."""

    def __init__(self, client: httpx.Client, token: str | None = GITHUB_TOKEN) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **headers: str) -> httpx.Response:
        url = path if path.startswith("http") else f"/github{path}"
        return self.client.get(url, headers=self.headers | headers)

    def pages(self, path: str) -> Iterator[httpx.Response]:
        url: str | None = path
        while url:
            response = self.get(url)
            assert response.status_code == 200, response.text
            yield response
            url = response.links.get("next", {}).get("url")

    def walk(self, path: str) -> list[Any]:
        return [row for page in self.pages(path) for row in page.json()]


class Stripe:
    """Reads as a client of Stripe does."""

    def __init__(self, client: httpx.Client, key: str = STRIPE_KEY) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.client.get(f"/stripe{path}", params=params or None, headers=self.headers)

    def walk(self, path: str, **params: Any) -> list[Any]:
        rows: list[Any] = []
        while True:
            page = self.get(path, **params)
            assert page.status_code == 200, page.text
            rows += page.json()["data"]
            if not page.json()["has_more"]:
                return rows
            params["starting_after"] = rows[-1]["id"]


@pytest.fixture(scope="module")
def github(client: httpx.Client) -> GitHub:
    return GitHub(client)


@pytest.fixture(scope="module")
def stripe(client: httpx.Client) -> Stripe:
    return Stripe(client)
