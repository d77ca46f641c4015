"""Apache Airflow provider for Secoda: audit logs of each data interval, complete, exactly once, as sent."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Airflow imports this package at every start, so it imports nothing before it is needed.
    if name == "__version__":
        from airflow_provider_secoda.get_provider_info import __version__  # noqa: PLC0415

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
