"""The health checks, against real servers and files."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from dagster._daemon.types import DaemonHeartbeat
from dagster_postgres.run_storage import PostgresRunStorage

HEALTH = Path(__file__).parent.parent / "health"


def is_healthy(*arguments: str | Path) -> bool:
    """Checks as the engine does, by the exit code."""
    done = subprocess.run([sys.executable, "-I", HEALTH, *arguments], capture_output=True, check=False)
    assert done.returncode in (0, 1)
    return done.returncode == 0


@pytest.fixture
def port() -> Iterator[str]:
    """A server that answers 200 to `/well` and 503 to the rest."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/well" else 503)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


def test_a_page_answers(port: str) -> None:
    assert is_healthy("http", port, "/well")
    assert is_healthy("port", port)
    assert not is_healthy("http", port, "/ill")


def test_nobody_answers() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = str(server.server_port)
    assert not is_healthy("http", port, "/well")
    assert not is_healthy("grpc", port)
    assert not is_healthy("port", port)


def test_a_file_was_touched_lately(tmp_path: Path) -> None:
    file = tmp_path / "purged"
    assert not is_healthy("file", file, "60")
    file.touch()
    assert is_healthy("file", file, "60")
    os.utime(file, (time.time() - 61,) * 2)
    assert not is_healthy("file", file, "60")


@pytest.mark.parametrize(
    ("heartbeats", "healthy"),
    [
        ({}, False),
        ({"SCHEDULER": 5, "SENSOR": 60}, True),
        ({"SCHEDULER": 5, "SENSOR": 300}, False),
        ({"SCHEDULER": 300, "SENSOR": 300}, False),
    ],
)
def test_every_daemon_lives(
    postgres: str, monkeypatch: pytest.MonkeyPatch, heartbeats: dict[str, int], healthy: bool
) -> None:
    """The heartbeats of an earlier daemon, with another id, say nothing about this one."""
    options = "-csearch_path=public"  # other tests have set up this server, so the superuser looks up no names there
    address = f"postgresql+psycopg2://postgres@/postgres?host={postgres}&options={options}"
    storage = PostgresRunStorage.create_clean_storage(address)
    earlier = {"BACKFILL": 9000} if heartbeats else {}
    for daemon, ago in (earlier | heartbeats).items():
        storage.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, daemon, str(daemon in earlier), []))
    real = psycopg2.connect
    monkeypatch.setattr(psycopg2, "connect", lambda *_, **__: real(host=postgres, user="postgres", options=options))
    monkeypatch.setattr(Path, "read_text", lambda _: "storage: {postgres: {postgres_url: ''}}")
    loader = SourceFileLoader("health", str(HEALTH))
    spec = spec_from_loader("health", loader)
    assert spec is not None
    health = module_from_spec(spec)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        loader.exec_module(health)
    assert health.daemon() is healthy
