"""What to do about an error: fail the task without a retry, or say what to change."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda.client import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINTS: tuple[tuple[type[errors.SecodaError], str], ...] = (
    (errors.SecodaConfigurationError, "The connection is not set up correctly."),
    (errors.SecodaAuthenticationError, "The API key is wrong: set a valid one."),
    (
        errors.SecodaPermissionError,
        "The API key is valid, but the user who created it is not a workspace admin: let an admin create one.",
    ),
    (errors.SecodaNotFoundError, "There is no Secoda API at this address: check the region or the host."),
    (errors.SecodaRedirectError, "This address redirects to another one: set the host to the address it redirects to."),
    (errors.SecodaLimitError, "The response exceeds a limit of this connection: check the host, or raise the limit."),
    (errors.SecodaResponseError, "The server at this address is not a Secoda API: check the region or the host."),
    (errors.SecodaTimeoutError, "No response in time: check the host, the proxy and the firewall."),
)
_HINTS_BY_REASON = {
    "certificate": "The server's certificate is not trusted: set the extra `verify` to the path of your CA bundle.",
    "protocol": "The server does not use HTTPS at this address: check the host and its port.",
    "dns": "The host name could not be resolved: check the region, the customer domain or the host.",
    "proxy": "The proxy refuses or cannot be reached: check the extra `proxy` and the environment's proxy settings.",
    "refused": "No server listens at this address: check the host and its port.",
    "broken": "The connection broke: check the host, the proxy and the firewall.",
}


def hint_for(error: errors.SecodaError) -> str:
    """Return one sentence that says what a user can do about an error of a connection test."""
    if isinstance(error, errors.SecodaConnectionError | errors.SecodaTLSError):
        return _HINTS_BY_REASON[error.reason]
    return next((text for kind, text in _HINTS if isinstance(error, kind)), "Secoda could not answer.")


@contextmanager
def final_errors_fail(*, configuration: bool = True) -> Iterator[None]:
    """Raise errors that neither waiting nor a retry can fix as ``AirflowFailException``: the task is not retried.

    The original error is its ``__cause__``.

    :param configuration: whether a wrong connection or argument is such an error too
    """
    kinds = (errors.SecodaFatalError, errors.SecodaConfigurationError) if configuration else (errors.SecodaFatalError,)
    try:
        yield
    except kinds as error:
        raise AirflowFailException(str(error)) from error
