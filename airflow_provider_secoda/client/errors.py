"""What can go wrong with Secoda, told apart by what one can do about it.

::

    SecodaError
    ├── SecodaConfigurationError    the connection or an argument: change it
    ├── SecodaFatalError            no retry mends it
    │   ├── SecodaAuthenticationError   401: the key is wrong or revoked
    │   ├── SecodaPermissionError       403: the key's maker may not do this
    │   ├── SecodaNotFoundError         404: no such thing here
    │   ├── SecodaRequestError          any other 4xx: the request is refused
    │   ├── SecodaRedirectError         a redirect to another origin, which would take the key along
    │   ├── SecodaTLSError              the server's certificate is not trusted, or it speaks no TLS
    │   └── SecodaLimitError            an answer larger than ``setting`` allows: it would be as large again
    ├── SecodaRetriableError        the same request may succeed later
    │   ├── SecodaRateLimitError        429; ``retry_after`` in seconds where the server said it
    │   ├── SecodaServerError           5xx
    │   ├── SecodaConnectionError       no connection, or it broke
    │   ├── SecodaTimeoutError          no answer in time
    │   └── SecodaResponseError         200, but not a Secoda answer (cut, or a login page); ``path`` says where
    └── SecodaIncompleteError       the listing did not let us prove that nothing is missing

Every error can be pickled, and none carries the API key, a header or a request object.
"""

from __future__ import annotations


class SecodaError(Exception):
    """Base of all errors of this client."""

    @property
    def retriable(self) -> bool:
        """Whether the same request may succeed later without anybody changing anything."""
        return isinstance(self, SecodaRetriableError)


class SecodaConfigurationError(SecodaError):
    """The connection or an argument is wrong; the text names the field to fill."""


class SecodaFatalError(SecodaError):
    """The server's answer is final: retrying cannot help."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SecodaAuthenticationError(SecodaFatalError):
    """401: the API key is wrong or revoked."""


class SecodaPermissionError(SecodaFatalError):
    """403: the person who made the key may not do this; audit logs are for workspace admins."""


class SecodaNotFoundError(SecodaFatalError):
    """404: the address, the page or the resource does not exist."""


class SecodaRequestError(SecodaFatalError):
    """Any other 4xx: the server understood the request and refuses it."""


class SecodaRedirectError(SecodaFatalError):
    """A redirect that would have taken the API key to another origin; it was not followed."""


class SecodaTLSError(SecodaFatalError):
    """No safe connection; ``reason`` is certificate (it could not be verified) or protocol (it is no TLS we know)."""

    def __init__(self, message: str, *, status: int | None = None, reason: str = "certificate") -> None:
        super().__init__(message, status=status)
        self.reason = reason


class SecodaLimitError(SecodaFatalError):
    """An answer is larger or nested deeper than allowed, as it will be again; ``setting`` is what to raise."""

    def __init__(self, message: str, *, status: int | None = None, setting: str = "") -> None:
        super().__init__(message, status=status)
        self.setting = setting


class SecodaRetriableError(SecodaError):
    """The same request may succeed later."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        #: Seconds that the server asked to wait, when it did.
        self.retry_after = retry_after


class SecodaRateLimitError(SecodaRetriableError):
    """429: too many requests."""


class SecodaServerError(SecodaRetriableError):
    """5xx: the server failed."""


class SecodaConnectionError(SecodaRetriableError):
    """The server could not be reached, or the connection broke; ``reason`` is dns, proxy, refused or broken."""

    def __init__(self, message: str, *, reason: str = "broken") -> None:
        super().__init__(message)
        self.reason = reason


class SecodaTimeoutError(SecodaRetriableError):
    """No answer within the timeout."""


class SecodaResponseError(SecodaRetriableError):
    """A 2xx answer that is not of the documented shape; ``path`` is the JSON path of the first decode_error."""

    def __init__(self, message: str, *, path: str = "$", status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.path = path


class SecodaIncompleteError(SecodaError):
    """It could not be proven that every log of the window was seen; the text says what was seen instead."""
