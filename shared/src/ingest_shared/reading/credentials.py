"""The credentials of one API: which one is used for which list, and when.

Each has its own rate. An ETag belongs to the credential that received it, so a list uses the same credential as long as
its quota lasts, then another one.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from requests.auth import AuthBase

from ingest_shared.errors import SettingError
from ingest_shared.reading.limits import Limit

logger = logging.getLogger("ingest")


@dataclass(eq=False)
class Credential:
    """One credential of the API, with its rate."""

    auth: AuthBase
    name: str
    """Its name in messages: its place in the setting, never its value."""
    identity: str
    """Identifies it without containing it."""
    limit: Limit
    _until: float = 0.0
    _told_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def pause(self, seconds: float) -> None:
        """Stops all calls for this many seconds, in this run and in others on this machine."""
        self._until = max(self._until, time.time() + seconds)
        self.limit.pause(seconds)

    @property
    def paused_for(self) -> float:
        """Seconds for which the API accepts no calls, apart from the waits that keep the pace."""
        return max(0.0, self._until - time.time(), self.limit.paused_for)

    def is_news(self, until: float) -> bool:
        """Whether a wait until then has not been logged yet."""
        with self._lock:
            was_told = until < self._told_until + 1
            self._told_until = max(until, self._told_until)
        return not was_told


class Credentials:
    """The credentials of one API, in the order of their setting."""

    def __init__(self, auths: Sequence[AuthBase], url: str, calls_per_second: float, setting: str, fault: str) -> None:
        """``fault`` is the error message for a credential that cannot be put into a header."""
        identities = [f"{url} {_fingerprint(auth, fault)}" for auth in auths]
        self._credentials = [
            Credential(
                auth, f"credential {place} of {len(auths)} in `{setting}`", identity, Limit(identity, calls_per_second)
            )
            for place, (auth, identity) in enumerate(zip(auths, identities, strict=True), 1)
        ]
        self._lock = threading.Lock()

    @property
    def first(self) -> Credential:
        return self._credentials[0]

    def pick(self, list_: str, without: Collection[Credential] = ()) -> Credential:
        """The credential for a list: always the same one if it may be used now, otherwise the one that is available
        soonest."""
        with self._lock:
            able = [one for one in self._credentials if one not in without] or list(self._credentials)
        able.sort(key=lambda one: hashlib.sha256(f"{one.identity} {list_}".encode()).digest())
        return min(able, key=lambda one: one.paused_for)  # the first that need not wait

    def has_other(self, than: Collection[Credential]) -> bool:
        """Whether there are credentials other than these."""
        with self._lock:
            return any(one not in than for one in self._credentials)

    def leave_out(self, refused: Credential, why: str) -> bool:
        """Stops using a credential that the API refuses; False if it is the last one."""
        with self._lock:
            if refused in self._credentials:
                if len(self._credentials) == 1:
                    return False
                self._credentials.remove(refused)
                logger.warning("%s was refused (%s); continuing with the others", refused.name, why)
        return True


def _fingerprint(auth: AuthBase, fault: str) -> str:
    """Identifies a credential without containing it; the :class:`SettingError` that it raises does not contain it
    either."""
    secrets = [str(value) for name, value in sorted(vars(auth).items()) if isinstance(value, str)]
    if not all(value.isascii() and value.isprintable() for value in secrets):
        raise SettingError(fault)
    return hashlib.sha256("\0".join(secrets).encode()).hexdigest()
