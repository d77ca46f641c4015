"""The windows of real runs, for every kind of run and schedule of Airflow."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.helpers import airflow_runs, run_makers

V3 = airflow_runs.version() >= (3,)
V33 = airflow_runs.version() >= (3, 3)
airflow_3 = pytest.mark.skipif(not V3, reason="Airflow 2 gives every such run a data interval")
airflow_33 = pytest.mark.skipif(not V33, reason="Airflow has it since 3.3")

DAGS = Path(__file__).parent / "window_dags.py"


NO_WINDOW = re.compile(
    r"WindowError: .*start and end.*CronDataIntervalTimetable.*interval=.*cron schedule.*missing_windows"
)


@pytest.fixture(scope="module")
def dags(airflow):
    return airflow.load(DAGS)


@pytest.fixture(scope="module")
def runs(airflow, dags):
    """Return the results of the runs that the scheduler created in three passes, of any type."""
    found = []
    for _ in range(3):
        due = run_makers.schedule()  # of every DAG, also those of other tests
        found += [airflow.execute(dags[dag_id], run_id) for dag_id, run_id in due.items() if dag_id in dags]
    return found


@pytest.fixture(scope="module")
def scheduled(runs):
    """Return the windows of each DAG's first three scheduled runs; None for one that failed."""
    found = {}
    for ran in runs:
        if ran.run_type == "scheduled":
            found.setdefault(ran.dag_id, []).append(ran.xcoms.get("window"))
    return found


def utc(*numbers):
    return datetime(*numbers, tzinfo=timezone.utc)


def says_no_window(ran):
    """Return whether the log has the error that lists the options, with any line breaks."""
    return NO_WINDOW.search(" ".join(ran.log.split()))


def window(start, end, rule):
    return [start.isoformat(), end.isoformat(), rule]


PERIODIC = [
    *("daily", "timedelta", "delta_trigger", "cron_trigger", "cron_interval", "delta_interval"),
    *("asset_or_time", "events", *["multiple"] * V3, *["partition"] * V33),
]


@pytest.mark.parametrize("dag_id", PERIODIC)
def test_windows_of_scheduled_runs_have_no_gap_and_no_overlap(scheduled, dag_id):
    """Consecutive scheduled runs have windows without a gap or an overlap, also where the clocks change."""
    found = [run for run in scheduled[dag_id] if run]
    assert len(found) >= 2
    assert [run[0] for run in found[1:]] == [run[1] for run in found[:-1]]


def test_a_day_on_which_the_clocks_change_is_as_long_as_it_was(scheduled):
    """A daily run at 02:00 in Berlin has 24 hours, but 23 after the night in which 02:00 was skipped."""
    assert scheduled["cron_trigger"] == [
        window(utc(2025, 3, 28, 1), utc(2025, 3, 29, 1), "schedule_period"),
        window(utc(2025, 3, 29, 1), utc(2025, 3, 30, 1), "schedule_period"),
        window(utc(2025, 3, 30, 1), utc(2025, 3, 31, 0), "schedule_period"),
    ]


@airflow_3
def test_a_dag_with_several_cron_schedules(scheduled):
    """The windows of a DAG with several cron expressions are the times between consecutive ticks."""
    assert scheduled["multiple"][1:] == [
        window(utc(2025, 3, 29, 1), utc(2025, 3, 29, 13, 30), "schedule_period"),
        window(utc(2025, 3, 29, 13, 30), utc(2025, 3, 30, 1), "schedule_period"),
    ]


def test_a_data_interval_that_is_not_empty_is_the_window(scheduled):
    """The data interval of a schedule that has one is the window; in Airflow 2 ``@daily`` is such a schedule."""
    assert scheduled["cron_trigger_interval"][1] == window(utc(2025, 3, 29, 1), utc(2025, 3, 30, 1), "data_interval")
    found = scheduled["cron_interval"] + scheduled["delta_interval"]
    assert {run[2] for run in found if run} == {"data_interval"}
    assert {run[2] for run in scheduled["daily"]} == {"schedule_period" if V3 else "data_interval"}


def test_the_first_event_of_a_list_has_no_window(scheduled):
    """A list of dates has no time before its first date."""
    assert scheduled["events"][0] is None
    assert scheduled["events"][1] == window(utc(2025, 3, 30), utc(2025, 3, 31), "schedule_period")


