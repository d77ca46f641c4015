"""Map errors to Airflow's exceptions in the same way in all modes and on all versions of Airflow."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_secoda._compat import AirflowRescheduleException
from airflow_provider_secoda.client import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.providers.common.compat.sdk import BaseSensorOperator

#: What the client adds to the message of an error that has a ``retry_after``.
_RETRY_AFTER = re.compile(r" \(Retry-After: (\d+(?:\.\d+)?) s\)$")
_LAST_LINE = re.compile(r"^(?:[\w.]+\.)?(Secoda\w+Error): (.+)$")


@contextmanager
def apply_soft_fail(task: BaseSensorOperator) -> Iterator[None]:
    """Skip the task instead of failing it.

    With ``soft_fail`` after a timeout, and after an error that fails the task without a retry; with ``never_fail``
    after every error. Airflow does this itself, but differently between modes and versions.
    """
    from airflow_provider_secoda.hooks._errors import final_errors_fail  # noqa: PLC0415 - DAG files are parsed often

    try:
        with final_errors_fail():
            yield
    except (AirflowSkipException, AirflowRescheduleException):
        raise
    except Exception as error:
        soft = task.soft_fail and isinstance(error, AirflowSensorTimeout | AirflowFailException)
        if soft or task.never_fail:
            name = "soft_fail" if soft else "never_fail"
            raise AirflowSkipException(f"Skipped, as {name} is set: {error}") from error
        raise


def raised_in_trigger(next_kwargs: Mapping[str, Any]) -> Exception | None:
    """Return the error that ended the trigger, of the same class and with the same message; None for other errors.

    Airflow passes only the text of the traceback.

    :param next_kwargs: what Airflow resumes a failed deferral with; ``traceback`` is a list of strings
    """
    pieces = next_kwargs.get("traceback")
    lines = "".join(str(piece) for piece in pieces).strip().splitlines() if isinstance(pieces, list) else []
    found = _LAST_LINE.match(lines[-1]) if lines else None
    if found is None:
        return None
    kind = getattr(errors, found[1], None)
    if not isinstance(kind, type) or not issubclass(kind, errors.SecodaError):
        return None
    error = kind(found[2])
    retry_after = _RETRY_AFTER.search(found[2])
    if retry_after is not None and isinstance(error, errors.SecodaRetriableError):
        error.retry_after = float(retry_after[1])
    return error


def timed_out(next_kwargs: Mapping[str, Any]) -> bool:
    """Return whether Airflow ended the deferral because of its timeout; Airflow 2.11 and 3 use different messages."""
    return next_kwargs.get("traceback") is None and "timeout" in str(next_kwargs.get("error", "")).lower()
