"""Errors of the client, by what a caller can do about them.

::

    SecodaError
    ├── SecodaConfigurationError    the connection or an argument is wrong: change it
    ├── SecodaFatalError            a retry cannot fix it
    │   ├── SecodaAuthenticationError   401: the key is wrong or revoked
    │   ├── SecodaPermissionError       403: the owner of the key may not do this
    │   ├── SecodaNotFoundError         404: the resource or page does not exist
    │   ├── SecodaRequestError          any other 4xx: the server rejects the request
    │   ├── SecodaRedirectError         a redirect to another origin, which would send the key there
    │   ├── SecodaTLSError              the server's certificate is not trusted, or TLS fails
    │   └── SecodaLimitError            a response larger than ``setting`` allows
    ├── SecodaRetriableError        the same request may succeed later
    │   ├── SecodaRateLimitError        429; ``retry_after`` in seconds if the server sent it
    │   ├── SecodaServerError           5xx
    │   ├── SecodaConnectionError       no connection, or it was interrupted
    │   ├── SecodaTimeoutError          no response in time
    │   └── SecodaResponseError         200, but truncated or not from Secoda's API; see ``path``
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
        """Whether the same request may succeed later without a change."""
        return isinstance(self, SecodaRetriableError)


class SecodaConfigurationError(SecodaError):
    """The connection or an argument is wrong; the text names the field to change."""


class SecodaFatalError(SecodaError):
    """The response is final: a retry cannot fix it."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SecodaAuthenticationError(SecodaFatalError):
    """401: the API key is wrong or revoked."""


class SecodaPermissionError(SecodaFatalError):
    """403: the owner of the key may not do this; only workspace admins can read audit logs."""


class SecodaNotFoundError(SecodaFatalError):
    """404: the address, the page or the resource does not exist."""


class SecodaRequestError(SecodaFatalError):
    """Any other 4xx: the server rejects the request."""


class SecodaRedirectError(SecodaFatalError):
    """A redirect that would have sent the API key to another origin; it was not followed."""


class SecodaTLSError(SecodaFatalError):
    """No secure connection; ``reason`` is certificate (not verified) or protocol (the TLS handshake failed)."""

    def __init__(self, message: str, *, status: int | None = None, reason: str = "certificate") -> None:
        super().__init__(message, status=status)
        self.reason = reason


class SecodaLimitError(SecodaFatalError):
    """A response is larger or nested deeper than allowed; ``setting`` is the setting to raise."""

    def __init__(self, message: str, *, status: int | None = None, setting: str = "") -> None:
        super().__init__(message, status=status)
        self.setting = setting


class SecodaRetriableError(SecodaError):
    """The same request may succeed later."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        #: Seconds to wait, from the header Retry-After; None if there was none.
        self.retry_after = retry_after


class SecodaRateLimitError(SecodaRetriableError):
    """429: too many requests."""


class SecodaServerError(SecodaRetriableError):
    """5xx: the server failed."""


class SecodaConnectionError(SecodaRetriableError):
    """The server could not be reached, or the connection was interrupted; ``reason``: dns, proxy, refused or broken."""

    def __init__(self, message: str, *, reason: str = "broken") -> None:
        super().__init__(message)
        self.reason = reason


class SecodaTimeoutError(SecodaRetriableError):
    """No response within the timeout."""


class SecodaResponseError(SecodaRetriableError):
    """A 2xx response that does not have the documented shape; ``path`` is the JSON path of the first difference."""

    def __init__(self, message: str, *, path: str = "$", status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.path = path


class SecodaIncompleteError(SecodaError):
    """It could not be proven that every log of the window was read; the text says what was seen instead."""
