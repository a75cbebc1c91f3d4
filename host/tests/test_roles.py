"""Who may do what in PostgreSQL. A location's role is used as by an attacker who knows all of this code."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from subprocess import PIPE
from typing import Any

import psycopg2
import pytest
from psycopg2.errors import OperationalError
from psycopg2.extensions import connection, encrypt_password

from ingest_host import roles

from .conftest import Platform, refused, run

MANY = 8
SET_UP = """
import sys
import time
from pathlib import Path
from ingest_host import roles, setup

connect = roles.connect

def connect_together(user, database):
    opened = connect(user, database)
    time.sleep(-time.time() % 0.2)
    return opened

roles.connect = connect_together
roles.HOST, (folder, name) = sys.argv[1], sys.argv[2:]
roles.PLATFORM, roles.SETUP = Path(folder, "platform"), Path(folder, "setup")
setup.RUNS, setup.SERVER = Path(folder, name, "runs"), Path(folder, name, "server")
setup.RUN_FILES = Path(folder, "run-files")
sys.argv = ["setup", "location", name]
print("ready", flush=True)
sys.stdin.read()  # until all are
for _ in range(10):
    assert setup.main() == 0
"""


def superuser(platform: Platform, statement: str, database: str = "warehouse") -> list[tuple[Any, ...]]:
    return platform.sql("postgres", statement, database)


def test_the_roles_sign_in_with_their_passwords_alone(platform: Platform) -> None:
    name = platform.location()
    assert platform.sql("dagster", "SELECT current_user", "dagster") == [("dagster",)]
    assert platform.sql("analyst", "SELECT current_user") == [("analyst",)]
    assert platform.sql(name, "SELECT current_user") == [(name,)]
    with refused("password authentication failed"):
        psycopg2.connect(host=roles.HOST, dbname="warehouse", user=name, password="guessed")


def test_postgres_never_sees_a_password(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log would show the password if a statement fails. So what it stores was computed here."""
    made = []

    def encrypt(*of: Any, **how: Any) -> str:
        made.append(encrypt_password(*of, **how))
        return str(made[-1])

    monkeypatch.setattr(roles, "encrypt_password", encrypt)
    name = platform.location()
    logins = f"'{name}', 'dagster-{name}'"
    stored = superuser(platform, f"SELECT rolpassword FROM pg_authid WHERE rolname IN ({logins}) ORDER BY rolname DESC")
    assert [verifier for (verifier,) in stored] == made
    assert {verifier[:14] for verifier in made} == {"SCRAM-SHA-256$"}


def test_many_locations_are_set_up_at_once(platform: Platform) -> None:
    """As `docker compose up` does it: each in its own process."""
    names = [f"many{number}" for number in range(MANY)]
    for name in names:
        platform.enter(name)
    commands = [[sys.executable, "-c", SET_UP, roles.HOST, str(platform.folder), name] for name in names]
    processes = [subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) for command in commands]
    assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * MANY
    for process in processes:
        assert process.stdin
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0] * MANY


# The superuser


EVIL = """
CREATE TABLE IF NOT EXISTS {name}_raw.called (by text);
GRANT USAGE ON SCHEMA {name}_raw TO PUBLIC;
GRANT ALL ON {name}_raw.called TO PUBLIC;
CREATE SCHEMA {schema};
GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
CREATE FUNCTION {schema}.pg_advisory_lock(int) RETURNS void LANGUAGE plpgsql
  AS $$ BEGIN INSERT INTO {name}_raw.called VALUES (current_user); END $$;
CREATE FUNCTION {schema}.join(name, name) RETURNS text LANGUAGE plpgsql
  AS $$ BEGIN INSERT INTO {name}_raw.called VALUES (current_user); RETURN ''; END $$;
CREATE OPERATOR {schema}.|| (LEFTARG = name, RIGHTARG = name, FUNCTION = {schema}.join)
"""
"""Match ``pg_advisory_lock(1)`` and ``rolname || '_raw'`` better than what ``pg_catalog`` has."""


