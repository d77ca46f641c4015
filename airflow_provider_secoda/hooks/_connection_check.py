"""Test a connection, for Airflow's form and for ``airflow connections test``; say what to change."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_secoda.client import errors
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.sync import SecodaClient

if TYPE_CHECKING:
    from airflow_provider_secoda.hooks.secoda import SecodaHook

_TIMEOUT = 15.0
_HINTS: tuple[tuple[type[errors.SecodaError], str], ...] = (
    (errors.SecodaConfigurationError, "The connection is not set up correctly."),
    (
        errors.SecodaAuthenticationError,
        "The API key is wrong: set a valid one. A key is valid in one region only: check the region and the host, too.",
    ),
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
_MARKUP = re.compile(r"\[([a-z#/@][^\[\]]*)\]")


def check_connection(hook: SecodaHook) -> tuple[bool, str]:
    """Read page 1 of the audit logs; return whether that succeeded, and a message that says what to do if not."""
    try:
        settings = hook.settings
        settings.check_extras()
        endpoint = settings.endpoint
        endpoint = replace(endpoint, timeout=min(endpoint.timeout, _TIMEOUT))
        with SecodaClient.from_endpoint(endpoint, RetryPolicy(attempts=1)) as client:
            page = client.list_audit_logs()
    except errors.SecodaError as exc:
        # Airflow tests a copy of the connection with a random id, which is of no use in the message.
        detail = str(exc).removeprefix(f"connection {hook.secoda_conn_id!r}: ")
        return False, without_markup(f"{_hint_for(exc)} ({detail})")
    unverified = " (the server's certificate was not verified)" if endpoint.verify is False else ""
    found = f"the workspace has {page['count']} audit logs{unverified}"
    return True, without_markup(f"Connected to Secoda at {settings.base_url}: {found}")


def without_markup(text: str) -> str:
    """Return a message without ``[word]``: Airflow's command prints it with Rich, which removes that as markup."""
    text, before = re.sub(r"\\+\[", "[", text), ""
    while text != before:
        text, before = _MARKUP.sub(r"(\1)", text), text
    return text


def _hint_for(error: errors.SecodaError) -> str:
    """Return one sentence that says what a user can do about an error."""
    if isinstance(error, errors.SecodaConnectionError | errors.SecodaTLSError):
        return _HINTS_BY_REASON[error.reason]
    return next((text for kind, text in _HINTS if isinstance(error, kind)), "Secoda could not answer.")
