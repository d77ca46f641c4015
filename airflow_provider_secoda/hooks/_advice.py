"""What a person can do about an error of a connection test, in a sentence."""

from __future__ import annotations

from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
    SecodaLimitError,
    SecodaNotFoundError,
    SecodaPermissionError,
    SecodaRedirectError,
    SecodaResponseError,
    SecodaTimeoutError,
    SecodaTLSError,
)

_ADVICE: tuple[tuple[type[SecodaError], str], ...] = (
    (SecodaConfigurationError, "The connection is not filled in right."),
    (SecodaAuthenticationError, "Wrong API key: put a valid one into the connection."),
    (
        SecodaPermissionError,
        "The API key is valid, but the person who made it is no workspace admin: let an admin make one.",
    ),
    (SecodaNotFoundError, "There is no Secoda API at this address: check the region, or the host."),
    (SecodaRedirectError, "This address redirects elsewhere: set the host to where it leads."),
    (SecodaLimitError, "The answer is more than this connection allows: check the host, or raise the limit."),
    (SecodaResponseError, "What answers at this address is no Secoda API: check the region, or the host."),
    (SecodaTimeoutError, "No answer in time: check the host, the proxy and the firewall."),
)
_ADVICE_BY_REASON = {
    "certificate": "The server's certificate is not trusted: set the extra `verify` to the path of your CA bundle.",
    "protocol": "There is no https at this address: check the host and its port.",
    "dns": "There is no such host: check the region, the customer domain, or the host.",
    "proxy": "The proxy does not let us through: check the extra `proxy` and the environment's proxy settings.",
    "refused": "Nothing listens at this address: check the host and its port.",
    "broken": "The connection broke: check the host, the proxy and the firewall.",
}


def explain(error: SecodaError) -> str:
    """Return in one sentence what a person can do about an error of a connection test."""
    if isinstance(error, SecodaConnectionError | SecodaTLSError):
        return _ADVICE_BY_REASON[error.reason]
    return next((text for kind, text in _ADVICE if isinstance(error, kind)), "Secoda could not answer.")
