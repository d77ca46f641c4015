"""Read Secoda's audit logs and version histories, from a script or a notebook too: nothing here imports Airflow.

::

    from airflow_provider_secoda.client import SecodaClient, exact

    with SecodaClient("YOUR-KEY", "https://eapi.secoda.co") as client:
        for batch in client.iter_logs(start, end, filter=exact("performer_type", "USER")):
            ...

The names below are imported on first use: DAG files import parts of this package, and must not load an HTTP library.
"""

# ruff: noqa: F403, F405 - `__all__` below names everything, also what these imports are for

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.endpoint import Limits
    from airflow_provider_secoda.client._http.retry import RetryPolicy
    from airflow_provider_secoda.client.aio import AsyncSecodaClient
    from airflow_provider_secoda.client.errors import *
    from airflow_provider_secoda.client.filters import *
    from airflow_provider_secoda.client.sync import SecodaClient

__all__ = [
    "AsyncSecodaClient",
    "Filter",
    "Limits",
    "Log",
    "RetryPolicy",
    "SecodaAuthenticationError",
    "SecodaClient",
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
    "Sort",
    "all_of",
    "any_of",
    "contains",
    "exact",
    "is_set",
    "none_of",
    "one_of",
]

_MODULES = {
    "AsyncSecodaClient": "aio",
    "Filter": "filters",
    "Limits": "_api.endpoint",
    "Log": "_api.audit_log_page",
    "RetryPolicy": "_http.retry",
    "SecodaClient": "sync",
    "Sort": "filters",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES.get(name) or ("errors" if name.endswith("Error") else "filters")
    return getattr(import_module(f"{__name__}.{module}"), name)
