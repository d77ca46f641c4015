"""Resolve the window of a run from facts that a test states, without the run."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from tests.helpers import airflow_runs

V32 = airflow_runs.version() >= (3, 2)


def utc(*numbers):
    return datetime(*numbers, tzinfo=timezone.utc)


def resolve(timetable=None, *, start=None, end=None, dag_start=None, context=None, **run):
    """Resolve the window of a run with these facts; ``at`` sets an empty data interval."""
    from airflow_provider_secoda.windows import resolve_window

    if "at" in run:
        run["data_interval_start"] = run["data_interval_end"] = run.pop("at")
    dag = SimpleNamespace(start_date=dag_start, timetable=timetable)
    return resolve_window({"dag_run": SimpleNamespace(**run), "dag": dag} | (context or {}), start=start, end=end)


def span(window):
    return window.start, window.end


def error(**how):
    """Return the message of the WindowError that resolving must raise."""
    from airflow_provider_secoda.windows import WindowError

    with pytest.raises(WindowError) as raised:
        resolve(**how)
    return str(raised.value)


def as_a_task_sees_it(name, *args, **kwargs):
    """Return a timetable of the class that a task gets: since Airflow 3.2 one that cannot calculate."""
    if V32:
        import airflow.sdk

        return getattr(airflow.sdk, name)(*args, **kwargs)
    from airflow.timetables import interval, trigger

    return getattr(interval if "Interval" in name else trigger, name)(*args, **kwargs)


def cron(expression, zone="UTC", **how):
    return as_a_task_sees_it("CronTriggerTimetable", expression, timezone=zone, **how)
