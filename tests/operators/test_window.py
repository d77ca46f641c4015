"""The rules of ``resolve_window``: their order, and what is refused."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from tests.helpers import airflow_runs
from tests.helpers.run_facts import V32, as_a_task_sees_it, cron, error, resolve, span, utc

pytestmark = pytest.mark.usefixtures("airflow")


def test_start_and_end_come_first():
    """The arguments take precedence over the facts of the run."""
    window = resolve(cron("@daily"), at=utc(2026, 11, 23), start=utc(2026, 1, 1), end=utc(2026, 1, 2))
    assert (*span(window), window.rule) == (utc(2026, 1, 1), utc(2026, 1, 2), "start_end")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2026-11-22T23:00:00Z",
            "2026-11-22T23:00:00+00:00",
            "2026-11-23 00:00:00+01:00",
            "2026-11-22T23:00:00",
        ),
        *("2026-11-22 23:00", "20261122T230000", " 2026-11-22T23:00:00.000000+0000 ", "2026-W47-7T23:00:00"),
    ],
)
def test_strings_are_iso_8601_and_utc_without_an_offset(text):
    """All forms in which templates give an instant have the same result."""
    window = resolve(start=text, end="2026-11-24")
    assert span(window) == (utc(2026, 11, 22, 23), utc(2026, 11, 24))


def test_the_window_is_in_utc():
    """Instants in any time zone become plain datetimes in UTC."""
    window = resolve(
        start=datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        end=datetime(2026, 7, 2, tzinfo=timezone.utc),
    )
    assert span(window) == (utc(2026, 6, 30, 22), utc(2026, 7, 2))
    assert {type(moment) for moment in span(window)} == {datetime}
    assert {moment.tzinfo for moment in span(window)} == {timezone.utc}


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (utc(2026, 1, 1), None, "end is not"),
        (None, "2026-01-01", "start is not"),
        ("None", "2026-01-01", "`start` must be a non-empty string"),
        ("2026-01-01", "", "`end` must be a non-empty string"),
        ("", "", "`start` must be a non-empty string"),
        (
            datetime(1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
            "2026-01-01",
            "`start` is out of range in UTC",
        ),
        (
            "2026-01-01",
            datetime(9999, 12, 31, 23, tzinfo=ZoneInfo("America/New_York")),
            "`end` is out of range in UTC",
        ),
        ("yesterday", "2026-01-01", "start='yesterday'"),
        ("12:00", "2026-01-01", "start='12:00'"),
        ("P1D", "2026-01-01", "start='P1D'"),
        (20260101, "2026-01-01", "`start` must be"),
        ("2026-01-01", "2026-01-01", "not before"),
        ("2026-01-02", "2026-01-01", "not before"),
        ("2026-01-02T00:00+01:00", "2026-01-01T23:00Z", "not before"),
    ],
)
def test_invalid_arguments_are_named(start, end, said):
    """The error names the wrong argument; no other window is used instead."""
    assert said in error(timetable=cron("@daily"), at=utc(2026, 11, 23), start=start, end=end)


def test_the_data_interval_may_be_in_the_context_or_in_the_run():
    """A key that the context lacks is read from the run; a data interval is the window if it is not empty."""
    facts = {"data_interval_start": utc(2026, 1, 1), "data_interval_end": utc(2026, 1, 3)}
    for window in (resolve(cron("@daily"), **facts), resolve(cron("@daily"), context=facts)):
        assert (*span(window), window.rule) == (utc(2026, 1, 1), utc(2026, 1, 3), "data_interval")


def test_a_run_that_an_asset_triggered_has_no_window():
    """A run that an asset event triggered has no window, even if the DAG has a cron schedule and the run a time."""
    for kind in ("asset_triggered", "dataset_triggered"):
        said = error(timetable=cron("@daily"), run_type=kind, run_after=utc(2026, 11, 23))
        assert "triggered by an asset" in said
        for way_out in (
            "start and end",
            "CronDataIntervalTimetable",
            "CronTriggerTimetable",
            "cron schedule",
            "missing_windows",
        ):
            assert way_out in said


@pytest.mark.skipif(not V32, reason="Airflow has it since 3.2")
@pytest.mark.parametrize(
    ("key", "start", "end"),
    [
        ("2026-11-22T23:00:00", utc(2026, 11, 22, 23), utc(2026, 11, 23, 23)),
        ("2026-10-24T22:00:00", utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)),
    ],
)
def test_a_partition_key_without_a_date_is_parsed(key, start, end):
    """Airflow 3.2 gives a task only the partition key, in UTC, and no partition date."""
    timetable = as_a_task_sees_it("CronPartitionTimetable", "0 0 * * *", timezone="Europe/Berlin")
    window = resolve(timetable, partition_key=key, run_after=utc(2026, 11, 30))
    assert (*span(window), window.rule) == (start, end, "partition")
    assert "2026-11" in error(timetable=timetable, partition_key="2026-11", run_after=utc(2026, 11, 30))


@pytest.mark.skipif(airflow_runs.version() < (3, 3), reason="Airflow gives a task the partition date since 3.3")
@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("StartOfHourMapper", utc(2026, 10, 25, 0), utc(2026, 10, 25, 1)),
        ("StartOfDayMapper", utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)),
        ("StartOfWeekMapper", utc(2026, 10, 18, 22), utc(2026, 10, 25, 23)),
        ("StartOfMonthMapper", utc(2026, 9, 30, 22), utc(2026, 10, 31, 23)),
        ("StartOfQuarterMapper", utc(2026, 9, 30, 22), utc(2026, 12, 31, 23)),
        ("StartOfYearMapper", utc(2025, 12, 31, 23), utc(2026, 12, 31, 23)),
    ],
)
def test_the_partition_of_an_asset_has_the_length_of_its_mapper(name, start, end):
    """Hours to years, counted in the mapper's time zone, also as the grain of a roll-up or a fan-out."""
    from airflow import sdk

    mapper, hour = (
        getattr(sdk, name)(timezone="Europe/Berlin"),
        sdk.StartOfHourMapper(timezone="Asia/Kolkata"),
    )
    asset, other = sdk.Asset("file:///a"), sdk.Asset("file:///b")
    rolled = sdk.RollupMapper(upstream_mapper=mapper, window=sdk.DayWindow())
    fanned = sdk.FanOutMapper(upstream_mapper=hour, window=sdk.DayWindow(), downstream_mapper=mapper)
    for how in [
        {"default_partition_mapper": mapper},
        {"default_partition_mapper": rolled},
        {"default_partition_mapper": fanned},
        {"partition_mapper_config": {asset: mapper, other: mapper}},
    ]:
        timetable = sdk.PartitionedAssetTimetable(assets=asset | other, **how)
        window = resolve(timetable, run_type="asset_triggered", partition_date=start)
        assert (*span(window), window.rule) == (start, end, "partition")
    timetable = sdk.PartitionedAssetTimetable(
        assets=asset | other, partition_mapper_config={asset: mapper, other: hour}
    )
    assert "does not start a period" in error(timetable=timetable, partition_date=start)