@pytest.mark.parametrize("schema", ["postgres", "platform"])
def test_no_set_up_calls_what_a_location_made(platform: Platform, schema: str) -> None:
    """A schema named after the login comes first in the default search path: a better match there is called."""
    name = platform.location()
    superuser(platform, "ALTER SCHEMA platform RENAME TO aside")
    # As every location could on an older platform.
    superuser(platform, f"GRANT CREATE ON DATABASE warehouse TO {name}; GRANT USAGE ON LANGUAGE plpgsql TO {name}")
    platform.sql(name, EVIL.format(name=name, schema=schema))
    with suppress(SystemExit) if schema == "platform" else nullcontext():  # it is not accepted as the platform's
        run("platform")
    run("location", name)
    called = platform.sql(name, f"SELECT * FROM {name}_raw.called")
    platform.sql(name, f"DROP SCHEMA {schema} CASCADE")
    superuser(platform, "DROP SCHEMA IF EXISTS platform CASCADE; ALTER SCHEMA aside RENAME TO platform")
    assert called == []


def test_a_location_is_set_up_without_a_superuser(platform: Platform) -> None:
    shutil.rmtree(roles.PLATFORM)  # as in its one-shot service, which does not have this volume
    name = platform.location()
    attributes = "SELECT rolsuper, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = {}"
    for login in ("platform", "dagster", name, f"dagster-{name}"):
        asked = attributes.format(f"'{login}'")
        assert platform.sql(name, asked) == [(False, False, False, False)]


# The warehouse


def test_a_role_works_in_its_own_schema_and_in_no_other(platform: Platform) -> None:
    one, other = platform.location(), platform.location()
    platform.sql(other, f"CREATE TABLE {other}_raw.items AS SELECT 1 AS id")
    for statement in (
        f"SELECT * FROM {other}_raw.items",
        f"INSERT INTO {other}_raw.items VALUES (2)",
        f"CREATE TABLE {other}_raw.ours (id int)",
        f"DROP SCHEMA {other}_raw CASCADE",
        f"SET ROLE {other}",
        f'SET ROLE "{roles.IN_WAREHOUSE}"',
        "SET ROLE platform",
        "CREATE TABLE public.ours (id int)",
        "CREATE SCHEMA ours",
        f"ALTER SCHEMA {one}_raw RENAME TO ours",
        "CREATE ROLE another",
        f"ALTER ROLE {one} CONNECTION LIMIT 1000",
        f"ALTER ROLE {one} SET temp_file_limit = -1",
    ):
        with refused("permission denied|must be owner"):
            platform.sql(one, statement)


@pytest.mark.parametrize(
    "name", ["{one}_raw_stage", "{other}_raw", "{other}_raw_staging_{one}", "postgres", "{one}_raw_staging_X", "{one}"]
)
def test_a_role_makes_schemas_to_stage_in_alone(platform: Platform, name: str) -> None:
    one, other = platform.location(), platform.location()
    for _ in range(2):
        platform.sql(one, f"SELECT platform.make_schema('{one}_raw_staging_{one}_activity')")
    platform.sql(one, f"CREATE TABLE {one}_raw_staging_{one}_activity.items (id int)")
    with refused("is not a schema that"):
        platform.sql(one, f"SELECT platform.make_schema('{name.format(one=one, other=other)}')")


def test_a_schema_that_another_made_first_is_not_taken_over(platform: Platform) -> None:
    one = platform.location()
    superuser(platform, f"CREATE SCHEMA squatted_raw AUTHORIZATION {one}")
    with pytest.raises(SystemExit, match=f"squatted_raw belongs to {one}, not to squatted"):
        platform.location("squatted")
    platform.sql(one, "DROP SCHEMA squatted_raw")
    platform.location("squatted")


