"""Logins of people and BI tools: each is a member of `analyst`, which may read what locations load.

From outside, they connect through PgBouncer (the service `warehouse`, over TLS), which gets the verifier of a
password from :data:`LOGIN`, for analysts only: https://www.pgbouncer.org/config.html#auth_query
"""

import re
from typing import TYPE_CHECKING

from psycopg2.sql import Identifier

if TYPE_CHECKING:
    from ingest_host.roles import Session

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
ROLE = "analyst-{}"
DOOR = "door"
"""PgBouncer's own login."""
CONNECTIONS = 10
MINUTES = 15
"""The longest that a query of an analyst may take."""

LOGIN = """
CREATE OR REPLACE FUNCTION platform.analyst_login(name text) RETURNS TABLE (login text, verifier text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT rolname, rolpassword FROM pg_authid
  WHERE rolname = name AND EXISTS (
    SELECT FROM pg_auth_members WHERE member = pg_authid.oid AND roleid = 'analyst'::regrole)
$$;
REVOKE ALL ON FUNCTION platform.analyst_login FROM PUBLIC;
GRANT EXECUTE ON FUNCTION platform.analyst_login TO door;
GRANT USAGE ON SCHEMA platform TO door
"""


def role(name: str) -> str:
    """Returns the role of an analyst; raises ``SystemExit`` if the name is not valid."""
    if not NAME.fullmatch(name):
        raise SystemExit(
            f"{name!r} is not a valid login name: use lowercase letters, digits and _, at most 40 characters, as in ana"
        )
    return ROLE.format(name)


def let_read(run: "Session", role: str) -> None:
    """Lets an analyst's login read, in a few sessions at a time."""
    run("ALTER ROLE {} CONNECTION LIMIT {}", Identifier(role), CONNECTIONS)
    run("ALTER ROLE {} SET default_transaction_read_only = on", Identifier(role))
    run("ALTER ROLE {} SET statement_timeout = {}", Identifier(role), f"{MINUTES}min")
    run("GRANT analyst TO {} WITH INHERIT TRUE, SET FALSE", Identifier(role))


def put_out(run: "Session", role: str) -> bool:
    """Removes the login and ends its sessions; returns whether it existed."""
    if not run("SELECT 1 FROM pg_roles WHERE rolname = {}", role):
        return False
    run("ALTER ROLE {} NOLOGIN", Identifier(role))
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}", role)
    run("DROP ROLE {}", Identifier(role))
    return True
