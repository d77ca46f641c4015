"""The window of time that a run is about, and how to split a large window into many.

Airflow 3 gives the runs of ``@daily`` an empty data interval, and runs that are triggered by hand often none, so the
data interval is not enough. :func:`resolve_window` lists the rules. They read no clock, no database and no network: a
run has the same window whenever, and however often, it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_secoda._arguments import check_duration, parse_datetime
from airflow_provider_secoda._compat import run_fact, run_type_of
from airflow_provider_secoda._schedule_periods import last_period, partition_period, schedule_zone, utc
from airflow_provider_secoda.client._api.timestamps import format_datetime, from_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

__all__ = ["Window", "WindowError", "resolve_window", "split_window"]

_OPTIONS = (
    "Options: (1) pass start and end; (2) give the DAG a data-interval timetable, CronDataIntervalTimetable "
    "or CronTriggerTimetable(..., interval=...); (3) give the DAG a cron schedule; (4) for runs that assets or people "
    "start, map the operator over missing_windows()."
)


@dataclass(frozen=True)
class Window:
    """A half-open window of time, ``[start, end)``.

    :param start: inclusive, aware, UTC
    :param end: exclusive, aware, UTC, after ``start``
    :param rule: the name of the rule of :func:`resolve_window` that applied
    """

    start: datetime
    end: datetime
    rule: str

    def __str__(self) -> str:
        return f"[{format_datetime(self.start)}, {format_datetime(self.end)})"

    def as_dict(self) -> dict[str, str]:
        """Return the window as JSON values, as in summaries and manifests: ``start``, ``end`` and ``window_rule``."""
        return {
            "start": format_datetime(self.start),
            "end": format_datetime(self.end),
            "window_rule": self.rule,
        }

    @classmethod
    def from_dict(cls, window: Mapping[str, str]) -> Window:
        """Return the window that :meth:`as_dict` was called on."""
        start, end = (from_instant(parse_instant(window[name])) for name in ("start", "end"))
        return cls(start, end, window["window_rule"])


class WindowError(ValueError):
    """A run has no window; the message says what to change. A retry cannot fix it."""


def resolve_window(
    context: Mapping[str, Any],
    *,
    start: datetime | str | None = None,
    end: datetime | str | None = None,
) -> Window:
    """Return the window that a run is about, by the first of these rules that applies.

    * ``start_end``: ``start`` and ``end``, if they are given.
    * ``data_interval``: the run's data interval, if it is not empty.
    * ``partition``: for a partitioned run, the period that starts at its partition date.
    * ``schedule_period``: the last complete period of the DAG's schedule that ends at or before the empty data interval
      or, for a run without a data interval, its ``run_after``. Airflow itself computes the ticks, in the time zone of
      the schedule, so the windows of consecutive scheduled runs follow one another without a gap or an overlap.

    :param context: the context of the task; keys that a run does not have may be missing; only the last two rules
        need ``dag``
    :param start: inclusive: an aware datetime, or an ISO 8601 string as a rendered template gives it; UTC if it has no
        offset
    :param end: exclusive, likewise
    :raises WindowError: the arguments are not a window; or no rule applies, as to a run that an asset triggered, or to
        a DAG without a schedule
    """
    if start is not None or end is not None:
        return _from_arguments(start, end)
    interval_start, interval_end = (run_fact(context, name) for name in ("data_interval_start", "data_interval_end"))
    if interval_start is not None and interval_end is not None and interval_start < interval_end:
        return Window(utc(interval_start), utc(interval_end), "data_interval")
    dag = context.get("dag")
    if dag is None:
        raise WindowError(f"The context has no data interval and no DAG whose schedule could give a window. {_OPTIONS}")
    timetable = dag.timetable
    if (date := _partition_date(context, timetable)) is not None:
        return _from_partition(timetable, date)
    if run_type_of(context.get("dag_run")) in ("asset_triggered", "dataset_triggered"):
        raise WindowError(f"A run that was triggered by an asset has no window of time. {_OPTIONS}")
    instant = interval_end if interval_end is not None else run_fact(context, "run_after")
    if instant is None:
        raise WindowError(f"The run has neither a data interval nor a run_after. {_OPTIONS}")
    period = last_period(timetable, instant, anchor=dag.start_date)
    if period is None:
        raise WindowError(
            f"The run has no data interval, and the DAG's schedule ({type(timetable).__name__}) has no complete "
            f"period that ends by {format_datetime(utc(instant))}. {_OPTIONS}"
        )
    return Window(*period, "schedule_period")


def local_zone(context: Mapping[str, Any]) -> tzinfo:
    """Return the time zone in which a DAG's periods begin: of its schedule, or of the DAG, or UTC without a DAG."""
    dag = context.get("dag")
    zone = schedule_zone(getattr(dag, "timetable", None)) or getattr(dag, "timezone", None)
    return pendulum.timezone(zone) if isinstance(zone, str) else zone or timezone.utc


