"""Check the sensor's arguments when the DAG is parsed, and prepare a start in the triggerer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import check_count, check_match, check_text, parse_datetime
from airflow_provider_secoda._compat import run_fact
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

TRIGGER = "airflow_provider_secoda.triggers.secoda.SecodaVersionHistoryTrigger"
#: What :func:`run_due_at` returns, as a template: Airflow renders it for a task that starts in the triggerer.
RUN_DUE_AT = (
    "{{ data_interval_end if data_interval_end is defined and data_interval_end else "
    "(dag_run.run_after or dag_run.start_date) }}"
)
#: The longest timeout in seconds (100 years): a datetime cannot hold a deadline that is much later.
_LONGEST = 100 * 365 * 86_400.0


def is_being_unmapped(task: Any) -> bool:
    """Return whether Airflow creates a task from a mapped one: then the task starts, and no DAG is parsed."""
    return bool(getattr(task, "_BaseOperator__from_mapped", False))


def check_arguments(
    secoda_conn_id: Any,
    resource_id: Any,
    since: Any,
    since_version_id: Any,
    match: Any,
    max_consecutive_failures: Any,
) -> None:
    """Check arguments, except templates and results of other tasks: they are checked when the task starts.

    :raises ValueError: when an argument is wrong; the message names it
    """
    for name, value in (("secoda_conn_id", secoda_conn_id), ("resource_id", resource_id)):
        if _is_known(value):
            check_text(name, value)
    if since_version_id is not None and _is_known(since_version_id):
        check_text("since_version_id", since_version_id)
    if since is not None and since_version_id is not None:
        raise ValueError("`since` and `since_version_id` exclude each other: pass one of them")
    if since is not None and _is_known(since):
        parse_datetime("since", since)
    check_match(match)
    check_count("max_consecutive_failures", max_consecutive_failures)


def run_due_at(context: Mapping[str, Any]) -> datetime:
    """Return when a run was due, in UTC: the end of its data interval, else its ``run_after``, else its start.

    :raises SecodaConfigurationError: when the run has none of them
    """
    for name in ("data_interval_end", "run_after", "start_date"):
        if (value := run_fact(context, name)) is not None:
            return parse_datetime("since", value)
    raise SecodaConfigurationError("Pass `since`: the run has no data_interval_end, run_after or start_date")


def start_trigger_args(wait: Mapping[str, Any], *, end_task: bool, timeout: timedelta) -> Any:
    """Return Airflow's ``StartTriggerArgs`` for the sensor's trigger; None where Airflow cannot use them.

    Airflow can since 3.3, and renders templates in the triggerer, but does not resolve results of other tasks there.

    :param wait: the trigger's arguments that specify the wait
    :param end_task: whether the trigger ends the task, and no worker is needed
    """
    from airflow_provider_secoda._compat import starts_from_trigger  # noqa: PLC0415

    if not starts_from_trigger() or any(_is_task_result(value) for value in wait.values()):
        return None
    from airflow.triggers.base import StartTriggerArgs  # noqa: PLC0415

    return StartTriggerArgs(
        trigger_cls=TRIGGER,
        trigger_kwargs={**wait, "end_task": end_task},
        next_method="execute_complete",
        timeout=timeout,
    )


def to_timedelta(seconds: float) -> timedelta:
    """Return a timeout as a timedelta, at most 100 years."""
    return timedelta(seconds=min(float(seconds), _LONGEST))


def to_seconds(value: timedelta | float | None) -> float | None:
    """Return a duration in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))


def _is_known(value: Any) -> bool:
    """Return whether a value is final: neither a template nor a result of another task."""
    return not _is_template(value) and not _is_task_result(value)


def _is_task_result(value: Any) -> bool:
    return callable(getattr(value, "resolve", None))