@pytest.mark.parametrize("dag_id", ["never", "once", "assets"])
@pytest.mark.parametrize("how", [{}, {"logical_date": utc(2025, 4, 9, 7, 30)}])
def test_a_dag_without_ticks_fails_and_lists_the_options(airflow, dags, dag_id, how):
    """Without a time-based schedule there is no window, and the error lists the options."""
    ran = airflow.run_dag(dags[dag_id], **how)
    assert ran.state == "failed"
    assert says_no_window(ran)


@pytest.mark.parametrize(
    ("dag_id", "start", "end"),
    [
        ("daily", utc(2025, 4, 8), utc(2025, 4, 9)),
        ("cron_trigger", utc(2025, 4, 8), utc(2025, 4, 9)),
        ("cron_interval", utc(2025, 4, 8), utc(2025, 4, 9)),
        ("timedelta", utc(2025, 4, 8, 7, 30), utc(2025, 4, 9, 7, 30)),
        ("cron_trigger_interval", utc(2025, 4, 8, 7, 30), utc(2025, 4, 9, 7, 30)),
        ("asset_or_time", utc(2025, 4, 8), utc(2025, 4, 9)),
        ("events", utc(2025, 3, 31), utc(2025, 4, 2)),
    ],
)
def test_a_manual_run_of_a_date_has_the_last_complete_period_before(airflow, dags, dag_id, start, end):
    """A run for an instant between ticks has the last period that was complete then."""
    ran = airflow.run_dag(dags[dag_id], logical_date=utc(2025, 4, 9, 7, 30))
    assert ran.xcoms["window"][:2] == window(start, end, "")[:2]


@airflow_3
@pytest.mark.parametrize("dag_id", ["daily", "cron_trigger", "cron_interval", "asset_or_time", "multiple"])
def test_a_run_without_an_interval_has_the_last_complete_period_before_run_after(airflow, dags, dag_id):
    """Airflow 3 gives a run with ``logical_date: null`` no data interval; ``run_after`` decides."""
    moments = {"logical_date": None, "run_after": utc(2025, 4, 9, 7, 30)}
    posted = airflow.execute(dags[dag_id], run_makers.post(dag_id, **moments))
    assert posted.xcoms["window"][1:] == [utc(2025, 4, 9).isoformat(), "schedule_period"]
    tested = airflow.run_dag(dags[dag_id], **moments)
    assert tested.xcoms == posted.xcoms


@airflow_3
def test_a_run_posted_with_an_interval_has_that(airflow, dags):
    """An interval given to the REST API is the window; otherwise that of the timetable, if it has one."""
    given = {"data_interval_start": utc(2025, 1, 1), "data_interval_end": utc(2025, 1, 3)}
    for dag_id, body, expected in [
        ("daily", given, (utc(2025, 1, 1), utc(2025, 1, 3), "data_interval")),
        ("never", given, (utc(2025, 1, 1), utc(2025, 1, 3), "data_interval")),
        ("cron_interval", {}, (utc(2025, 4, 8), utc(2025, 4, 9), "data_interval")),
        ("daily", {}, (utc(2025, 4, 8), utc(2025, 4, 9), "schedule_period")),
    ]:
        run_id = run_makers.post(dag_id, logical_date=utc(2025, 4, 9, 8, len(body)), **body)
        assert airflow.execute(dags[dag_id], run_id).xcoms["window"] == window(*expected)


def test_a_triggered_run_has_the_last_complete_period_before_now(airflow, dags):
    """``airflow dags trigger``, with a logical date or not, and TriggerDagRunOperator run for the present."""
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    run_ids = [run_makers.trigger("daily", **how) for how in [{}, {"logical_date": utc(2025, 4, 9, 9)}][: 1 + V3]]
    airflow.run_dag(dags["caller"])
    for run_id in [*run_ids, "called"]:
        start, end, _ = airflow.execute(dags["daily"], run_id).xcoms["window"]
        assert [start, end] == [(today - timedelta(days=1)).isoformat(), today.isoformat()]


def test_a_cleared_run_has_the_same_window_again(airflow, dags):
    """A run that is cleared and executed later has the same window as before."""
    run_id = run_makers.trigger("timedelta")
    first = airflow.execute(dags["timedelta"], run_id)
    again = airflow.execute(dags["timedelta"], run_id)
    assert first.xcoms["window"] == again.xcoms["window"]


