"""Errors, each of one line that a person can act on."""


class IngestError(Exception):
    """Says in one line what went wrong and what to do about it.

    ``retry`` is whether the same run may succeed if it is tried again unchanged.
    """

    retry = False


class SettingError(IngestError):
    """A setting is missing or wrong; the text names it and how to set it."""


class PayloadError(IngestError):
    """The API sent a value that the table does not allow; the text names it."""


class NotJson(PayloadError):
    """The API sent a body that is not valid JSON; another try may get a complete one."""

    retry = True


class ApiError(IngestError):
    """The API refused a request or does not answer.

    ``status`` is the status of its response, None if the connection broke; ``reason`` is what it said.
    """

    def __init__(self, message: str, *, status: int | None = None, reason: str = "", retry: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry = retry


class QuotaSpent(ApiError):
    """The API accepts no calls for longer than a run may wait; what was read so far is kept."""


class WarehouseError(IngestError):
    """The warehouse cannot be reached or written to; the text names the setting."""

    retry = True


def first_line(error: Exception) -> str:
    """What an error says, in a line: that of the driver, if SQLAlchemy wraps it; its type, if it says nothing."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
