"""Find the periods of a DAG's own schedule, by letting Airflow itself tick.

A schedule's ticks are what Airflow's scheduler makes of it, with its own ideas of daylight saving: a tick
in the hour that is skipped moves behind it, one in the hour that comes twice runs the second time, ``*/15``
runs through both. So nothing is recalculated here. The only question asked is the public one that the
scheduler asks with ``catchup=True``, ``Timetable.next_dagrun_info``: which run comes next? It never looks
at the clock, hence a run has the same period when it is scheduled, cleared, retried or backfilled. There is
no public way backwards, and Airflow's private one (``_get_prev``) does not undo the way forwards: at a tick
that moved out of a skipped hour it stands still. So the search bisects for a run some ticks before, and
then walks forwards as the scheduler did.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import pendulum

from airflow_provider_secoda._compat import core_timetable, delta_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.timetables.base import DagRunInfo

# A schedule of every hour but not of every day, like ``*/15 * * * 1``, loses or gains ticks where the
# clocks change between two of its days; Airflow's later ticks then depend on the earlier. Walking from a
# few hours before, more than clocks ever change by, takes the same steps as the scheduler.
_EARLY = timedelta(hours=3)
_FINEST = timedelta(milliseconds=500)  # cron with seconds is the finest schedule there is
_FURTHEST = timedelta(days=36_525)  # 29 February can be eight years away; nothing is a hundred


class Period(NamedTuple):
    """A half-open stretch of time, ``[start, end)``, in UTC."""

    start: datetime
    end: datetime


def last_period(timetable: Any, instant: datetime, *, anchor: datetime | None = None) -> Period | None:
    """Return the last full period of the schedule that ends at or before ``instant``, or None.

    The period of a tick is the data interval that the schedule gives to it, or where that is empty, the
    time since the tick before. A schedule without ticks has none, nor has one with a first tick before that.

    :param timetable: a DAG's ``timetable`` as a task sees it, on any version of Airflow.
    :param instant: aware; the run's (empty) data interval, or its ``run_after``.
    :param anchor: the DAG's start date, aware, where the ticks of a schedule of months begin; see
        ``_step_back``.
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


def period_from(timetable: Any, date: datetime) -> Period | None:
    """Return the period of the schedule that begins at ``date``, or None if none begins there.

    :param timetable: a DAG's ``timetable`` as a task sees it: of a partitioned run, a
        ``CronPartitionTimetable``.
    :param date: aware; a run's ``partition_date``.
    """
    core = core_timetable(_timed(timetable))
    if not core.periodic:
        return None
    _, current, following = _around(core, date)
    if current is None or following is None or current.run_after != date:
        return None
    return Period(utc(date), utc(following.run_after))


def utc(moment: datetime) -> datetime:
    """Return a plain datetime in UTC; one without a time zone is taken for UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return datetime.fromisoformat(aware.astimezone(timezone.utc).isoformat())


def _timed(timetable: Any) -> Any:
    """Return the part of Airflow's "assets or time" schedule that knows times."""
    if type(timetable).__name__ in ("AssetOrTimeSchedule", "DatasetOrTimeSchedule"):
        return timetable.timetable
    return timetable


def _period(interval: Any) -> Period | None:
    """Return a data interval as a period, or None if it is empty."""
    if interval is None or interval.start >= interval.end:
        return None
    return Period(utc(interval.start), utc(interval.end))


def _step_back(delta: Any, tick: datetime, anchor: datetime | None) -> datetime:
    """Return the tick before ``tick`` of a schedule that only says how long to wait for the next.

    Airflow starts such ticks at the DAG's start date, or without catchup at the moment when it first sees
    the DAG, so any instant may be a tick. The one before is ``tick - delta``, unless a month is shorter
    than the day asks for (31 January, 28 February, 28 March). There the walk from the start date tells, if
    it meets ``tick``; if not, the period begins up to three days early: rather twice than never.
    """
    if anchor is not None and (getattr(delta, "months", None) or getattr(delta, "years", None)):
        before = utc(anchor)
        while before < (after := before + delta) < tick:
            before = after
        if after == tick:
            return before
    earlier: datetime = tick - delta
    return earlier


def _around(core: Any, instant: datetime) -> tuple[DagRunInfo | None, DagRunInfo | None, DagRunInfo | None]:
    """Return the last run but one and the last run at or before ``instant``, and the first run after it."""
    if _drifts(core, instant):
        return None, None, None
    first, limit = None, instant
    for _ in range(2):  # the first may already be the last run at or before the instant
        if (earlier := _last_before(core, limit - _EARLY)) is None:
            break
        first, limit = earlier, earlier.run_after
    previous = current = None
    for info in _onwards(core, first or _first_from(core, instant - _EARLY)):
        if info.run_after > instant:
            return previous, current, info
        previous, current = current, info
    return previous, current, None


def _onwards(core: Any, info: DagRunInfo | None) -> Iterator[DagRunInfo]:
    """Yield ``info`` and every run that the scheduler would create after it."""
    while info is not None:
        yield info
        began = info.data_interval.start if info.data_interval else info.run_after
        well_before = began - timedelta(days=1)  # as a start date is
        following = _ask(core, info.data_interval, well_before)
        info = following if following is not None and following.run_after > info.run_after else None


def _last_before(core: Any, limit: datetime) -> DagRunInfo | None:
    """Return the last run of the schedule before ``limit``: gallop back to any, then bisect."""
    late, step = limit, timedelta(minutes=1)
    while (info := _first_from(core, limit - step)) is None or info.run_after >= limit:
        late, step = limit - step, step * 2
        if step > _FURTHEST:
            return None
    early = limit - step
    while late - early > _FINEST:
        middle = early + (late - early) / 2
        nearer = _first_from(core, middle)
        if nearer is None or nearer.run_after >= limit:
            late = middle
        else:
            early, info = middle, nearer
    return info


def _drifts(core: Any, instant: datetime) -> bool:
    """Tell whether a schedule's ticks depend on where they begin: then none can be found by looking.

    Between the two moments asked for, a quarter and half a second past a full second, no other schedule
    ticks.
    """
    second = instant.replace(microsecond=0)
    one, other = (_first_from(core, second + _FINEST * part) for part in (0.5, 1))
    return one is not None and other is not None and one.run_after != other.run_after


def _first_from(core: Any, moment: datetime) -> DagRunInfo | None:
    """Return the first run of a DAG with this schedule whose start date is ``moment``."""
    return _ask(core, None, moment)


def _ask(core: Any, last: Any, earliest: datetime) -> DagRunInfo | None:
    """Ask a timetable for the run after that with the data interval ``last``, as the scheduler does.

    Of a timetable that cannot be asked (a custom one that only knows partitions), there is none.
    """
    from airflow.timetables.base import TimeRestriction  # noqa: PLC0415  DAG files parse without

    limits = TimeRestriction(earliest=pendulum.instance(earliest), latest=None, catchup=True)
    try:
        info: DagRunInfo | None = core.next_dagrun_info(last_automated_data_interval=last, restriction=limits)
    except NotImplementedError:
        return None
    return info
