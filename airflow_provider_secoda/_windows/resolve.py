"""Decide which window of time a run is about: a pure function of the run's own facts.

Airflow 3 gives ``@daily`` an empty data interval and manual runs often none, so "the data interval" alone
is no answer. See :func:`resolve_window` for the rules; they read no clock, no database and no network, so
that a run has the same window whenever and however often it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import parse_datetime
from airflow_provider_secoda._compat import run_fact, run_type_of
from airflow_provider_secoda._windows.partitions import calendar_period
from airflow_provider_secoda._windows.periods import Period, last_period, period_from, utc

if TYPE_CHECKING:
    from collections.abc import Mapping

START_END = "start_end"
DATA_INTERVAL = "data_interval"
PARTITION = "partition"
SCHEDULE_PERIOD = "schedule_period"

_WAYS_OUT = (
    "Ways out: (1) pass start and end; (2) give the DAG a data-interval timetable, CronDataIntervalTimetable "
    "or CronTriggerTimetable(..., interval=...); (3) give the DAG a cron schedule."
)


@dataclass(frozen=True)
class Window:
    """A half-open window of time, ``[start, end)``, and why it is this one.

    :param start: inclusive, aware, UTC.
    :param end: exclusive, aware, UTC, after ``start``.
    :param rule: the name of the rule in :func:`resolve_window` that applied.
    """

    start: datetime
    end: datetime
    rule: str

    def __str__(self) -> str:
        """Return the window as people write it."""
        start, end = (edge.isoformat().replace("+00:00", "Z") for edge in (self.start, self.end))
        return f"[{start}, {end})"


class WindowError(ValueError):
    """No window can be told from the run; the message says what to change. No retry can mend it."""


def resolve_window(
    context: Mapping[str, Any],
    *,
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    timetable: Any,
) -> Window:
    """Return the window that a run is about, by the first of these rules that applies.

    * ``start_end``: ``start`` and ``end``, when given.
    * ``data_interval``: the run's data interval, unless it is empty.
    * ``partition``: of a partitioned run, the period that begins at its partition date.
    * ``schedule_period``: the last full period of the DAG's schedule that ends at or before the empty data
      interval, or, of a run without interval, its ``run_after``. The ticks are Airflow's own, in the
      schedule's time zone, so the windows of consecutive scheduled runs tile time without a gap or an
      overlap.

    :param context: the task's context; keys that a run does not have may be missing.
    :param start: inclusive: an aware datetime, or ISO 8601 text as a rendered template gives; without
        offset, UTC.
    :param end: exclusive; the same.
    :param timetable: ``dag.timetable``, as the task sees it.
    :raises WindowError: the arguments make no window; or no rule applies, as to a run that an asset
        triggered, or of a DAG without a schedule.
    """
    if start is not None or end is not None:
        return _given(start, end)
    dag_run = context.get("dag_run")
    since, until = (run_fact(context, name) for name in ("data_interval_start", "data_interval_end"))
    if since is not None and until is not None and since < until:
        return Window(utc(since), utc(until), DATA_INTERVAL)
    if (date := _partition_date(context, timetable)) is not None:
        return _partition(timetable, date)
    if run_type_of(dag_run) in ("asset_triggered", "dataset_triggered"):
        raise WindowError(f"A run that was triggered by an asset has no window of time. {_WAYS_OUT}")
    instant = until if until is not None else run_fact(context, "run_after")
    if instant is None:
        raise WindowError(f"The run has neither a data interval nor a run_after. {_WAYS_OUT}")
    anchor = getattr(context.get("dag"), "start_date", None)
    period = last_period(timetable, instant, anchor=anchor)
    if period is None:
        raise WindowError(
            f"The run has no data interval, and the DAG's schedule ({type(timetable).__name__}) has no full "
            f"period that ends by {utc(instant).isoformat()}. {_WAYS_OUT}"
        )
    return _window(period, SCHEDULE_PERIOD)


def _given(start: datetime | str | None, end: datetime | str | None) -> Window:
    """Return the window of two arguments, of which at least one is given."""
    first, last = _moment("start", start), _moment("end", end)
    if first >= last:
        raise WindowError(f"start={first.isoformat()} is not before end={last.isoformat()}.")
    return Window(first, last, START_END)


def _moment(name: str, value: datetime | str | None) -> datetime:
    """Return an argument in UTC; a template that rendered to nothing is an error, not a None."""
    if value is None:
        other = "end" if name == "start" else "start"
        raise WindowError(f"{other} is given, but {name} is not: pass both or neither.")
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    try:
        return parse_datetime(name, value)
    except ValueError as error:
        raise WindowError(f"{error}. Leave out start and end to get the window of the run.") from error


def _partition(timetable: Any, date: datetime) -> Window:
    """Return the period of a partitioned run."""
    period = calendar_period(timetable, date) or period_from(timetable, date)
    if period is None:
        raise WindowError(
            f"The run's partition date {utc(date).isoformat()} begins no period of the DAG's schedule "
            f"({type(timetable).__name__}), so its end is unknown. Pass start and end, or use a "
            f"CronPartitionTimetable and a partition key of one of its ticks."
        )
    return _window(period, PARTITION)


def _partition_date(context: Mapping[str, Any], timetable: Any) -> datetime | None:
    """Return the partition date of a run that has one.

    Airflow 3.2 tells a task the key only, which it wrote in UTC; 3.3 tells the date.
    """
    date: datetime | None = run_fact(context, "partition_date")
    key, form = run_fact(context, "partition_key"), getattr(timetable, "key_format", None)
    if date is not None or key is None or form is None:
        return date
    try:
        return utc(datetime.strptime(key, form))  # noqa: DTZ007  utc adds the zone
    except ValueError as error:
        raise WindowError(f"The run's partition key {key!r} is not of the form {form!r}: {error}") from error


def _window(period: Period, rule: str) -> Window:
    """Return a period of the schedule as a window."""
    return Window(period.start, period.end, rule)
