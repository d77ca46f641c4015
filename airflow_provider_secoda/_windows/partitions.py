"""Find the period that a partition of an asset stands for.

The partition of an asset has no schedule to tell its length, but the mapper that made it does, by its name:
the hour, day, week, month, quarter or year that the partition begins, in the mapper's time zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_secoda._windows.periods import Period, utc

if TYPE_CHECKING:
    from datetime import datetime

_GRAINS = {
    "StartOfHourMapper": {"hours": 1},
    "StartOfDayMapper": {"days": 1},
    "StartOfWeekMapper": {"weeks": 1},
    "StartOfMonthMapper": {"months": 1},
    "StartOfQuarterMapper": {"months": 3},
    "StartOfYearMapper": {"years": 1},
}


def calendar_period(timetable: Any, date: datetime) -> Period | None:
    """Return the calendar's period that begins at ``date``, or None if the mappers do not agree on one.

    :param timetable: a DAG's ``timetable`` as a task sees it: of such a run, a ``PartitionedAssetTimetable``.
    :param date: aware; a run's ``partition_date``.
    """
    configured = getattr(timetable, "partition_mapper_config", None) or {}
    mappers = [*configured.values(), getattr(timetable, "default_partition_mapper", None)]
    grains = {grain for grain in map(_grain, mappers) if grain is not None}
    if len(grains) != 1:
        return None
    ((name, zone),) = grains
    start = pendulum.instance(date).in_timezone(zone)
    return Period(utc(start), utc(start.add(**_GRAINS[name])))


def _grain(mapper: Any) -> tuple[str, str] | None:
    """Return the name of the mapper that gives a partition its length, and its time zone."""
    for inner in ("downstream_mapper", "upstream_mapper"):  # of a fan-out; of a roll-up
        if hasattr(mapper, inner):
            return _grain(getattr(mapper, inner))
    name = type(mapper).__name__
    return (name, str(mapper._timezone)) if name in _GRAINS else None  # noqa: SLF001  it has no public name
