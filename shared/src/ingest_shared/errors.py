"""Errors that end in one line a person can act on."""


class IngestError(Exception):
    """What went wrong and what to do about it, in one line.

    ``retry`` says whether the same run may succeed when tried again without a change by a person.
    """

    retry = False


class SettingError(IngestError):
    """A setting is missing or wrong; the text names it and how to set it."""


class PayloadError(IngestError):
    """The API sent what the table's description does not allow; the text names the value."""


class NotJson(PayloadError):
    """The API sent a body that is not JSON; a later try may bring a whole one."""

    retry = True


class ApiError(IngestError):
    """The API refused a request or does not answer.

    ``status`` is that of its answer, None for a connection that broke; ``reason`` is what it said.
    """

    def __init__(self, message: str, *, status: int | None = None, reason: str = "", retry: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry = retry


class QuotaSpent(ApiError):
    """The API takes no more calls for longer than a run may wait; what was read by then is kept."""


class WarehouseError(IngestError):
    """The warehouse cannot be reached or written; the text names the setting."""

    retry = True
