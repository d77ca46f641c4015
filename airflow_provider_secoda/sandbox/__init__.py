"""A Secoda-shaped server on loopback: for demos, and for testing your own DAGs without a workspace.

It is written from Secoda's published reference alone and shares no code with the provider's client, so that
two readings of the same document check each other. Needs the extra ``sandbox`` (starlette and uvicorn)::

    from airflow_provider_secoda.sandbox import Sandbox, Workspace

    with Sandbox(Workspace.generate(seed=7, logs=5000)) as sandbox:
        os.environ["AIRFLOW_CONN_SECODA_DEFAULT"] = sandbox.connection_json

Nothing is imported before it is used: pytest loads this package in every run, with or without the extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_secoda.sandbox.faults import Faults
    from airflow_provider_secoda.sandbox.server import Sandbox
    from airflow_provider_secoda.sandbox.workspace import Workspace

__all__ = ["Faults", "Sandbox", "Workspace"]

_HOMES = {"Faults": "faults", "Sandbox": "server", "Workspace": "workspace"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
