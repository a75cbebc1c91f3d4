"""The logins of PostgreSQL, what each may do, and how the platform's own sign in.

| login | for | may |
|---|---|---|
| `postgres` | set-up and backup | everything: the superuser |
| `platform` | set-up of a location | create roles, and schemas in the warehouse |
| `dagster` | webserver, daemon, purge | everything in the database `dagster` |
| `dagster-<location>` | code server and runs of a location | its own rows in `dagster`: :mod:`ingest_host.storage` |
| `<location>` | runs of a location | its own schemas in `warehouse` |
| `analyst` | people | read what locations load |
| `analyst-<name>` | a person or a BI tool | the same as `analyst`, of which it is a member |
| `door` | PgBouncer, through which analysts connect | read an analyst's verifier: :mod:`ingest_host.analysts` |
| `monitor` | monitor | read the state of runs, ticks and loads in `dagster`: :data:`MONITORED`; :data:`END_GREEDY` |
| `audit` | webserver | add rows to the audit trail: :mod:`ingest_host.access.audit` |

A location may create anything in its schemas, so a name that one of the first three logins finds there could be
the location's: they look up names in ``pg_catalog`` only, and qualify everything else with its schema.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection, cursor, encrypt_password
from psycopg2.sql import SQL, Identifier, Literal

from ingest_host import analysts
from ingest_host.access import audit
from ingest_host.storage import LOCATIONS, LOGIN, wall_off

HOST = os.environ.get("PGHOST") or "postgres"
PLATFORM = Path("/secrets/platform")
"""Passwords that only Postgres and the platform's own set-up read."""
SETUP = Path("/secrets/setup")
"""The password of `platform`, the only one that the set-up of a location reads."""

IN_WAREHOUSE = "locations-warehouse"
"""The group of the roles that load. No location can have this name."""
NAMES_IN_CATALOG = "pg_catalog,pg_temp"

CONNECTIONS = 24
"""Of a location's login, at most: three of its runs load at a time, each over a few."""
LOCK_MILLISECONDS = 30_000
"""The longest that webserver and daemon wait for a row that a location holds."""

MONITORED = {
    "runs": "run_id, ingest_location, pipeline_name, status, create_timestamp, end_time",
    "run_tags": "run_id, key",
    "daemon_heartbeats": "daemon_id, daemon_type, timestamp",
    "instigators": "selector_id, status, instigator_type, instigator_body",
    "job_ticks": "selector_id, status, timestamp",
    "asset_keys": "asset_key, last_materialization, last_materialization_timestamp",
}
"""What the monitor reads in Dagster's storage: tables and columns."""

REVOKED = r"""
DO $$ DECLARE it regprocedure; BEGIN
  FOR it IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
      AND (proname ~ '^(lo_|lo(read|write|creat)|pg_(try_)?advisory_|pg_notify$|setval$|pg_logical_emit_message$)'
        OR proname ~ '^((query|table|schema|database|cursor)_to_xml|ts_(stat|rewrite)$|set_config$)'
        OR proname ~ '^(current_query|pg_stat_get_(backend_)?activity|pg_(cursor|prepared_statement))$')
  LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', it); END LOOP;
END $$;
REVOKE USAGE ON LANGUAGE sql, plpgsql FROM PUBLIC;
REVOKE SELECT ON pg_stats, pg_stats_ext, pg_stats_ext_exprs FROM PUBLIC
"""
"""Revokes from everybody:

- functions through which a view could tell its owner what its reader may read, or a login block or fill what all share;
- functions that execute a string, which in a view has its reader's rights, or that change the reader's session;
- functions that show the reader's query, which a view's owner could infer from how often each of its tables is scanned;
- languages, so that no function can be created that runs with the rights of whoever reads, or restores, a table;
- statistics, in which a view sees values of all tables that its reader may read.
"""

MAKE_SCHEMA = """
CREATE OR REPLACE FUNCTION platform.make_schema(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF name !~ ('^' || session_user || '_raw_staging_[a-z0-9_]+$') THEN
    RAISE EXCEPTION '% is not a schema that % stages in', name, session_user USING ERRCODE = 'insufficient_privilege';
  END IF;
  EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', name, session_user);
END $$;
REVOKE ALL ON FUNCTION platform.make_schema FROM PUBLIC
"""
"""Creates the schema in which a pipeline stages its rows, and whose name only the location's code knows."""

TABLES = 5000
"""Of a location, including temporary ones, at most: a backup locks every table of all locations, and the lock table,
which all logins share, has room for 50,000."""

