"""Test server with the two listings of Secoda's API, on loopback: for demos, and to test DAGs without a workspace.

It is written from Secoda's published reference alone and shares no code with the provider's client, so that the two
implementations check each other. It needs the extra ``sandbox`` (starlette and uvicorn)::

    from airflow_provider_secoda.sandbox import Sandbox, Workspace

    with Sandbox(Workspace.generate(seed=7, logs=5000)) as sandbox:
        os.environ["AIRFLOW_CONN_SECODA_DEFAULT"] = sandbox.connection_json

The names below are imported on first use: pytest loads this package in every run, with or without the extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_secoda.sandbox._faults import Faults
    from airflow_provider_secoda.sandbox._sandbox import Sandbox
    from airflow_provider_secoda.sandbox._server.request_log import RequestRecord
    from airflow_provider_secoda.sandbox._workspace.workspace import Workspace

__all__ = ["Faults", "RequestRecord", "Sandbox", "Workspace"]

_MODULES = {
    "Faults": "_faults",
    "RequestRecord": "_server.request_log",
    "Sandbox": "_sandbox",
    "Workspace": "_workspace.workspace",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
