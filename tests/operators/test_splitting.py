"""A window is split into windows without gap or overlap, in any form and any zone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_secoda.windows import split_window
from tests.helpers import timestamps

ZONES = [timezone.utc, timezone(timedelta(hours=-9, minutes=-30)), *map(ZoneInfo, ("Europe/Berlin", "Asia/Kathmandu"))]
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(timezone.utc))  # noqa: DTZ001
LENGTHS = st.timedeltas(timedelta(microseconds=1), timedelta(days=400))
FORMS = st.sampled_from([lambda moment: moment, datetime.isoformat, pendulum.instance])


def edges(pieces):
    return [[timestamps.read(piece[name]) for name in ("start", "end")] for piece in pieces]


@given(MOMENTS, LENGTHS, LENGTHS, st.sampled_from(ZONES), st.sampled_from(ZONES), FORMS, FORMS)
def test_the_pieces_cover_the_window_exactly(start, length, every, zone, other_zone, form, other_form):
    """The pieces of any window have no gap, no overlap, its exact edges, and one length except the last."""
    end, every = start + length, max(every, length / 50)
    given = form(start.astimezone(zone)), other_form(end.astimezone(other_zone))
    pieces = edges(split_window(*given, every=every, at_most=51))
    assert (pieces[0][0], pieces[-1][1]) == (start, end)
    assert all(before[1] == after[0] for before, after in pairwise(pieces))
    assert {until - since for since, until in pieces[:-1]} <= {every}
    assert timedelta(0) < pieces[-1][1] - pieces[-1][0] <= every
    assert {moment.utcoffset() for piece in pieces for moment in piece} == {timedelta(0)}


def test_a_day_has_24_hours():
    """Where clocks change, the pieces are days of UTC: of equal length, and each once."""
    berlin = ZoneInfo("Europe/Berlin")
    pieces = split_window(datetime(2026, 10, 24, 2, tzinfo=berlin), datetime(2026, 10, 27, 2, tzinfo=berlin))
    assert [piece["start"] for piece in pieces] == [f"2026-10-{day}T00:00:00Z" for day in (24, 25, 26, 27)]
    assert pieces[-1]["end"] == "2026-10-27T01:00:00Z"


def test_a_short_window_is_not_split():
    """A window that is not longer than a piece is one piece, exact to the microsecond."""
    for end in ("2026-01-01T00:00:00.000001", "2026-01-01T23:59:59.999999", "2026-01-02"):
        (piece,) = edges(split_window("2026-01-01", end, at_most=1))
        assert piece[1] == datetime.fromisoformat(end).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("start", "end", "every", "said"),
    [
        ("2026-01-02", "2026-01-02", timedelta(1), "is not before"),
        ("2026-01-02", "2026-01-01", timedelta(1), "is not before"),
        ("2026-01-01", "2026-01-02", timedelta(0), "`every`"),
        ("2026-01-01", "2026-01-02", timedelta(-1), "`every`"),
        ("2026-01-01", "soon", timedelta(1), "end='soon'"),
        ("None", "2026-01-02", timedelta(1), "`start` must be a non-empty string"),
        (datetime(2026, 1, 1), "2026-01-02", timedelta(1), "`start` has no time zone: 2026-01-01T00:00:00"),  # noqa: DTZ001
        ("2026-01-01", "2026-01-12", timedelta(1), "11 windows of 1 day, 0:00:00, and a task is mapped to at most 10"),
        ("1970-01-01", "2026-01-01", timedelta(microseconds=1), "at most 10"),
    ],
)
def test_what_cannot_be_split_is_an_error(start, end, every, said):
    """Arguments that are not a window, or that give too many windows, are an error, before any window is computed."""
    with pytest.raises(ValueError, match=said):
        split_window(start, end, every=every, at_most=10)


def test_the_default_limit_is_that_of_airflow(airflow, monkeypatch):
    """The default limit is Airflow's limit of mapped tasks."""
    assert len(split_window("2026-01-01", "2028-10-21")) == 1024
    with pytest.raises(ValueError, match="at most 1024"):
        split_window("2026-01-01", "2028-10-22")
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    with pytest.raises(ValueError, match="max_map_length"):
        split_window("2026-01-01", "2026-01-04")
