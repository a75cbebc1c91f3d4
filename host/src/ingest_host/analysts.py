"""Logins of people and BI tools: each a member of `analyst`, who may read what locations load.

From outside they come in by PgBouncer (the service `warehouse`, over TLS), which asks :data:`LOGIN` for the
verifier of a password and gets it of analysts alone. https://www.pgbouncer.org/config.html#auth_query
"""

import re
from typing import TYPE_CHECKING

from psycopg2.sql import Identifier

if TYPE_CHECKING:
    from ingest_host.roles import Session

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
ROLE = "analyst-{}"
DOOR = "door"
"""The login of PgBouncer itself."""
CONNECTIONS = 10
MINUTES = 15
"""The longest that a query may take."""

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
    """The role of an analyst; raises ``SystemExit`` where it cannot be one's name."""
    if not NAME.fullmatch(name):
        raise SystemExit(
            f"{name!r} is not a valid login name: use lowercase letters, digits and _, at most 40 characters, as in ana"
        )
    return ROLE.format(name)


def let_read(run: "Session", role: str) -> None:
    """What a login of an analyst may do: read, in a few sessions at a time."""
    run("ALTER ROLE {} CONNECTION LIMIT {}", Identifier(role), CONNECTIONS)
    run("ALTER ROLE {} SET default_transaction_read_only = on", Identifier(role))
    run("ALTER ROLE {} SET statement_timeout = {}", Identifier(role), f"{MINUTES}min")
    run("GRANT analyst TO {} WITH INHERIT TRUE, SET FALSE", Identifier(role))


def put_out(run: "Session", role: str) -> bool:
    """Removes the login and ends its sessions; says whether there was one."""
    if not run("SELECT 1 FROM pg_roles WHERE rolname = {}", role):
        return False
    run("ALTER ROLE {} NOLOGIN", Identifier(role))
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}", role)
    run("DROP ROLE {}", Identifier(role))
    return True
