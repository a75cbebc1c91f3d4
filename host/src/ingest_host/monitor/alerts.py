"""Alerts of the platform, over Apprise: what could not be sent is sent again.

The addresses are the setting ``alerts.to`` of the platform, separated by spaces or line breaks:
https://appriseit.com/services/
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import apprise

logger = logging.getLogger("monitor")

ADDRESSES = Path("/run/secrets/alerts--to")
RESOLVED = "resolved: "
"""Beginning of a line about a problem that is gone."""
KEEP_SECONDS = 86_400
"""How long an alert is tried."""


@dataclass
class Alerts:
    """Those that no address has taken yet, in order; each address gets each alert once."""

    waiting: list[tuple[float, str, str]] = field(default_factory=list)
    """When it was made, for which address, what it says."""

    def add(self, now: float, lines: list[str]) -> None:
        """An alert of these lines, for each address that is set."""
        text = "\n".join(lines)
        for line in lines:
            logger.warning("%s", line)
        addresses = ADDRESSES.read_text().split() if ADDRESSES.exists() else []
        self.waiting += [(now, address, text) for address in addresses]

    def send(self, now: float) -> None:
        """Tries each that waits; says in the log which address does not take it, without what is secret in it."""
        refused: set[str] = set()
        left = []
        for made, address, text in self.waiting:
            if address in refused or not sent(address, text):
                refused.add(address)
                left.append((made, address, text))
        for address in refused:
            kind, separator, _ = address.partition("://")
            which = f"{kind}://" if separator else "an address without ://"
            logger.error("an alert of the platform could not be sent to %s; it will be sent again", which)
        self.waiting = [one for one in left if now - one[0] < KEEP_SECONDS]


def sent(address: str, text: str) -> bool:
    """Whether the address took it; why not stands in the log, as Apprise says it."""
    channel = apprise.Apprise()
    title, _, body = text.partition("\n")
    known = "://" in address and channel.add(address)
    kind = apprise.NotifyType.SUCCESS if title.startswith(RESOLVED) else apprise.NotifyType.FAILURE
    return bool(known and channel.notify(title=f"ingest: {title}", body=body or title, notify_type=kind))