REFUSED_COMMANDS = r"""
CREATE OR REPLACE FUNCTION platform.refuse_checks() RETURNS event_trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF tg_tag ~ ' (POLICY|RULE|TRIGGER|AGGREGATE|STATISTICS)$' AND tg_tag !~ '^DROP ' THEN
    RAISE EXCEPTION 'a table of the warehouse has no %', lower(substring(tg_tag from '\w+$'))
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF tg_tag ~ '^(CREATE (TABLE|SCHEMA|MATERIALIZED)|SELECT INTO)' AND session_user NOT IN ('postgres', 'platform')
      AND (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'm')
        AND relowner = to_regrole(quote_ident(session_user))) > {0} THEN
    RAISE EXCEPTION 'a location has at most {0} tables' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d, pg_constraint c
      WHERE c.contype = 'c' AND d.objid IN (c.conrelid, c.contypid)) THEN
    RAISE EXCEPTION 'a table of the warehouse has no CHECK' USING ERRCODE = 'insufficient_privilege';
  END IF;
END $$;
DROP EVENT TRIGGER IF EXISTS refuse_checks;
CREATE EVENT TRIGGER refuse_checks ON ddl_command_end EXECUTE FUNCTION platform.refuse_checks()
"""
"""A check calls its functions with the rights of whoever inserts: when a backup is restored, that is the superuser. A
policy or a rule calls them with the rights of whoever reads."""

LOCKS = 10_000
"""Of all sessions of a login together. The first load of a thousand tables takes about 4,000, and the lock table,
which all logins share, has room for 50,000 (max_locks_per_transaction in docker-compose.yml)."""
TRANSACTION = "12 hours"
"""The longest of a location or an analyst. While one is open, nothing deleted since can be vacuumed, and a backup or a
new version's set-up may wait for it. Postgres does not enforce this: idle_in_transaction_session_timeout can be changed
by each session itself."""
STORAGE_TRANSACTION = "15 seconds"
"""The longest of a location in Dagster's storage, where each of Dagster's own is a single statement: webserver and
daemon wait for rows that it has locked, and read past the versions of rows that cannot be vacuumed meanwhile."""
TRANSACTION_IDS = 500_000_000
"""Assigned since a transaction began, at most: Postgres has two billion, and one session can use up 100,000 a second.
While a transaction is open, none of them can be reused, and after the last one, nobody can write.
https://www.postgresql.org/docs/17/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND"""
NOTIFICATIONS = 0.25
"""The share of the queue, which all logins share, that may wait for listeners. Dagster sends a notification with each
event, so no run can continue once the queue is full; one session can fill its 8 GB in a minute or two."""
LISTENING = "10 seconds"
"""The longest transaction while more wait: a listening session reads none until it ends. Nobody sees which listen."""

END_GREEDY = """
CREATE OR REPLACE FUNCTION platform.end_greedy() RETURNS TABLE (login name, why text) LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  trusted oid[] := ARRAY['postgres', 'platform', 'dagster', 'monitor', 'audit', 'door']::regrole[];
  greedy record;
BEGIN
  -- Functions, not the views over them: reading a table takes a lock, and there may be none left.
  FOR greedy IN
    SELECT usesysid, array_agg(DISTINCT a.pid) AS pids, format('they held %s locks', count(*)) AS reason
      FROM pg_stat_get_activity(NULL) a JOIN pg_lock_status() l ON l.pid = a.pid
      WHERE usesysid <> ALL (trusted) GROUP BY usesysid HAVING count(*) > {0}
    UNION ALL
    SELECT usesysid, array_agg(pid), 'a transaction was open for more than ' || {1}
      FROM pg_stat_get_activity(NULL)
      WHERE usesysid <> ALL (trusted) AND xact_start < now() - {1}::interval GROUP BY usesysid
    UNION ALL
    SELECT usesysid, array_agg(pid), 'a transaction was open in Dagster''s storage for more than ' || {5}
      FROM pg_stat_get_activity(NULL)
      WHERE usesysid <> ALL (trusted) AND xact_start < now() - {5}::interval
        AND datid = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid())) GROUP BY usesysid
    UNION ALL
    SELECT usesysid, array_agg(pid), 'notifications waited, and a transaction was open for ' || {3}
      FROM pg_stat_get_activity(NULL)
      WHERE usesysid <> ALL (trusted) AND xact_start < now() - {3}::interval AND pg_notification_queue_usage() > {2}
      GROUP BY usesysid
    UNION ALL
    SELECT usesysid, array_agg(pid), 'a transaction was open while {4} others were made'
      FROM pg_stat_get_activity(NULL)
      WHERE usesysid <> ALL (trusted) AND greatest(age(backend_xid), age(backend_xmin)) > {4} GROUP BY usesysid
  LOOP
    PERFORM pg_terminate_backend(one, 1000) FROM unnest(greedy.pids) one;
    RETURN QUERY SELECT pg_get_userbyid(greedy.usesysid), greedy.reason;
  END LOOP;
  PERFORM pg_notification_queue_usage();  -- frees what nobody waits for any more; otherwise a full queue stays full
  -- The next call must not have to look up a role, either: each that it may name must be in this session's cache.
  PERFORM pg_get_userbyid(oid) FROM pg_authid;
END $$;
REVOKE ALL ON FUNCTION platform.end_greedy FROM PUBLIC;
GRANT EXECUTE ON FUNCTION platform.end_greedy TO monitor
"""
"""Ends all sessions of a login that holds more than :data:`LOCKS`, and each session whose transaction is open for more
than :data:`TRANSACTION`, in Dagster's storage :data:`STORAGE_TRANSACTION`, while :data:`NOTIFICATIONS` wait
:data:`LISTENING`, or while :data:`TRANSACTION_IDS` were assigned; returns each login and why. Whoever fills the lock
table, with ten thousand tables or savepoints in one transaction, keeps everybody from writing and from signing in."""


