"""Find the periods of a DAG's schedule, and those of the partitions of an asset. Airflow itself computes the ticks.

The ticks of a schedule are what Airflow's scheduler makes of it, with its own rules for daylight saving time: a tick in
the hour that is skipped moves to the end of that hour, a tick in the hour that occurs twice is at its second
occurrence, ``*/15`` ticks through both. So nothing is recalculated here. The only call is the public one that the
scheduler makes with ``catchup=True``, ``Timetable.next_dagrun_info``: which run comes next? It does not use the clock,
so a run has the same period when it is scheduled, cleared, retried or backfilled. There is no public way to go
backwards, and Airflow's private one (``_get_prev``) is not the inverse of the way forwards: it does not move at a tick
that was moved out of a skipped hour. So the search bisects for a run some ticks before, and then goes forwards as the
scheduler did.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import pendulum

from airflow_provider_secoda._compat import core_timetable, delta_of, timezone_of
from airflow_provider_secoda.client._api.timestamps import from_instant, to_instant

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo

# A schedule with ticks in every hour but not on every day, like ``*/15 * * * 1``, loses or gains ticks where the clocks
# change between two of its days; Airflow's later ticks then depend on the earlier ones. Going forwards from a few hours
# before, more than clocks change by, takes the same steps as the scheduler.
_EARLY = timedelta(hours=3)
_FINEST = timedelta(milliseconds=500)  # cron with seconds is the schedule with the shortest periods
_FURTHEST = timedelta(days=36_525)  # a tick on 29 February can be eight years away; no tick is 100 years away
#: A partitioned asset has no schedule: the class of the mapper that created the partition gives the length.
_PARTITION_LENGTHS = {
    "StartOfHourMapper": {"hours": 1},
    "StartOfDayMapper": {"days": 1},
    "StartOfWeekMapper": {"weeks": 1},
    "StartOfMonthMapper": {"months": 1},
    "StartOfQuarterMapper": {"months": 3},
    "StartOfYearMapper": {"years": 1},
}


class Period(NamedTuple):
    """A half-open period of time, ``[start, end)``, in UTC."""

    start: datetime
    end: datetime


def last_period(timetable: Any, instant: datetime, *, anchor: datetime | None = None) -> Period | None:
    """Return the last complete period of the schedule that ends at or before ``instant``, or None.

    The period of a tick is the data interval that the schedule gives to it or, if that is empty, the time since the
    previous tick. There is none if the schedule has no ticks, or no tick before ``instant``.

    :param timetable: a DAG's ``timetable`` as a task gets it, on any version of Airflow
    :param instant: the run's (empty) data interval or its ``run_after``, aware
    :param anchor: the DAG's start date, aware, at which the ticks of a schedule of months start; see ``_step_back``
    """
    from airflow.timetables.interval import DeltaDataIntervalTimetable  # noqa: PLC0415  DAG files parse without
    from airflow.timetables.trigger import DeltaTriggerTimetable  # noqa: PLC0415

    timed = _timed(timetable)
    core = core_timetable(timed)
    if not core.periodic:
        return None
    if isinstance(core, (DeltaDataIntervalTimetable, DeltaTriggerTimetable)):
        given = _period(core.infer_manual_data_interval(run_after=pendulum.instance(instant)))
        return given or Period(_step_back(delta_of(timed), utc(instant), anchor), utc(instant))
    previous, current, _ = _around(core, instant)
    if current is None:
        return None
    since = Period(utc(previous.run_after), utc(current.run_after)) if previous else None
    return _period(current.data_interval) or since


def partition_period(timetable: Any, date: datetime) -> Period | None:
    """Return the period that starts at a partition date: of the calendar or else of the schedule; or None.

    :param timetable: a DAG's ``timetable`` as a task gets it: ``PartitionedAssetTimetable``, ``CronPartitionTimetable``
    :param date: a run's ``partition_date``, aware
    """
    if (calendar := _calendar_period(timetable, date)) is not None:
        return calendar
    core = core_timetable(_timed(timetable))
    if not core.periodic:
        return None
    _, current, following = _around(core, date)
    if current is None or following is None or current.run_after != date:
        return None
    return Period(utc(date), utc(following.run_after))


def utc(moment: datetime) -> datetime:
    """Return a datetime of the standard library in UTC; a datetime without a time zone is in UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return from_instant(to_instant(aware))


def schedule_zone(timetable: Any) -> Any:
    """Return the time zone of a schedule or of its partitions, also as a string; None if it has none."""
    calendar = _calendar(timetable)
    return calendar[1] if calendar else timezone_of(_timed(timetable))


def _calendar(timetable: Any) -> tuple[str, str] | None:
    """Return the mapper and the time zone of partitions; None if the mappers do not agree on them."""
    configured = getattr(timetable, "partition_mapper_config", None) or {}
    mappers = [*configured.values(), getattr(timetable, "default_partition_mapper", None)]
    found = {one for one in map(_mapper_and_zone, mappers) if one is not None}
    return found.pop() if len(found) == 1 else None


