"""What is deprecated is an error on the newest Airflow: in our code, and in how our code uses Airflow.

What libraries do among themselves is listed, one by one, with the reason; who finds one of them gone takes it off.
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
    # Airflow reads .airflowignore files, ours for the tests among them, by a name that pathspec 1.0 gave up.
    "ignore:GitWildMatchPattern:DeprecationWarning",
    # Airflow's Connection.test_connection asks Airflow's providers manager in a way that is deprecated there.
    "ignore:ProvidersManager.hooks is deprecated:FutureWarning",
    # Airflow serves tasks of dag.test() by FastAPI's TestClient, and that still goes by httpx.
    "ignore:Using `httpx` with `starlette.testclient` is deprecated:UserWarning",
)


def filters(version: tuple[int, ...] | None) -> tuple[str, ...]:
    """Return the filters of warnings for a version of Airflow; None is none at all. The last that fits counts."""
    return _ERRORS + FOREIGN if version is not None and version >= NEWEST else ()
