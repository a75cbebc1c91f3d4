"""Ends sessions that block everybody else: :data:`ingest_host.roles.END_GREEDY`.

Postgres has one lock table for all logins, and no limit for each. Once it is full, nobody can sign in, so this
keeps its connection open.
"""

import logging
import time

import psycopg2
from psycopg2.extensions import connection

from ingest_host.monitor.seen import STORAGE, TIMEOUT

EVERY_SECONDS = 2
"""Filling the lock table takes about as long."""
TOLD_SECONDS = 600
"""How long an ended session counts as a problem: whoever opened it is likely to do so again."""

logger = logging.getLogger("guard")


class Guard:
    """``ended`` maps each login whose sessions were ended to when that last happened, and why."""

    def __init__(self) -> None:
        self.ended: dict[str, tuple[float, str]] = {}
        self._storage: connection | None = None

    def turn(self) -> None:
        """Checks once. If Postgres does not answer, the rest of the monitor reports it."""
        try:
            if self._storage is None or self._storage.closed:
                self._storage = psycopg2.connect(STORAGE, connect_timeout=TIMEOUT)
                self._storage.autocommit = True
            with self._storage.cursor() as cursor:
                cursor.execute("SELECT login, why FROM platform.end_greedy()")
                for login, why in cursor.fetchall():
                    self.ended[login] = time.time(), why
        except psycopg2.Error as error:
            logger.warning("sessions cannot be checked: %s", str(error).strip())

    def ended_lately(self) -> dict[str, str]:
        """Returns, by login, why its sessions were ended lately."""
        since = time.time() - TOLD_SECONDS
        return {login: why for login, (at, why) in self.ended.copy().items() if at > since}

    def run(self) -> None:
        while True:
            self.turn()
            time.sleep(EVERY_SECONDS)
