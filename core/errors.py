"""Every error convrec raises on purpose.

    ConvrecError
    ├── SettingsError          a setting has a wrong name, type or value
    ├── MissingExtraError      an optional library is not installed; the message holds the pip command
    ├── RequestError           a caller's input is wrong: names the field, the value and the remedy
    ├── DataError
    │   ├── CatalogueError     a catalogue is missing, damaged, or asked for a field it has not
    │   ├── ImportRejected     a catalogue import was refused as a whole; nothing was changed
    │   └── DatasetError       a data set is missing, has a wrong hash or a wrong format
    ├── ModelError
    │   ├── UnknownModelError  no model of that name in the registry
    │   └── ModelPullError     no source delivered a file with the registered hash
    ├── LLMError
    │   ├── LLMUnavailable     no backend, server gone, model file missing
    │   ├── LLMTimeout         the backend did not answer in time
    │   └── LLMBadOutput       the answer was cut off, empty or not of the asked-for form
    ├── TurnStopped            whoever asked for the turn has left or waits no longer; no failure of the model
    ├── ToolError
    │   ├── ToolRetry          the arguments are wrong: correct them and call again
    │   └── ToolFailed         the tool cannot do it: plan around it
    ├── MemoryStoreError       the preference or session store cannot be opened, read or written
    └── ClientError            a call of convrec.Client did not succeed
        ├── ServerUnreachable  no server, it did not answer in time, or what it sent is no answer
        └── ApiError           the server refused or failed: status, code, the field that is wrong
            └── ApiBusy        too many requests, or it is going down: come back in retry_after seconds

A message says what was given, what was expected and what to do.
"""

from __future__ import annotations


class ConvrecError(Exception):
    """Base of all errors that convrec raises on purpose; its text is fit to be shown to a user."""


class SettingsError(ConvrecError):
    """A setting has a wrong name, type or value."""


class MissingExtraError(ConvrecError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str, what_for: str) -> None:
        self.library, self.extra = library, extra
        super().__init__(f"{what_for} needs {library}, which is not installed. Run: pip install 'convrec[{extra}]'")


class RequestError(ConvrecError):
    """A caller's input is wrong."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        self.field, self.value, self.remedy = field, value, remedy
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{field}: got {shown}. {remedy}")


class DataError(ConvrecError):
    """Something is wrong with data on disk."""


class CatalogueError(DataError):
    """A catalogue is missing, damaged, or asked for a field it has not."""


class ImportRejected(DataError):
    """A catalogue import was refused as a whole; nothing was changed."""


class DatasetError(DataError):
    """A data set is missing, has a wrong hash or a wrong format."""


class ModelError(ConvrecError):
    """Something is wrong with a registered model."""


class UnknownModelError(ModelError):
    """No model of that name in the registry."""


class ModelPullError(ModelError):
    """No source delivered a file with the registered hash."""


class LLMError(ConvrecError):
    """A language model did not do its part of the turn."""


class LLMUnavailable(LLMError):
    """No backend, server gone, or model file missing."""


class LLMTimeout(LLMError):
    """The backend did not answer in time."""


class LLMBadOutput(LLMError):
    """The answer was cut off, empty or not of the asked-for form."""


class TurnStopped(ConvrecError):
    """Whoever asked for a turn has left or waits no longer: its calls to a language model are cut short.

    No LLMError, so that nobody takes over for the model and goes on."""

    def __init__(self) -> None:
        super().__init__("the turn was stopped")


class ToolError(ConvrecError):
    """A tool call did not succeed."""


class ToolRetry(ToolError):
    """The arguments are wrong: correct them and call again."""


class ToolFailed(ToolError):
    """The tool cannot do it: plan around it."""


class MemoryStoreError(ConvrecError):
    """The preference or session store cannot be opened, read or written."""


class ClientError(ConvrecError):
    """A call of ``convrec.Client`` did not succeed."""


class ServerUnreachable(ClientError):
    """No server, it did not answer in time, or what it sent is no answer of this API."""


class ApiError(ClientError):
    """The server refused a request or failed at it.

    Attributes:
        status: of HTTP; 200 when a stream broke off with an error.
        code: the server's word for it, as "invalid_value" or "model_not_found".
        field: the field that is wrong, as "messages[0].content"; None when it is no field's fault.
        request_id: what finds the request in the server's log.
        retry_after: when to come back, seconds; None when the server did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        field: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status, self.code, self.field = status, code, field
        self.request_id, self.retry_after = request_id, retry_after
        super().__init__(message)


class ApiBusy(ApiError):
    """Too many requests (429), or the server is going down (503): come back in ``retry_after`` seconds."""
