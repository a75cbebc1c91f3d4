"""Ends sessions that stand in everybody's way: :data:`ingest_host.roles.END_GREEDY`.

Postgres has one table of locks for all logins, and no limit for each. Once it is full, nobody can sign in: so the
connection of this one stays open.
"""

import logging
import time

import psycopg2
from psycopg2.extensions import connection

from ingest_host.monitor.seen import STORAGE, TIMEOUT

EVERY_SECONDS = 2
"""To fill the table takes about as long."""
TOLD_SECONDS = 600
"""A problem for so long after it was ended: whoever did it is likely to do it again."""

logger = logging.getLogger("guard")


class Guard:
    """``ended`` has the logins whose sessions were ended: when it was last, and why."""

    def __init__(self) -> None:
        self.ended: dict[str, tuple[float, str]] = {}
        self._storage: connection | None = None

    def turn(self) -> None:
        """Looks once. Where Postgres cannot be asked, the rest of the monitor tells it."""
        try:
            if self._storage is None or self._storage.closed:
                self._storage = psycopg2.connect(STORAGE, connect_timeout=TIMEOUT)
                self._storage.autocommit = True
            with self._storage.cursor() as cursor:
                cursor.execute("SELECT login, why FROM platform.end_greedy()")
                for login, why in cursor.fetchall():
                    self.ended[login] = time.time(), why
        except psycopg2.Error as error:
            logger.warning("sessions cannot be looked at: %s", str(error).strip())

    def ended_lately(self) -> dict[str, str]:
        """Why, by login."""
        since = time.time() - TOLD_SECONDS
        return {login: why for login, (at, why) in self.ended.copy().items() if at > since}

    def run(self) -> None:
        while True:
            self.turn()
            time.sleep(EVERY_SECONDS)
