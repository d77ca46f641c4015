"""Pytest fixtures that serve a sandbox to your tests; loaded by pytest wherever this provider is installed.

Nothing but pytest is imported until a fixture is used, since most test runs never use one.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.sandbox import Sandbox, Workspace

_CONNECTION = "AIRFLOW_CONN_SECODA_DEFAULT"


class SandboxFactory(Protocol):
    """What the fixture ``secoda_sandbox_factory`` is: like :class:`Sandbox`, but it runs already."""

    def __call__(self, workspace: Workspace | None = None, **options: Any) -> Sandbox:
        """Return a running sandbox, which stops at the end of the test."""


@pytest.fixture
def secoda_sandbox_factory(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxFactory]:
    """Start sandboxes with arguments of your own; the first one becomes the connection ``secoda_default``."""
    sandbox_class = _import_sandbox()
    with ExitStack() as running:
        taken = False

        def start(workspace: Workspace | None = None, **options: Any) -> Sandbox:
            nonlocal taken
            sandbox: Sandbox = running.enter_context(sandbox_class(workspace, **options))
            if not taken:
                monkeypatch.setenv(_CONNECTION, sandbox.connection_json)
                taken = True
            return sandbox

        yield start


@pytest.fixture
def secoda_sandbox(secoda_sandbox_factory: SandboxFactory) -> Sandbox:
    """Serve a workspace of 5,000 logs as the connection ``secoda_default``, for the length of the test."""
    return secoda_sandbox_factory()


def _import_sandbox() -> type[Sandbox]:
    try:
        from airflow_provider_secoda.sandbox import Sandbox  # noqa: PLC0415 - see the module's docstring
    except ImportError as error:
        pytest.fail(str(error), pytrace=False)
    return Sandbox
