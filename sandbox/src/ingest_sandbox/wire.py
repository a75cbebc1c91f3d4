"""What goes over the wire: JSON bytes, and times as GitHub writes them."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

Json = dict[str, Any]
"""A JSON object. Values may be `msgspec.Raw`: JSON that was encoded before."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Rendered(NamedTuple):
    """One object as JSON, encoded once and served many times."""

    body: bytes
    digest: bytes
    """A hash of `body`, so that the ETag of a page costs a hash of digests only."""

    @property
    def raw(self) -> msgspec.Raw:
        """The same bytes, to be nested into another object."""
        return msgspec.Raw(self.body)


def render(value: Any) -> Rendered:
    """Encode `value`; raises `TypeError` for what JSON cannot say."""
    body = encode(value)
    return Rendered(body, blake2b(body, digest_size=8).digest())


def array(bodies: Iterable[bytes]) -> bytes:
    """A JSON array of objects that are encoded already."""
    return b"[" + b",".join(bodies) + b"]"


def nulls(names: str) -> Json:
    """Fields that an API sends as null, by their names with spaces between."""
    return dict.fromkeys(names.split())


def iso(seconds: int) -> str:
    """Epoch seconds as ``2025-03-31T00:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def iso_or_none(seconds: int | None) -> str | None:
    return None if seconds is None else iso(seconds)


def parse_iso(text: str) -> int:
    """Epoch seconds of an ISO 8601 time, UTC unless it names an offset; raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
