"""The periods of a schedule are the times between the ticks of Airflow's scheduler."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.run_facts import as_a_task_sees_it, cron, error, resolve, span, utc

pytestmark = pytest.mark.usefixtures("airflow")


def ticks(core, start, count):
    """Return the first runs that Airflow's scheduler would create from a start date on."""
    import pendulum
    from airflow.timetables.base import TimeRestriction

    found, last = [], None
    for _ in range(count):
        limits = TimeRestriction(earliest=pendulum.instance(start), latest=None, catchup=True)
        info = core.next_dagrun_info(last_automated_data_interval=last, restriction=limits)
        found.append(info.run_after)
        last = info.data_interval
    return found


MINUTES = st.sampled_from(["0", "30", "59", "*", "*/15", "*/7", "5,50", "10-20"])
HOURS = st.sampled_from(["0", "1", "2", "3", "23", "*", "*/2", "1-3", "2,3", "*/5"])
DAYS = st.sampled_from(["*", "*", "*", "1", "15", "*/5", "28,30"])
MONTHS = st.sampled_from(["*", "*", "*", "3", "*/3", "10"])
WEEKDAYS = st.sampled_from(["*", "*", "*", "0", "1-5", "6"])
CRONS = st.tuples(MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS).map(" ".join)
ZONES = st.sampled_from(
    [
        *("UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata"),
        *("Australia/Lord_Howe", "Pacific/Apia", "Antarctica/Troll", "America/St_Johns"),
    ]
)
# A few days before the clocks change, somewhere.
STARTS = st.sampled_from(
    [
        utc(2025, 3, 28),
        utc(2025, 10, 24),
        utc(2025, 3, 7),
        utc(2025, 10, 31),
        utc(2025, 4, 3),
        utc(2018, 11, 1),
    ]
).flatmap(lambda day: st.integers(0, 72).map(lambda hours: day + timedelta(hours=hours)))


def assert_tiles(expression, zone, start):
    from airflow.timetables.trigger import CronTriggerTimetable

    # The first few ticks can depend on the start date, see periods._EARLY.
    for previous, tick in pairwise(ticks(CronTriggerTimetable(expression, timezone=zone), start, 12)[4:]):
        window = resolve(cron(expression, zone), at=tick)
        assert (*span(window), window.rule) == (previous, tick, "schedule_period")


@given(CRONS, ZONES, STARTS)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_windows_of_consecutive_ticks_have_no_gap_and_no_overlap(expression, zone, start):
    """For any cron schedule and zone, the window of a tick starts at Airflow's previous tick."""
    assert_tiles(expression, zone, start)


@pytest.mark.parametrize("start", [utc(2025, 3, 28), utc(2025, 10, 24), utc(2025, 3, 7), utc(2025, 10, 31)])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("expression", ["0 2 * * *", "0 2,3 * * *", "*/15 * * * *", "0 0 1 * *", "0 * * * 1"])
def test_no_gap_and_no_overlap_where_the_clocks_change(expression, zone, start):
    """Windows of ticks in and around the skipped and the repeated hour: daily, quarter-hourly and monthly."""
    assert_tiles(expression, zone, start)


@pytest.mark.parametrize(
    ("expression", "zone", "start"),
    [
        ("*/15 * * * 1", "Europe/Berlin", utc(2025, 3, 24, 21)),
        ("* * * * 1", "Europe/Berlin", utc(2025, 3, 24, 22, 51)),
        ("* * * * 1", "Europe/Berlin", utc(2025, 10, 20, 21, 51)),
        ("*/10 * 26,30 * *", "Australia/Lord_Howe", utc(2025, 9, 30, 12, 20)),
    ],
)
def test_no_gap_and_no_overlap_where_airflow_itself_skips_ticks(expression, zone, start):
    """Airflow skips ticks where the clocks change between two days of an hourly schedule; the windows follow it."""
    assert_tiles(expression, zone, start)


@pytest.mark.parametrize(
    ("expression", "instant", "start", "end"),
    [
        # 02:00 does not exist on 30 March: the tick is at 03:00 summer time.
        ("0 2 * * *", utc(2025, 3, 30, 12), utc(2025, 3, 29, 1), utc(2025, 3, 30, 1)),
        ("0 2 * * *", utc(2025, 3, 31, 12), utc(2025, 3, 30, 1), utc(2025, 3, 31, 0)),
        # 02:00 comes twice on 26 October: the tick is the second.
        ("0 2 * * *", utc(2025, 10, 26, 12), utc(2025, 10, 25, 0), utc(2025, 10, 26, 1)),
        ("0 0 1 * *", utc(2025, 4, 15), utc(2025, 2, 28, 23), utc(2025, 3, 31, 22)),
        ("*/15 * * * *", utc(2025, 3, 30, 1, 7), utc(2025, 3, 30, 0, 45), utc(2025, 3, 30, 1)),
        ("0 0 29 2 *", utc(2027, 1, 1), utc(2020, 2, 28, 23), utc(2024, 2, 28, 23)),
        ("@daily", utc(2025, 7, 2, 22), utc(2025, 7, 1, 22), utc(2025, 7, 2, 22)),
    ],
)
def test_an_instant_between_ticks_has_the_last_complete_period(expression, instant, start, end):
    """An instant between ticks gives the last period that was complete then, in the schedule's time zone."""
    assert span(resolve(cron(expression, "Europe/Berlin"), at=instant)) == (start, end)


