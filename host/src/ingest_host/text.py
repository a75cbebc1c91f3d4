"""Text that cannot be used everywhere: UTF-8 cannot encode half a surrogate pair, and PostgreSQL cannot store NUL."""

from collections.abc import Mapping
from typing import Any


def fault(value: Any) -> str | None:
    """Returns what is wrong with a text, or with the first such text inside a JSON value; None if nothing is."""
    if isinstance(value, str):
        if "\0" in value:
            return "NUL"
        return None if value.isascii() or is_utf8(value) else "half a surrogate pair"
    if isinstance(value, Mapping):
        return next(filter(None, (fault(one) for pair in value.items() for one in pair)), None)
    if isinstance(value, list | tuple):
        return next(filter(None, map(fault, value)), None)
    return None


def is_utf8(text: str) -> bool:
    """Returns whether the text can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
