"""Sends the platform's alerts with Apprise, and retries those that could not be sent.

The platform's setting ``alerts.to`` lists the addresses, separated by spaces or line breaks:
https://appriseit.com/services/
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import apprise

logger = logging.getLogger("monitor")

ADDRESSES = Path("/run/secrets/alerts--to")
RESOLVED = "resolved: "
"""Prefix of a line about a problem that is resolved."""
KEEP_SECONDS = 86_400
"""How long an alert is retried."""


@dataclass
class Alerts:
    """The alerts that are not delivered yet, in order; each address gets each alert once."""

    waiting: list[tuple[float, str, str]] = field(default_factory=list)
    """For each: when it was created, its address, and its text."""

    def add(self, now: float, lines: list[str]) -> None:
        """Logs the lines, and queues them as one alert to each address that is set."""
        text = "\n".join(lines)
        for line in lines:
            logger.warning("%s", line)
        addresses = ADDRESSES.read_text().split() if ADDRESSES.exists() else []
        self.waiting += [(now, address, text) for address in addresses]

    def send(self, now: float) -> None:
        """Tries to send each waiting alert; logs which address does not accept it, without the address's secrets."""
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
    """Returns whether the address accepted the alert; if not, Apprise logs the reason."""
    channel = apprise.Apprise()
    title, _, body = text.partition("\n")
    known = "://" in address and channel.add(address)
    kind = apprise.NotifyType.SUCCESS if title.startswith(RESOLVED) else apprise.NotifyType.FAILURE
    return bool(known and channel.notify(title=f"ingest: {title}", body=body or title, notify_type=kind))