def _calendar_period(timetable: Any, date: datetime) -> Period | None:
    """Return the hour, day, week … that starts at a partition date; None if the mappers do not agree on a length."""
    calendar = _calendar(timetable)
    if calendar is None:
        return None
    mapper, zone = calendar
    start = pendulum.instance(date).in_timezone(zone)
    return Period(utc(start), utc(start.add(**_PARTITION_LENGTHS[mapper])))


def _mapper_and_zone(mapper: Any) -> tuple[str, str] | None:
    """Return the class name of the mapper that gives a partition its length, and its time zone."""
    for inner in ("downstream_mapper", "upstream_mapper"):  # of a fan-out; of a roll-up
        if hasattr(mapper, inner):
            return _mapper_and_zone(getattr(mapper, inner))
    name = type(mapper).__name__
    return (name, str(mapper._timezone)) if name in _PARTITION_LENGTHS else None  # noqa: SLF001  it has no public name


def _timed(timetable: Any) -> Any:
    """Return the timetable in Airflow's "assets or time" schedule; other timetables as they are."""
    is_combined = type(timetable).__name__ in ("AssetOrTimeSchedule", "DatasetOrTimeSchedule")
    return timetable.timetable if is_combined else timetable


def _period(interval: Any) -> Period | None:
    """Return a data interval as a period, or None if it is empty."""
    if interval is None or interval.start >= interval.end:
        return None
    return Period(utc(interval.start), utc(interval.end))


def _step_back(delta: Any, tick: datetime, anchor: datetime | None) -> datetime:
    """Return the tick before ``tick`` of a schedule that is only a time delta.

    Airflow starts such ticks at the DAG's start date or, without catchup, when it first parses the DAG, so any instant
    may be a tick. The previous one is ``tick - delta``, except where a month is too short for the day (31 January,
    28 February, 28 March). There the ticks are counted from the start date; if ``tick`` is not one of them, the period
    starts up to three days early: it is better to read logs twice than never.
    """
    if anchor is not None and (getattr(delta, "months", None) or getattr(delta, "years", None)):
        previous = utc(anchor)
        while previous < (following := previous + delta) < tick:
            previous = following
        if following == tick:
            return previous
    earlier: datetime = tick - delta
    return earlier


def _around(core: Any, instant: datetime) -> tuple[DagRunInfo | None, DagRunInfo | None, DagRunInfo | None]:
    """Return the last two runs at or before ``instant``, and the first run after it."""
    if _has_no_fixed_ticks(core, instant):
        return None, None, None
    first, limit = None, instant
    for _ in range(2):  # the first may already be the last run at or before the instant
        if (earlier := _last_before(core, limit - _EARLY)) is None:
            break
        first, limit = earlier, earlier.run_after
    previous, current, following = None, None, first or _next_run(core, instant - _EARLY)
    while following is not None and following.run_after <= instant:
        previous, current, following = current, following, _run_after(core, following)
    return previous, current, following


def _run_after(core: Any, info: DagRunInfo) -> DagRunInfo | None:
    """Return the run that the scheduler would create after a run; None if that would not be later."""
    start = info.data_interval.start if info.data_interval else info.run_after
    following = _next_run(core, start - timedelta(days=1), info.data_interval)  # a start date is earlier, too
    return following if following is not None and following.run_after > info.run_after else None


def _last_before(core: Any, limit: datetime) -> DagRunInfo | None:
    """Return the last run of the schedule before ``limit``: double the step back until there is a run, then bisect."""
    late, step = limit, timedelta(minutes=1)
    while (info := _next_run(core, limit - step)) is None or info.run_after >= limit:
        late, step = limit - step, step * 2
        if step > _FURTHEST:
            return None
    early = limit - step
    while late - early > _FINEST:
        middle = early + (late - early) / 2
        nearer = _next_run(core, middle)
        if nearer is None or nearer.run_after >= limit:
            late = middle
        else:
            early, info = middle, nearer
    return info


def _has_no_fixed_ticks(core: Any, instant: datetime) -> bool:
    """Return whether the ticks of a schedule depend on the start date: then a search cannot find them.

    No other schedule has a tick between the two start dates that are compared, a quarter and half a second after a
    full second.
    """
    second = instant.replace(microsecond=0)
    one, other = (_next_run(core, second + _FINEST * part) for part in (0.5, 1))
    return one is not None and other is not None and one.run_after != other.run_after


def _next_run(core: Any, earliest: datetime, last: Any = None) -> DagRunInfo | None:
    """Return the next run of a DAG with this schedule, as the scheduler gets it from the timetable.

    A timetable that does not implement this (a custom one that only supports partitions) has no runs.

    :param earliest: the DAG's start date
    :param last: the data interval of the run before; None for the first run
    """
    from airflow.timetables.base import TimeRestriction  # noqa: PLC0415  DAG files parse without

    limits = TimeRestriction(earliest=pendulum.instance(earliest), latest=None, catchup=True)
    try:
        info: DagRunInfo | None = core.next_dagrun_info(last_automated_data_interval=last, restriction=limits)
    except NotImplementedError:
        return None
    return info
