"""Pytest fixtures for the sandbox; pytest loads this module wherever the provider is installed.

It imports only pytest until a fixture is used, because most test runs use none.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.sandbox import Sandbox, Workspace

__all__ = ["SandboxFactory", "secoda_sandbox", "secoda_sandbox_factory"]

_CONNECTION = "AIRFLOW_CONN_SECODA_DEFAULT"


class SandboxFactory(Protocol):
    """Type of the fixture ``secoda_sandbox_factory``: takes the arguments of :class:`Sandbox`, and starts it."""

    def __call__(self, workspace: Workspace | None = None, **options: Any) -> Sandbox:
        """Return a running sandbox, which stops after the test."""


@pytest.fixture
def secoda_sandbox_factory(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxFactory]:
    """Return a function that starts sandboxes; the first one is the connection ``secoda_default``."""
    sandbox_class = _import_sandbox()
    with ExitStack() as running:
        is_set = False

        def start(workspace: Workspace | None = None, **options: Any) -> Sandbox:
            nonlocal is_set
            sandbox: Sandbox = running.enter_context(sandbox_class(workspace, **options))
            if not is_set:
                monkeypatch.setenv(_CONNECTION, sandbox.connection_json)
                is_set = True
            return sandbox

        yield start


@pytest.fixture
def secoda_sandbox(secoda_sandbox_factory: SandboxFactory) -> Sandbox:
    """Serve a workspace of 5,000 logs as the connection ``secoda_default`` during the test."""
    return secoda_sandbox_factory()


def _import_sandbox() -> type[Sandbox]:
    try:
        from airflow_provider_secoda.sandbox import Sandbox  # noqa: PLC0415 - see the module's docstring
    except ImportError as error:
        pytest.fail(str(error), pytrace=False)
    return Sandbox