def split_window(
    start: datetime | str,
    end: datetime | str,
    *,
    every: timedelta | float = timedelta(days=1),
    at_most: int | None = None,
) -> list[dict[str, str]]:
    """Split a window into consecutive windows without gap or overlap; the first starts at its start.

    All have the length ``every``, except that the last may be shorter. Lengths are measured in UTC: a day has 24 hours,
    also where the clocks change. The result is what ``expand_kwargs`` takes::

        SecodaAuditLogsOperator.partial(task_id="fetch", output_path=…).expand_kwargs(split_window(…))

    :param start: inclusive: an aware datetime, or an ISO 8601 string; UTC if it has no offset
    :param end: exclusive, likewise
    :param every: the length of each window: a timedelta, or a number of seconds
    :param at_most: the largest number of windows; Airflow's ``[core] max_map_length`` by default
    :return: ``start`` and ``end`` of each window, in order, as ISO 8601 strings in UTC
    :raises ValueError: the arguments are not a window, or there would be more than ``at_most`` windows
    """
    first, last = parse_datetime("start", start), parse_datetime("end", end)
    if first >= last:
        raise ValueError(f"start={format_datetime(first)} is not before end={format_datetime(last)}.")
    step = check_duration("every", every)
    if at_most is None:
        from airflow.providers.common.compat.sdk import conf  # noqa: PLC0415 - only the default needs Airflow

        at_most = conf.getint("core", "max_map_length", fallback=1024)
    count = -((first - last) // step)
    if count > at_most:
        raise ValueError(
            f"From {format_datetime(first)} to {format_datetime(last)} there are {count} windows of {step}, and a "
            f"task is mapped to at most {at_most}. Make `every` longer, or increase Airflow's `core.max_map_length`."
        )
    edges = [*(first + step * number for number in range(count)), last]
    return [{"start": format_datetime(one), "end": format_datetime(other)} for one, other in pairwise(edges)]


def _from_arguments(start: datetime | str | None, end: datetime | str | None) -> Window:
    first, last = _read_edge("start", start), _read_edge("end", end)
    if first >= last:
        raise WindowError(f"start={format_datetime(first)} is not before end={format_datetime(last)}.")
    return Window(first, last, "start_end")


def _read_edge(name: str, value: datetime | str | None) -> datetime:
    """Return an argument in UTC; a template that rendered to "None" or to nothing is an error."""
    if value is None:
        other = "end" if name == "start" else "start"
        raise WindowError(f"{other} is given, but {name} is not: pass both or neither.")
    try:
        return parse_datetime(name, value)
    except ValueError as error:
        raise WindowError(f"{error}. Leave out start and end to get the window of the run.") from error


def _partition_date(context: Mapping[str, Any], timetable: Any) -> datetime | None:
    """Return the partition date of a run that has one.

    Airflow 3.2 passes only the key to a task, in UTC; 3.3 passes the date.
    """
    date: datetime | None = run_fact(context, "partition_date")
    key, form = run_fact(context, "partition_key"), getattr(timetable, "key_format", None)
    if date is not None or key is None or form is None:
        return date
    try:
        return utc(datetime.strptime(key, form))  # noqa: DTZ007  utc adds the zone
    except ValueError as error:
        raise WindowError(f"The run's partition key {key!r} does not have the format {form!r}: {error}") from error


def _from_partition(timetable: Any, date: datetime) -> Window:
    period = partition_period(timetable, date)
    if period is None:
        raise WindowError(
            f"The run's partition date {format_datetime(utc(date))} does not start a period of the DAG's schedule "
            f"({type(timetable).__name__}), so its end is unknown. Pass start and end, or use a "
            f"CronPartitionTimetable and a partition key of one of its ticks."
        )
    return Window(*period, "partition")