def test_a_location_is_removed_without_a_superuser(platform: Platform) -> None:
    """With the command that `make remove-location` prints; the name is free again."""
    name = platform.location()
    platform.sql(name, f"CREATE TABLE {name}_raw.items AS SELECT 1 AS id")
    platform.sql(name, f"SELECT platform.make_schema('{name}_raw_staging_activity')")
    platform.sql("platform", f'DROP OWNED BY "{name}" CASCADE; DROP ROLE "{name}", "dagster-{name}"')
    assert platform.sql("platform", f"SELECT nspname FROM pg_namespace WHERE nspname LIKE '{name}%'") == []
    platform.location(name)


def test_what_a_role_could_do_on_an_older_platform_is_taken_from_it(platform: Platform) -> None:
    """There, the superuser created it, and it created its own schemas."""
    superuser(platform, "CREATE ROLE older NOINHERIT LOGIN")
    superuser(platform, "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE warehouse TO older")
    superuser(platform, "CREATE SCHEMA older_raw AUTHORIZATION older")
    superuser(platform, "CREATE SCHEMA older_raw_staging_older_a AUTHORIZATION older")
    run("platform")
    platform.location("older")
    platform.sql("older", "CREATE TABLE older_raw.items (id int)")
    platform.sql("older", "SELECT platform.make_schema('older_raw_staging_older_a')")
    platform.sql("older", "CREATE TABLE older_raw_staging_older_a.items (id int)")
    with refused("permission denied"):
        platform.sql("older", "CREATE SCHEMA ours")


@pytest.mark.parametrize("database", ["dagster", "postgres", "template1"])
def test_a_role_opens_the_warehouse_alone(platform: Platform, database: str) -> None:
    name = platform.location()
    for role in (name, "analyst"):
        with refused("permission denied for database"):
            platform.sql(role, "SELECT 1", database)
    for role in ("dagster", f"dagster-{name}"):
        with refused("permission denied for database"):
            platform.sql(role, "SELECT 1", "warehouse")


def test_an_analyst_reads_what_a_location_makes_later(platform: Platform) -> None:
    name = platform.location()
    platform.sql(name, f"CREATE TABLE {name}_raw.items AS SELECT 1 AS id")
    assert platform.sql("analyst", f"SELECT id FROM {name}_raw.items") == [(1,)]
    for statement in (f"DELETE FROM {name}_raw.items", f"CREATE TABLE {name}_raw.ours (id int)", "CREATE SCHEMA ours"):
        with refused("permission denied|read-only transaction"):
            platform.sql("analyst", "SET default_transaction_read_only = off; " + statement)
        with refused("permission denied|read-only transaction"):
            platform.sql("analyst", statement)


CARRIERS = (
    "DO $$ BEGIN END $$",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_notify('x', 'y')",
    "SELECT pg_advisory_lock(1)",
)


def test_no_function_blocks_others_or_fills_what_is_everybodys(platform: Platform) -> None:
    name = platform.location()
    for what in CARRIERS:
        for login, database in ((name, "warehouse"), (f"dagster-{name}", "dagster")):
            with refused("permission denied"):
                platform.sql(login, what, database)


@pytest.mark.parametrize(
    "what",
    [
        "CREATE FUNCTION {0}.ours() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SEQUENCE {0}.told; SELECT setval('{0}.told', 1)",
    ],
)
def test_a_role_makes_nothing_that_tells_it_what_a_reader_sees(platform: Platform, what: str) -> None:
    """A view runs its functions with the rights of whoever reads it, and analysts can read everything."""
    name = platform.location()
    with refused("permission denied"):
        platform.sql(name, what.format(f"{name}_raw"))


