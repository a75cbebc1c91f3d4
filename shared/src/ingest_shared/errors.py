"""Errors: each is one line that a person can act on."""


class IngestError(Exception):
    """Says in one line what went wrong and what to do about it.

    ``retry`` is whether the same run may succeed if it is retried unchanged.
    """

    retry = False


class SettingError(IngestError):
    """A setting is missing or wrong; the text names it and how to set it."""


class PayloadError(IngestError):
    """The API sent a value that the table does not allow; the text names it."""


class NotJson(PayloadError):
    """The API sent a body that is not valid JSON; a retry may get a complete one."""

    retry = True


class ApiError(IngestError):
    """The API refused a request or did not answer.

    ``status`` is the HTTP status, or None if the connection broke; ``reason`` is the API's own message.
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
    """An error's message in one line: the driver's, if SQLAlchemy wraps it; the error's type, if there is no
    message."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
