"""The sensor's arguments: what can be checked when the DAG is parsed, and what they become in the triggerer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import check_count, check_match, check_text, parse_datetime
from airflow_provider_secoda._compat import run_fact
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

TRIGGER = "airflow_provider_secoda.triggers.secoda.SecodaVersionHistoryTrigger"
#: What :func:`due` returns, as a template: a task that starts in the triggerer is rendered there.
_DUE = (
    "{{ data_interval_end if data_interval_end is defined and data_interval_end else "
    "(dag_run.run_after or dag_run.start_date) }}"
)
#: Seconds; timeouts beyond this many years would leave the calendar.
_LONGEST = 100 * 365 * 86_400.0


def is_being_unmapped(sensor: SecodaVersionHistorySensor) -> bool:
    """Return whether a sensor is made of a mapped one: then the task starts, and no DAG is parsed any more."""
    return bool(getattr(sensor, "_BaseOperator__from_mapped", False))


def check_arguments(sensor: SecodaVersionHistorySensor) -> None:
    """Check what is known when the DAG is parsed; templates and other tasks' results are checked when the task starts.

    :raises ValueError: naming the argument
    """
    for name in ("secoda_conn_id", "resource_id", "since_version_id"):
        value = getattr(sensor, name)
        if value is None and name == "since_version_id":
            continue
        if _known(value):
            check_text(name, value)
    if sensor.since is not None and sensor.since_version_id is not None:
        raise ValueError("`since` and `since_version_id` exclude each other: give one of them")
    if sensor.since is not None and _known(sensor.since):
        parse_datetime("since", sensor.since)
    check_match(sensor.match)
    check_count("max_consecutive_failures", sensor.max_consecutive_failures)


def due(context: Mapping[str, Any]) -> datetime:
    """Return the moment at which a run was due: the end of its data interval, else its ``run_after``, else its start.

    :raises SecodaConfigurationError: when the run has none of them
    """
    for name in ("data_interval_end", "run_after", "start_date"):
        if (moment := run_fact(context, name)) is not None:
            return parse_datetime("since", moment)
    raise SecodaConfigurationError("`since` must be given: the run does not say when it was due")


def trigger_args(sensor: SecodaVersionHistorySensor, since: str) -> dict[str, Any]:
    """Return what a trigger is given, whoever starts it."""
    return {
        "secoda_conn_id": sensor.secoda_conn_id,
        "resource_id": sensor.resource_id,
        "since": since,
        "since_version_id": sensor.since_version_id,
        "match": sensor.match,
        "wait_for_resource": sensor.wait_for_resource,
        "poke_interval": sensor.poke_interval,
        "exponential_backoff": bool(sensor.exponential_backoff),
        "max_wait": seconds(sensor.max_wait),
        "max_consecutive_failures": None if sensor.silent_fail else sensor.max_consecutive_failures,
    }


def start_args(sensor: SecodaVersionHistorySensor) -> Any:
    """Return what lets a task start in the triggerer, or None where it cannot (Airflow before 3.3, outlets)."""
    from airflow_provider_secoda._compat import starts_from_trigger  # noqa: PLC0415

    known = all(_known(getattr(sensor, name)) or _is_template(getattr(sensor, name)) for name in sensor.template_fields)
    if not (sensor.deferrable and sensor.timeout and known and starts_from_trigger()) or sensor.outlets:
        return None
    from airflow.triggers.base import StartTriggerArgs  # noqa: PLC0415

    since = sensor.since
    # An XCom that the triggerer pushes comes out as JSON text (Airflow 3.3.2), so a worker pushes ours.
    alone = not sensor.do_xcom_push
    text = _DUE if since is None else since if isinstance(since, str) else since.isoformat()
    return StartTriggerArgs(
        trigger_cls=TRIGGER,
        trigger_kwargs={**trigger_args(sensor, text), "end_task": alone},
        next_method="execute_complete",
        timeout=timeout(sensor),
    )


def timeout(sensor: SecodaVersionHistorySensor) -> timedelta:
    """Return how long the sensor may wait."""
    return timedelta(seconds=min(float(sensor.timeout), _LONGEST))


def seconds(value: timedelta | float | None) -> float | None:
    """Return a duration in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and any(sign in value for sign in ("{{", "{%", "{#"))


def _known(value: Any) -> bool:
    """Return whether a value is itself, and neither a template nor something that Airflow resolves at runtime."""
    return not _is_template(value) and not callable(getattr(value, "resolve", None))