@airflow_3
@pytest.mark.parametrize("dag_id", ["daily", "cron_trigger", "cron_interval"])
def test_backfilled_runs_have_the_windows_of_scheduled_runs(airflow, dags, dag_id):
    """Runs of a backfill have the windows of the runs that the scheduler creates."""
    run_ids = run_makers.backfill(dag_id, utc(2025, 10, 25), utc(2025, 10, 28))
    found = [airflow.execute(dags[dag_id], run_id) for run_id in run_ids]
    assert {ran.run_type for ran in found} == {"backfill"}
    windows = [ran.xcoms["window"] for ran in found]
    assert len(windows) >= 3
    assert [run[0] for run in windows[1:]] == [run[1] for run in windows[:-1]]


def test_a_run_that_an_asset_triggered_fails_and_lists_the_options(airflow, dags):
    """A run of an asset's event has no window, even if the DAG has a cron schedule too."""
    airflow.run_dag(dags["maker"])
    due = run_makers.schedule()
    for dag_id in ("assets", "asset_or_time"):
        ran = airflow.execute(dags[dag_id], due[dag_id])
        assert ran.run_type in ("asset_triggered", "dataset_triggered")
        assert says_no_window(ran)


@airflow_33
def test_a_partitioned_run_has_the_period_that_begins_at_its_date(airflow, dags, scheduled):
    """Scheduled, posted or backfilled: a partition is a day in the schedule's zone, of 23 to 25 hours."""
    assert scheduled["partition"][:2] == [
        window(utc(2025, 3, 28, 23), utc(2025, 3, 29, 23), "partition"),
        window(utc(2025, 3, 29, 23), utc(2025, 3, 30, 22), "partition"),
    ]
    long = window(utc(2025, 10, 25, 22), utc(2025, 10, 26, 23), "partition")
    run_id = run_makers.post("partition", logical_date=None, partition_key="2025-10-26T00:00:00")
    assert airflow.execute(dags["partition"], run_id).xcoms["window"] == long
    run_ids = run_makers.backfill("partition", utc(2024, 10, 26), utc(2024, 10, 28))
    found = [airflow.execute(dags["partition"], run_id).xcoms["window"] for run_id in run_ids]
    assert [run[0] for run in found] == [
        utc(2024, 10, day, hour).isoformat() for day, hour in [(25, 22), (26, 22), (27, 23)]
    ]
    assert [run[0] for run in found[1:]] == [run[1] for run in found[:-1]]


@airflow_33
def test_a_partition_that_begins_between_ticks_fails(airflow, dags):
    """A partition key between ticks would give a part of a period, which other runs read too."""
    run_id = run_makers.post("partition", logical_date=None, partition_key="2025-10-26T05:00:00")
    ran = airflow.execute(dags["partition"], run_id)
    assert "does not start a period" in ran.log
    assert ran.state == "failed"


@airflow_33
def test_a_partition_of_an_asset_has_the_day_of_its_mapper(runs):
    """An asset's event, mapped to days in Berlin, gives that day from midnight to midnight there."""
    (made,) = [ran for ran in runs if ran.dag_id == "keyed_maker"]
    (mapped,) = [ran for ran in runs if ran.dag_id == "partition_day"]
    assert mapped.run_type == "asset_triggered"
    day = datetime.fromisoformat(made.run_id.split("__")[2]).replace(hour=0)
    start, end = (d.replace(tzinfo=ZoneInfo("Europe/Berlin")) for d in (day, day + timedelta(days=1)))
    expected = window(start.astimezone(timezone.utc), end.astimezone(timezone.utc), "partition")
    assert mapped.xcoms["window"] == expected


@airflow_33
def test_a_partition_without_a_time_fails(airflow, dags, runs):
    """A partition key that is passed on or has any other text gives no window."""
    (passed_on,) = [ran for ran in runs if ran.dag_id == "partition_identity"]
    assert "does not start a period" in passed_on.log
    run_id = run_makers.post("partition_runtime", logical_date=None, partition_key="team-a")
    assert says_no_window(airflow.execute(dags["partition_runtime"], run_id))