@dataclass(frozen=True)
class Session:
    """Executes statements as one of the logins."""

    cursor: cursor

    def __call__(self, statement: str, *given: Identifier | str | float) -> list[tuple[Any, ...]]:
        """Executes a statement with names and values in place of its braces; returns its rows."""
        filled = [one if isinstance(one, Identifier) else Literal(one) for one in given]
        self.cursor.execute(SQL(statement).format(*filled) if given else statement)
        return self.cursor.fetchall() if self.cursor.description else []


def password_file(user: str) -> Path:
    """Returns the file with the password of one of the platform's own logins."""
    return (SETUP if user == "platform" else PLATFORM) / f"{user}-password"


def connect(user: str, database: str) -> connection:
    """Signs in with the user's stored password."""
    password = password_file(user).read_text()
    options = f"-csearch_path={NAMES_IN_CATALOG} -ccreaterole_self_grant=set,inherit"
    opened = psycopg2.connect(host=HOST, user=user, password=password, dbname=database, options=options)
    opened.autocommit = True
    return opened


def set_up_server() -> None:
    """Creates databases and the platform's own logins, as the superuser; adds what an older server lacks."""
    with _session("postgres", "postgres") as run:
        run("ALTER ROLE postgres SET search_path = pg_catalog, pg_temp")
        run("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
        for name in ("platform", "dagster", "analyst", "monitor", analysts.DOOR, audit.ROLE):
            _login(run, name, password_file(name).read_text())
        run("ALTER ROLE platform CREATEROLE")
        run("ALTER ROLE monitor BYPASSRLS CONNECTION LIMIT 4")
        run("ALTER ROLE monitor SET default_transaction_read_only = on")
        run("GRANT pg_use_reserved_connections TO dagster, platform, audit, monitor WITH INHERIT TRUE, SET FALSE")
        run("ALTER ROLE dagster SET lock_timeout = {}", LOCK_MILLISECONDS)
        run("ALTER ROLE analyst SET default_transaction_read_only = on")
        for database, owner, group in (("warehouse", "platform", IN_WAREHOUSE), ("dagster", "dagster", LOCATIONS)):
            _role(run, group)
            run("GRANT {} TO platform WITH ADMIN TRUE, INHERIT FALSE, SET FALSE", Identifier(group))
            _database(run, database, owner)
            run("GRANT CONNECT ON DATABASE {} TO {}", Identifier(database), Identifier(group))
        # dlt merges through temporary tables.
        run("GRANT TEMPORARY ON DATABASE warehouse TO {}", Identifier(IN_WAREHOUSE))
        run("GRANT CONNECT ON DATABASE warehouse TO analyst, door")
        run("GRANT CONNECT ON DATABASE dagster TO monitor")
        _database(run, audit.DATABASE, "postgres")
    with closing(connect("postgres", audit.DATABASE)) as trail:
        audit.set_up(trail)
    for database, owner in (("warehouse", "platform"), ("dagster", "dagster")):
        with _session("postgres", database) as run:
            run(REVOKED)
            run("GRANT USAGE ON LANGUAGE sql, plpgsql TO {}", Identifier(owner))
    with _session("postgres", "dagster") as run:
        run("GRANT EXECUTE ON FUNCTION pg_advisory_xact_lock(bigint) TO dagster")  # ingest_host/storage.py
    with _session("postgres", "warehouse") as run:
        run("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        locations = run(
            "SELECT rolname FROM pg_namespace JOIN pg_roles r ON nspowner = r.oid AND nspname = rolname || '_raw'"
        )
        for (name,) in locations:
            run("GRANT {} TO platform WITH ADMIN TRUE, INHERIT TRUE, SET TRUE", Identifier(name))
            run("REVOKE ALL ON DATABASE warehouse FROM {}", Identifier(name))
    with _session("platform", "warehouse") as run:
        _schema(run, "platform", "platform")
        run(MAKE_SCHEMA)
        run("GRANT USAGE ON SCHEMA platform TO {}", Identifier(IN_WAREHOUSE))
        run("GRANT EXECUTE ON FUNCTION platform.make_schema TO {}", Identifier(IN_WAREHOUSE))
    with _session("postgres", "warehouse") as run:
        run(REFUSED_COMMANDS, TABLES)
        run(analysts.LOGIN)


def set_up_storage() -> None:
    """Grants locations and the monitor their rights in Dagster's storage, once Dagster has created its tables."""
    with closing(connect("dagster", "dagster")) as storage:
        wall_off(storage)
        with storage.cursor() as cursor:
            for table, columns in MONITORED.items():
                cursor.execute(f"GRANT SELECT ({columns}) ON public.{table} TO monitor")
            cursor.execute("GRANT USAGE ON SCHEMA platform TO monitor")
    with _session("postgres", "dagster") as run:
        run(END_GREEDY, LOCKS, TRANSACTION, NOTIFICATIONS, LISTENING, TRANSACTION_IDS, STORAGE_TRANSACTION)


def set_up_location(name: str, password: str, storage_password: str) -> None:
    """Creates both logins of a location, and the schema of its tables, which analysts may read."""
    with _session("platform", "warehouse") as run:
        logins = ((name, password, IN_WAREHOUSE), (LOGIN.format(name), storage_password, LOCATIONS))
        for login, its_password, group in logins:
            _login(run, login, its_password)
            run("ALTER ROLE {} CONNECTION LIMIT {}", Identifier(login), CONNECTIONS)
            # A login can change its own settings, and with some of them it can no longer sign in.
            run("ALTER ROLE {} RESET ALL", Identifier(login))
            for database in ("warehouse", "dagster"):
                run("ALTER ROLE {} IN DATABASE {} RESET ALL", Identifier(login), Identifier(database))
            run("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE", Identifier(group), Identifier(login))
        role, schema = Identifier(name), Identifier(f"{name}_raw")
        _schema(run, f"{name}_raw", name)
        run("GRANT USAGE ON SCHEMA {} TO analyst", schema)
        run("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO analyst", schema)
        run("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT SELECT ON TABLES TO analyst", role, schema)


def let_analyst_in(name: str) -> tuple[str, str]:
    """Returns an analyst's role and new password; raises ``SystemExit`` with one line if the name is not valid."""
    role, password = analysts.role(name), secrets.token_urlsafe(24)
    with _session("postgres", "warehouse") as run:
        _login(run, role, password)
        analysts.let_read(run, role)
    return role, password


def put_analyst_out(name: str) -> bool:
    """Removes an analyst's login and ends its sessions; returns whether it existed."""
    with _session("postgres", "warehouse") as run:
        return analysts.put_out(run, analysts.role(name))


def _login(run: Session, name: str, password: str) -> None:
    _role(run, name)
    # Postgres logs statements that fail, so this one does not contain the password itself.
    verifier = encrypt_password(password, name, algorithm="scram-sha-256", scope=run.cursor)
    run("ALTER ROLE {} LOGIN PASSWORD {}", Identifier(name), verifier)


def _role(run: Session, name: str) -> None:
    if not run("SELECT 1 FROM pg_roles WHERE rolname = {}", name):
        run("CREATE ROLE {} NOINHERIT", Identifier(name))


def _database(run: Session, name: str, owner: str) -> None:
    if not run("SELECT 1 FROM pg_database WHERE datname = {}", name):
        run("CREATE DATABASE {}", Identifier(name))
    run("ALTER DATABASE {} OWNER TO {}", Identifier(name), Identifier(owner))
    run("REVOKE ALL ON DATABASE {} FROM PUBLIC", Identifier(name))


def _schema(run: Session, name: str, owner: str) -> None:
    """Creates a schema; raises ``SystemExit`` if it has another owner: older versions let locations create some."""
    run("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", Identifier(name), Identifier(owner))
    ((actual,),) = run("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = {}", name)
    if actual != owner:
        raise SystemExit(f"the schema {name} belongs to {actual}, not to {owner}: inspect it, then drop or rename it")


@contextmanager
def _session(user: str, database: str) -> Iterator[Session]:
    with closing(connect(user, database)) as opened, opened.cursor() as cursor:
        yield Session(cursor)
