"""Find the period that a partition of an asset covers.

A partitioned asset has no schedule, so its length comes from the name of the mapper that created the partition: the
hour, day, week, month, quarter or year that starts at the partition date, in the time zone of the mapper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_secoda._windows.periods import Period, utc

if TYPE_CHECKING:
    from datetime import datetime

_LENGTHS = {
    "StartOfHourMapper": {"hours": 1},
    "StartOfDayMapper": {"days": 1},
    "StartOfWeekMapper": {"weeks": 1},
    "StartOfMonthMapper": {"months": 1},
    "StartOfQuarterMapper": {"months": 3},
    "StartOfYearMapper": {"years": 1},
}


def calendar_period(timetable: Any, date: datetime) -> Period | None:
    """Return the calendar period that starts at a partition date; None if the mappers do not agree on one.

    :param timetable: a DAG's ``timetable`` as a task gets it; for such a run a ``PartitionedAssetTimetable``
    :param date: a run's ``partition_date``, aware
    """
    configured = getattr(timetable, "partition_mapper_config", None) or {}
    mappers = [*configured.values(), getattr(timetable, "default_partition_mapper", None)]
    found = {one for one in map(_mapper_and_zone, mappers) if one is not None}
    if len(found) != 1:
        return None
    ((mapper, zone),) = found
    start = pendulum.instance(date).in_timezone(zone)
    return Period(utc(start), utc(start.add(**_LENGTHS[mapper])))


def _mapper_and_zone(mapper: Any) -> tuple[str, str] | None:
    """Return the class name of the mapper that gives a partition its length, and its time zone."""
    for inner in ("downstream_mapper", "upstream_mapper"):  # of a fan-out; of a roll-up
        if hasattr(mapper, inner):
            return _mapper_and_zone(getattr(mapper, inner))
    name = type(mapper).__name__
    return (name, str(mapper._timezone)) if name in _LENGTHS else None  # noqa: SLF001  it has no public name