LATE = (
    "query_to_xml('SELECT * FROM {0}.items', true, true, '')",
    "table_to_xml((SELECT max(oid) FROM pg_class WHERE relname = 'items')::regclass, true, true, '')",
    "(SELECT max(word) FROM ts_stat('SELECT to_tsvector(secret) FROM {0}.items'))",
    "ts_rewrite('a'::tsquery, 'SELECT to_tsquery(''a''), to_tsquery(secret) FROM {0}.items')",
    "set_config('search_path', '{0}', false)",
    "current_query()",
    "(SELECT max(query) FROM pg_stat_get_activity(pg_backend_pid()))",
    "pg_stat_get_backend_activity(1)",
    "(SELECT max(statement) FROM pg_cursor())",
    "(SELECT max(statement) FROM pg_prepared_statement())",
)
"""Views that only reveal on execution which table they read, or whose query they answer, and so can be created without
the right to."""


def test_a_view_executes_nothing_else_with_the_rights_of_who_reads_it(platform: Platform) -> None:
    one, other = platform.location(), platform.location()
    platform.sql(other, f"CREATE TABLE {other}_raw.items AS SELECT 'a secret' AS secret")
    for number, late in enumerate(LATE):
        platform.sql(one, f"CREATE VIEW {one}_raw.trap{number} AS SELECT {late.format(f'{other}_raw')} AS seen")
        with refused("permission denied for function"):
            platform.sql("analyst", f"SELECT seen::text FROM {one}_raw.trap{number}")


@pytest.mark.parametrize("statistics", ["pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"])
def test_a_view_sees_nothing_of_other_tables_in_the_statistics(platform: Platform, statistics: str) -> None:
    """They show values from each table that the reader may read: an analyst may read all."""
    with refused(f"permission denied for view {statistics}"):
        platform.sql("analyst", f"SELECT tablename FROM {statistics}")
    one = platform.location()
    platform.sql(one, f"CREATE VIEW {one}_raw.trap AS SELECT tablename FROM {statistics}")
    with refused(f"permission denied for view {statistics}"):
        platform.sql("analyst", f"SELECT * FROM {one}_raw.trap")


KNOWS_WHO = "current_user <> 'postgres'"


