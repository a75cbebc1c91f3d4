"""What a location can reach in the platform's database: tested with its own logins, from its own containers."""

import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from ingest_tools.engine import EngineError
from knocking import KNOCK

from .conftest import Tested

pytestmark = pytest.mark.docker

ASK = """
import sys, psycopg2
with psycopg2.connect(service="dagster") as connection, connection.cursor() as cursor:
    cursor.execute(sys.argv[1])
    for row in cursor.fetchall() if cursor.description else [(cursor.rowcount,)]:
        print(*row, sep="|")
"""
TAKE_ALL = """
import psycopg2, time
held = []
try:
    while True:
        held.append(psycopg2.connect(service="dagster"))
except psycopg2.OperationalError as error:
    print(len(held), error, flush=True)
time.sleep(20)
"""


def ask(platform: Tested, location: str, statement: str) -> list[str]:
    """Returns the rows of a statement in Dagster's storage, as the location's code server."""
    return platform.compose("exec", "-T", location, "python", "-c", ASK, statement).splitlines()


@contextmanager
def refused(why: str) -> Iterator[None]:
    with pytest.raises(EngineError) as error:
        yield
    assert re.search(why, error.value.output)


@pytest.mark.parametrize("location", ["github", "stripe"])
def test_a_location_reads_its_own_history_alone(platform: Tested, location: str) -> None:
    both = platform.sql("dagster", "SELECT DISTINCT ingest_location FROM public.runs")
    assert {name for (name,) in both} >= {"github", "stripe"}
    assert ask(platform, location, "SELECT DISTINCT ingest_location FROM runs") == [location]
    assert ask(platform, location, "SELECT DISTINCT asset_key::json ->> 0 FROM asset_keys") == [location]
    others = f"run_id NOT IN (SELECT run_id FROM runs) AND asset_key NOT LIKE '%{location}%'"
    assert ask(platform, location, f"SELECT count(*) FROM event_logs WHERE {others}") == ["0"]


def test_a_location_changes_nothing_of_anothers_run(platform: Tested) -> None:
    (run,) = platform.platform.runs(1, tags=[{"key": "dagster/code_location", "value": "stripe"}])
    before = platform.sql("dagster", f"SELECT * FROM public.runs WHERE run_id = '{run.id}'")
    change = f"UPDATE runs SET status = 'FAILURE', run_body = '{{}}' WHERE run_id = '{run.id}'"
    assert ask(platform, "github", change) == ["0"]
    with refused("row-level security"):
        ask(platform, "github", f"INSERT INTO run_tags (run_id, key, value) VALUES ('{run.id}', 'a', 'b')")
    with refused("row-level security"):
        ask(platform, "github", f"INSERT INTO event_logs (run_id, event, timestamp) VALUES ('{run.id}', '{{}}', now())")
    assert platform.sql("dagster", f"SELECT * FROM public.runs WHERE run_id = '{run.id}'") == before


def test_a_location_does_not_say_where_its_run_runs(platform: Tested) -> None:
    """The launcher and a run's own process read the record; the launcher finds a container by its tag."""
    (run,) = platform.platform.runs(1, tags=[{"key": "dagster/code_location", "value": "github"}])
    origin = "SELECT run_body::jsonb -> 'pipeline_code_origin' FROM runs"
    before = ask(platform, "github", f"{origin} WHERE run_id = '{run.id}'")
    forged = "jsonb_set(run_body::jsonb, '{pipeline_code_origin,repository_origin,code_pointer}', '{}')::text"
    assert ask(platform, "github", f"UPDATE runs SET run_body = {forged} WHERE run_id = '{run.id}'") == ["1"]
    assert ask(platform, "github", f"{origin} WHERE run_id = '{run.id}'") == before
    with refused("row-level security"):
        tag = f"('{run.id}', 'docker/container_id', 'purge')"
        ask(platform, "github", f"INSERT INTO run_tags (run_id, key, value) VALUES {tag}")
    with refused("a run cannot set its status to QUEUED"):
        ask(platform, "github", f"UPDATE runs SET status = 'QUEUED' WHERE run_id = '{run.id}'")


def test_one_location_does_not_take_all_connections(platform: Tested) -> None:
    with ThreadPoolExecutor() as pool:
        taken = pool.submit(platform.compose, "exec", "-T", "github", "python", "-c", TAKE_ALL)
        time.sleep(5)
        platform.succeed("stripe", "stripe_payments_ingest")
        count, _, why = taken.result(timeout=60).partition(" ")
    assert int(count) <= 24
    assert "too many connections for role" in why


def test_connections_that_never_sign_in_keep_nobody_out(platform: Tested) -> None:
    """Postgres gives each a place before it asks for a password, even one of those reserved for Dagster."""
    command = ["docker", "exec", "--interactive", platform.container("stripe"), "python", "-c", KNOCK, "postgres"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attack:
        assert attack.stdout
        entered = int(attack.stdout.readline())
        for service in ("webserver", "github"):
            platform.compose("exec", "-T", service, "python", "-c", ASK, "SELECT 1")
        platform.sql("postgres", "SELECT 1")
        attack.communicate()
    assert 0 < entered <= 48
    networks = [set(platform.inspect(one)["NetworkSettings"]["Networks"]) for one in ("postgres", "github", "stripe")]
    assert not networks[0] & (networks[1] | networks[2]), "a location goes by the turnstile"
