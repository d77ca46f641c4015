"""The errors of the client, grouped by what a caller can do about them.

::

    SecodaError
    ├── SecodaConfigurationError    the connection or an argument is wrong: change it
    ├── SecodaFatalError            a retry cannot fix it
    │   ├── SecodaAuthenticationError   401: the key is wrong, revoked, or of another region
    │   ├── SecodaPermissionError       403: the user who created the key lacks the permission
    │   ├── SecodaNotFoundError         404: the address or the resource does not exist
    │   ├── SecodaRequestError          any other 4xx: the request is refused
    │   ├── SecodaRedirectError         a redirect to another origin, which would send the key there
    │   ├── SecodaTLSError              the server's certificate is not trusted, or it does not use TLS
    │   └── SecodaLimitError            a response larger than ``setting`` allows: a retry would be as large
    ├── SecodaRetriableError        the same request may succeed later
    │   ├── SecodaRateLimitError        429; ``retry_after`` in seconds if the server sent it
    │   ├── SecodaServerError           5xx
    │   ├── SecodaConnectionError       no connection, or it broke
    │   ├── SecodaTimeoutError          no response in time
    │   └── SecodaResponseError         200, but not Secoda's JSON (truncated, or a login page); ``path`` says where
    └── SecodaIncompleteError       it cannot be proven that no log is missing

Every error can be pickled, and none contains the API key, a header or a request object.
"""

from __future__ import annotations

__all__ = [
    "SecodaAuthenticationError",
    "SecodaConfigurationError",
    "SecodaConnectionError",
    "SecodaError",
    "SecodaFatalError",
    "SecodaIncompleteError",
    "SecodaLimitError",
    "SecodaNotFoundError",
    "SecodaPermissionError",
    "SecodaRateLimitError",
    "SecodaRedirectError",
    "SecodaRequestError",
    "SecodaResponseError",
    "SecodaRetriableError",
    "SecodaServerError",
    "SecodaTLSError",
    "SecodaTimeoutError",
]


class SecodaError(Exception):
    """Base of all errors of this client."""

    @property
    def retriable(self) -> bool:
        """Whether the same request may succeed later without any change."""
        return isinstance(self, SecodaRetriableError)


class SecodaConfigurationError(SecodaError):
    """The connection or an argument is wrong; the message names the field to set or to change."""


class SecodaFatalError(SecodaError):
    """A retry cannot fix the error; ``status`` is the response's HTTP status, if there was a response."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SecodaAuthenticationError(SecodaFatalError):
    """401: the API key is wrong, revoked, or of another region."""


class SecodaPermissionError(SecodaFatalError):
    """403: the user who created the key lacks the permission; audit logs need a workspace admin."""


class SecodaNotFoundError(SecodaFatalError):
    """404: the address, the page or the resource does not exist."""


class SecodaRequestError(SecodaFatalError):
    """Any other 4xx: the server understood the request and refuses it."""


class SecodaRedirectError(SecodaFatalError):
    """A redirect to another origin, which was not followed, because the API key would be sent there."""


class SecodaTLSError(SecodaFatalError):
    """No secure connection; ``reason`` is ``certificate`` (not verified) or ``protocol`` (the server uses no TLS)."""

    def __init__(self, message: str, *, status: int | None = None, reason: str = "certificate") -> None:
        super().__init__(message, status=status)
        self.reason = reason


class SecodaLimitError(SecodaFatalError):
    """A response is larger or nested deeper than allowed, and a retry would be too; ``setting`` is what to raise."""

    def __init__(self, message: str, *, status: int | None = None, setting: str = "") -> None:
        super().__init__(message, status=status)
        self.setting = setting


class SecodaRetriableError(SecodaError):
    """The same request may succeed later; ``retry_after`` is in seconds, if the server sent it."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class SecodaRateLimitError(SecodaRetriableError):
    """429: too many requests."""


class SecodaServerError(SecodaRetriableError):
    """5xx: the server failed."""


class SecodaConnectionError(SecodaRetriableError):
    """The server cannot be reached, or the connection broke; ``reason`` is dns, proxy, refused or broken."""

    def __init__(self, message: str, *, reason: str = "broken") -> None:
        super().__init__(message)
        self.reason = reason


class SecodaTimeoutError(SecodaRetriableError):
    """No response within the timeout."""


class SecodaResponseError(SecodaRetriableError):
    """A response that is not of the documented shape; ``path`` is the JSON path of the first problem.

    ``complete`` says that it is a complete page with a value in it that cannot be used, so that the next response will
    most likely have it, too: the client sends the request once more only.
    """

    def __init__(self, message: str, *, path: str = "$", status: int | None = None, complete: bool = False) -> None:
        super().__init__(message, status=status)
        self.path = path
        self.complete = complete


class SecodaIncompleteError(SecodaError):
    """It cannot be proven that every log of the window was read; the message says what was observed."""