def test_a_location_has_no_more_tables_than_a_backup_can_lock(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It locks those of all locations at once, and once all locks are taken, nobody else can write or sign in."""
    with monkeypatch.context() as patch:
        patch.setattr(roles, "TABLES", 3)
        run("platform")
    name, other = platform.location(), platform.location()
    platform.sql(
        name, f"CREATE TABLE {name}_raw.a (); CREATE VIEW {name}_raw.v AS SELECT 1; CREATE TABLE {name}_raw.b ()"
    )
    platform.sql(other, f"CREATE TABLE {other}_raw.a ()")
    for statement in (
        "CREATE TABLE {0}.c (); CREATE TABLE {0}.d ()",
        "CREATE TABLE {0}.c AS SELECT 1; CREATE TABLE {0}.d AS SELECT 1",
        "CREATE MATERIALIZED VIEW {0}.c AS SELECT 1; CREATE MATERIALIZED VIEW {0}.d AS SELECT 1",
        "CREATE TEMPORARY TABLE c (); SELECT 1 INTO TEMPORARY d",
        "CREATE TABLE {0}.c (id int) PARTITION BY LIST (id); CREATE TABLE {0}.d PARTITION OF {0}.c DEFAULT",
    ):
        with refused("a location has at most 3 tables"):
            platform.sql(name, statement.format(f"{name}_raw"))
    platform.sql(name, f"CREATE TABLE {name}_raw.c ()")
    run("platform")


CHECKED = (
    "CREATE TABLE {0}.items (id int, CHECK ({1}))",
    "CREATE TABLE {0}.items AS SELECT 1 AS id; ALTER TABLE {0}.items ADD CHECK ({1})",
    "CREATE TABLE {0}.items (id int); ALTER TABLE {0}.items ADD COLUMN more int CHECK ({1})",
    "CREATE TABLE {0}.items (id int); ALTER TABLE {0}.items ADD CHECK ({1}) NOT VALID",
    "CREATE DOMAIN {0}.id AS int CHECK ({1})",
    "CREATE DOMAIN {0}.id AS int; ALTER DOMAIN {0}.id ADD CHECK ({1})",
)


def test_a_table_checks_nothing_with_the_rights_of_who_restores_it(platform: Platform) -> None:
    name = platform.location()
    for statement in CHECKED:
        with refused("a table of the warehouse has no CHECK"):
            platform.sql(name, statement.format(f"{name}_raw", KNOWS_WHO))


READ = (
    ("policy", "CREATE POLICY ours ON {0}.items USING ({1})"),
    ("rule", "CREATE RULE ours AS ON UPDATE TO {0}.items WHERE {1} DO INSTEAD NOTHING"),
    ("trigger", "CREATE TRIGGER ours BEFORE UPDATE ON {0}.items EXECUTE FUNCTION suppress_redundant_updates_trigger()"),
    ("aggregate", "CREATE AGGREGATE {0}.ours (int) (SFUNC = int4pl, STYPE = int)"),
    ("statistics", "CREATE STATISTICS {0}.ours ON (id + 1) FROM {0}.items"),
)


def test_a_table_calls_nothing_with_the_rights_of_who_reads_it(platform: Platform) -> None:
    name = platform.location()
    platform.sql(name, f"CREATE TABLE {name}_raw.items (id int)")
    for what, statement in READ:
        with refused(f"a table of the warehouse has no {what}"):
            platform.sql(name, statement.format(f"{name}_raw", KNOWS_WHO))


# Connections


@contextmanager
def taken(platform: Platform, *logins: str) -> Iterator[list[connection]]:
    """Takes as many connections as each login may have, to its own database."""
    held: list[connection] = []

    def take_all() -> None:
        for login in logins:
            database = "dagster" if login.startswith("dagster-") else "warehouse"
            held.extend(platform.connect(login, database) for _ in range(roles.CONNECTIONS))
        platform.connect(logins[-1], database).close()

    try:
        with pytest.raises(OperationalError, match=r"too many connections for role|reserved for roles with privileges"):
            take_all()
        yield held
    finally:
        for one in held:
            one.close()


@pytest.mark.parametrize("login", ["{0}", "dagster-{0}"])
def test_a_location_takes_its_share_of_the_connections(platform: Platform, login: str) -> None:
    name, other = platform.location(), platform.location()
    with taken(platform, login.format(name)) as held:
        assert len(held) == roles.CONNECTIONS
        assert platform.sql(other, "SELECT 1") == [(1,)]


def test_some_connections_are_kept_for_dagster(platform: Platform) -> None:
    """When all locations together have taken the rest."""
    names = [platform.location() for _ in range(5)]
    with taken(platform, *names, *(f"dagster-{name}" for name in names)) as held:
        assert len(held) < len(names) * 2 * roles.CONNECTIONS
        assert platform.sql("dagster", "SELECT 1", "dagster") == [(1,)]
        assert platform.sql("platform", "SELECT 1") == [(1,)]


@pytest.mark.parametrize(("login", "database"), [("{0}", "warehouse"), ("dagster-{0}", "dagster")])
def test_what_a_login_set_for_itself_lasts_until_the_next_set_up(platform: Platform, login: str, database: str) -> None:
    """With some settings it can no longer sign in; a redeploy or a rollback sets the location up again."""
    name = platform.location()
    role = login.format(name)
    own = ("SET work_mem = '1GB'", f"IN DATABASE {database} SET local_preload_libraries = 'nothing'")
    for what in own:
        platform.sql(role, f'ALTER ROLE "{role}" {what}', database)
    with refused("could not access file"):
        platform.sql(role, "SELECT 1", database)
    platform.location(name)
    assert platform.sql(role, "SHOW work_mem", database) == [("4MB",)]