def test_a_schedule_that_skips_weekends_has_long_mondays():
    """The window of a run is the time since the previous tick, not a fixed length."""
    window = resolve(cron("0 0 * * 1-5"), at=utc(2026, 11, 23))
    assert span(window) == (utc(2026, 11, 20), utc(2026, 11, 23))


def test_a_run_without_an_interval_has_that_of_the_schedule():
    """A run without an interval has that of the schedule's last tick before ``run_after``."""
    for timetable, end, hours in [
        (cron("0 6 * * 1", interval=timedelta(hours=6)), utc(2026, 11, 23, 6), 6),
        (
            as_a_task_sees_it("CronDataIntervalTimetable", "0 6 * * 1", timezone="UTC"),
            utc(2026, 11, 23, 6),
            168,
        ),
        (as_a_task_sees_it("DeltaDataIntervalTimetable", timedelta(hours=5)), utc(2026, 11, 25, 7), 5),
    ]:
        window = resolve(timetable, run_after=utc(2026, 11, 25, 7))
        assert span(window) == (end - timedelta(hours=hours), end)
        assert window.rule == "schedule_period"


@pytest.mark.parametrize(
    ("delta", "dag_start", "expected"),
    [
        (timedelta(hours=7), utc(2025, 1, 1), [utc(2025, 1, 1, 7 * n) for n in (0, 1, 2, 3)]),
        # Monthly ticks keep the day of the shortest month so far.
        (
            relativedelta(months=1),
            utc(2025, 1, 31),
            [utc(2025, 1, 31), *(utc(2025, m, 28) for m in (2, 3, 4))],
        ),
        (
            relativedelta(years=1),
            utc(2024, 2, 29),
            [utc(2024, 2, 29), *(utc(2024 + n, 2, 28) for n in (1, 2))],
        ),
        (relativedelta(days=1), utc(2025, 3, 29), [utc(2025, 3, day) for day in (29, 30, 31)]),
    ],
)
def test_windows_of_a_time_delta_have_no_gap_and_no_overlap(delta, dag_start, expected):
    """The ticks of a schedule that is a time delta begin at the start date, as in Airflow."""
    from airflow.timetables.trigger import DeltaTriggerTimetable

    assert ticks(DeltaTriggerTimetable(delta), dag_start, len(expected)) == expected
    timetable = as_a_task_sees_it("DeltaTriggerTimetable", delta)
    for previous, tick in pairwise(expected):
        assert span(resolve(timetable, at=tick, dag_start=dag_start)) == (previous, tick)


def test_monthly_windows_without_catchup_overlap_and_have_no_gap():
    """Without catchup monthly ticks begin at any day; after a short month the window starts early."""
    timetable = as_a_task_sees_it("DeltaTriggerTimetable", relativedelta(months=1))
    window = resolve(timetable, at=utc(2025, 2, 28), dag_start=utc(2025, 1, 5))
    assert span(window) == (utc(2025, 1, 28), utc(2025, 2, 28))


def workdays(*, point):
    """Return a timetable of a plugin, with intervals or with instants only."""
    import pendulum
    from airflow.timetables.base import DagRunInfo, Timetable

    class Workdays(Timetable):
        def next_dagrun_info(self, *, last_automated_data_interval, restriction):
            if last_automated_data_interval is not None:
                day = last_automated_data_interval.start.add(days=1)
            elif restriction.earliest is None:
                return None
            else:
                day = restriction.earliest
            day = pendulum.instance(day).in_timezone("UTC")
            if day.time() != day.start_of("day").time():
                day = day.add(days=1).start_of("day")
            while day.weekday() > 4:
                day = day.add(days=1)
            return DagRunInfo.exact(day) if point else DagRunInfo.interval(day, day.add(days=1))

    return Workdays()


def test_a_timetable_of_a_plugin():
    """The periods of a custom timetable are those of its ``next_dagrun_info``."""
    tuesday = utc(2026, 11, 24, 5)
    assert span(resolve(workdays(point=False), run_after=tuesday)) == (utc(2026, 11, 23), utc(2026, 11, 24))
    monday = utc(2026, 11, 23, 5)
    assert span(resolve(workdays(point=False), run_after=monday)) == (utc(2026, 11, 20), utc(2026, 11, 21))
    assert span(resolve(workdays(point=True), run_after=monday)) == (utc(2026, 11, 20), utc(2026, 11, 23))


def test_a_timetable_whose_ticks_depend_on_the_start_fails():
    """Ticks that depend on the instant where they begin have no periods."""
    from airflow.timetables.base import DagRunInfo, Timetable

    class Adrift(Timetable):
        def next_dagrun_info(self, *, last_automated_data_interval, restriction):
            last = last_automated_data_interval
            return DagRunInfo.exact(last.end.add(hours=1) if last else restriction.earliest)

    assert "no complete period" in error(timetable=Adrift(), run_after=utc(2026, 11, 23, 5))


def test_a_timetable_without_next_dagrun_info_fails():
    """A custom timetable that does not implement ``next_dagrun_info`` has no periods."""
    from airflow.timetables.base import Timetable

    class Silent(Timetable):
        pass

    assert "no complete period" in error(timetable=Silent(), run_after=utc(2026, 11, 23, 5))
