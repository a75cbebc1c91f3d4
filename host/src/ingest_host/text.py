"""Text that not everybody can handle: UTF-8 has no half of a surrogate pair, and PostgreSQL holds no NUL."""

from collections.abc import Mapping
from typing import Any


def fault(value: Any) -> str | None:
    """What is wrong with a text, or with the first such text in what JSON can hold; None for nothing."""
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
    """Whether the text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
