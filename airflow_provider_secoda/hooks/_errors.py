"""Name the connection in an error, and fail a task without a retry where a retry cannot help."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaError, SecodaFatalError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def final_errors_fail(*, configuration: bool = True) -> Iterator[None]:
    """Raise errors that neither waiting nor a retry can fix as ``AirflowFailException``: the task is not retried.

    The original error is its ``__cause__``.

    :param configuration: whether a wrong connection or argument is such an error too
    """
    kinds = (SecodaFatalError, SecodaConfigurationError) if configuration else (SecodaFatalError,)
    try:
        yield
    except kinds as error:
        raise AirflowFailException(str(error)) from error


@contextmanager
def connection_named(secoda_conn_id: str) -> Iterator[None]:
    """Add the connection to the message of an error, if it is not there yet."""
    try:
        yield
    except SecodaError as error:
        text, name = str(error), f"connection {secoda_conn_id!r}"
        if not text.startswith(name):
            error.args = (f"{name}: {text}",)
        raise
