"""Deprecation warnings are errors on the newest Airflow: in our code, and in how our code uses Airflow.

Warnings that libraries cause themselves are listed one by one, with the reason. Remove those that are gone.
"""

from __future__ import annotations

NEWEST = (3, 3)
_ERRORS = (
    "error::DeprecationWarning",  # RemovedInAirflow4Warning, AirflowProviderDeprecationWarning and others are such
    "error::PendingDeprecationWarning",
    "error::FutureWarning",  # so Airflow calls DeprecatedImportWarning
    "error:.*[dD]eprecated:UserWarning",  # so Starlette and FastAPI
)
#: As pytest writes filters: action, the text's beginning, category.
FOREIGN = (
    # Airflow reads .airflowignore files, ours for the tests among them, with a name that pathspec 1.0 deprecated.
    "ignore:GitWildMatchPattern:DeprecationWarning",
    # Airflow's Connection.test_connection calls Airflow's providers manager in a deprecated way.
    "ignore:ProvidersManager.hooks is deprecated:FutureWarning",
    # Airflow serves tasks of dag.test() by FastAPI's TestClient, which still uses httpx.
    "ignore:Using `httpx` with `starlette.testclient` is deprecated:UserWarning",
)


def filters(version: tuple[int, ...] | None) -> tuple[str, ...]:
    """Return the warning filters for a version of Airflow (None: not installed); the last one that matches applies."""
    return _ERRORS + FOREIGN if version is not None and version >= NEWEST else ()
