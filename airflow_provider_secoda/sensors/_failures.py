"""Errors, made into what Airflow does about them: alike in all modes, and on all Airflows."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
)

from airflow_provider_secoda._compat import AirflowRescheduleException
from airflow_provider_secoda.sensors._arguments import timeout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

#: What :meth:`~..triggers.wait.Wait.add_context` adds to an error that has it.
_RETRY_AFTER = re.compile(r" \(Retry-After: (\d+(?:\.\d+)?) s\)$")
_LAST_LINE = re.compile(r"^(?:[\w.]+\.)?(Secoda\w+Error|AirflowNotFoundException): (.+)$")


@contextmanager
def final_errors_fail() -> Iterator[None]:
    """Let errors that neither waiting nor a retry can mend fail the task for good."""
    from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaFatalError  # noqa: PLC0415

    try:
        yield
    except (SecodaFatalError, SecodaConfigurationError) as error:
        raise AirflowFailException(str(error)) from error


@contextmanager
def apply_soft_fail(sensor: BaseSensorOperator) -> Iterator[None]:
    """Apply a sensor's ``soft_fail`` and ``never_fail``.

    Airflow does so in ways that differ between modes and from version to version: ``soft_fail`` is for a timeout and
    for what fails for good, ``never_fail`` for every error.
    """
    try:
        with final_errors_fail():
            yield
    except (AirflowSkipException, AirflowRescheduleException):
        raise
    except Exception as error:
        soft = sensor.soft_fail and isinstance(error, AirflowSensorTimeout | AirflowFailException)
        if soft or sensor.never_fail:
            name = "soft_fail" if soft else "never_fail"
            raise AirflowSkipException(f"Skipped, as {name} is set: {error}") from error
        raise


def raised_in_trigger(next_kwargs: Mapping[str, Any]) -> Exception | None:
    """Return the error that ended the trigger, of its own kind and with its text; None for one that is not known.

    Airflow hands over the text of a traceback, no more.

    :param next_kwargs: what Airflow resumes a failed deferral with: ``traceback`` holds pieces of text
    """
    from airflow_provider_secoda.client import errors  # noqa: PLC0415 - DAG files are parsed often

    pieces = next_kwargs.get("traceback")
    lines = "".join(str(piece) for piece in pieces).strip().splitlines() if isinstance(pieces, list) else []
    found = _LAST_LINE.match(lines[-1]) if lines else None
    if found is None:
        return None
    if found[1] == AirflowNotFoundException.__name__:
        missing: Exception = AirflowNotFoundException(found[2])
        return missing
    kind = getattr(errors, found[1], None)
    if not isinstance(kind, type) or not issubclass(kind, errors.SecodaError):
        return None
    error = kind(found[2])
    asked = _RETRY_AFTER.search(found[2])
    if asked is not None and isinstance(error, errors.SecodaRetriableError):
        error.retry_after = float(asked[1])
    return error


def timed_out(next_kwargs: Mapping[str, Any]) -> bool:
    """Return whether the deferral ended as its time was up; Airflow 2.11 and 3 say so in different words."""
    return next_kwargs.get("traceback") is None and "timeout" in str(next_kwargs.get("error", "")).lower()


def check_execution_timeout(sensor: SecodaVersionHistorySensor, next_kwargs: Mapping[str, Any]) -> None:
    """Raise what an execution timeout is in the other modes, where it may be that which ended the deferral.

    Airflow 2 counts it for deferrals, and says so.
    """
    limit = sensor.execution_timeout
    counts = sensor.start_from_trigger or "execution" in str(next_kwargs.get("error", "")).lower()
    if counts and limit is not None and limit < timeout(sensor):
        raise AirflowTaskTimeout(f"No new version of resource {sensor.resource_id} within execution_timeout, {limit}")
