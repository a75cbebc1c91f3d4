import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

COMMAND = [sys.executable, "-m", "ingest_sandbox", "--size", "0.1"]
CUSTOMERS = "/_sandbox/objects/stripe/customers"


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process on a free port of the loopback, and its address."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("sandbox ready: http://127.0.0.1:")
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


def test_it_starts_keeps_its_world_and_ends(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "world.jsonl"))
    with running(*state) as (process, url):
        httpx.post(f"{url}/_sandbox/changes", json={"kind": "stripe.customer.create"})
        before = httpx.get(f"{url}{CUSTOMERS}").content
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    with running(*state) as (_, url):
        assert httpx.get(f"{url}{CUSTOMERS}").content == before


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "world.jsonl"
    answered: list[str] = []
    for _ in range(2):
        with running("--state", str(path)) as (process, url):
            many = threading.Event()

            def create(url: str = url, many: threading.Event = many) -> None:
                wish = {"kind": "stripe.customer.create"}
                with httpx.Client() as client:
                    while True:
                        try:
                            done = client.post(f"{url}/_sandbox/changes", json=wish).json()
                        except httpx.TransportError:
                            return
                        answered.append(done["changed"][0]["id"])
                        if len(answered) % 50 == 0:
                            many.set()

            client = threading.Thread(target=create)
            client.start()
            assert many.wait(30)
            process.kill()
            client.join(30)
    # As if the last kill had come in the middle of a line.
    with path.open("a") as file:
        file.write('{"at":17')
    with running("--state", str(path)) as (process, url):
        held = [row["id"] for row in httpx.get(f"{url}{CUSTOMERS}").json()]
        # A kill comes between the change and its answer at worst.
        first = held.index(answered[0])
        assert set(answered) <= set(held)
        assert len(held) - first <= len(answered) + 2
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert errors == f"{path}: the last line is torn and ignored\n"


def test_the_server_sets_no_date_of_its_own() -> None:
    with running() as (_, url):
        advanced = {"advance_seconds": 1_000_000}
        now = httpx.post(f"{url}/_sandbox/clock", json=advanced).json()["now"]
        for path in ("/github/licenses", "/stripe/v1/account"):
            (date,) = httpx.get(f"{url}{path}").headers.get_list("date")
            assert 0 <= parsedate_to_datetime(date).timestamp() - now < 10


def test_a_port_in_use_names_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*COMMAND, "--port", port], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def has_ended(url: str) -> bool:
    """Whether nobody answers, at last."""
    for _ in range(100):
        try:
            httpx.get(url)
        except httpx.TransportError:
            return True
        time.sleep(0.1)
    return False


def test_each_line_of_input_gets_a_copy_of_the_world_that_changes_alone() -> None:
    """All are there at once, and end with the process that made them."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--copies"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        urls: list[str] = []
        for _ in range(2):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith("copy: ")
            urls.append(process.stdout.readline().removeprefix("sandbox ready: ").strip())
        one, other = urls
        before = httpx.get(f"{one}{CUSTOMERS}").content
        httpx.post(f"{one}/_sandbox/changes", json={"kind": "stripe.customer.create"})
        assert httpx.get(f"{other}{CUSTOMERS}").content == before
        assert httpx.get(f"{one}{CUSTOMERS}").content != before
        process.stdin.close()
        assert process.wait(10) == 0
    assert all(map(has_ended, urls))
