"""The timeouts of a task that waits, in every mode of both classes, with a running scheduler and triggerer."""

from __future__ import annotations

import re

import pytest

DAG_FILE = """
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor


def sensor(task_id, timeout, execution_timeout, **mode):
    limit = timedelta(seconds=execution_timeout)
    SecodaVersionHistorySensor(
        task_id=task_id, resource_id="limits", poke_interval=5, timeout=timeout, execution_timeout=limit, **mode
    )


def operator(task_id, execution_timeout, **mode):
    until = "{{ (dag_run.start_date or dag_run.run_after) + macros.timedelta(hours=1) }}"
    limit = timedelta(seconds=execution_timeout)
    SecodaAuditLogsOperator(task_id=task_id, start="2026-01-01", end=until, execution_timeout=limit, **mode)


retried = {"retries": 1, "retry_delay": timedelta(0)}
with DAG("limits", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), default_args=retried):
"""
#: By task id: how the task is made, and which timeout ends it.
TASKS = {
    "poke": ("sensor({0!r}, 3600, 6)", "AirflowTaskTimeout"),
    "deferrable": ("sensor({0!r}, 3600, 6, deferrable=True)", "AirflowTaskTimeout"),
    "start_from_trigger": ("sensor({0!r}, 3600, 6, deferrable=True, start_from_trigger=True)", "AirflowTaskTimeout"),
    "operator_in_place": ("operator({0!r}, 6, deferrable=False)", "AirflowTaskTimeout"),
    "operator_deferred": ("operator({0!r}, 6)", "AirflowTaskTimeout"),
    "poke_timeout": ("sensor({0!r}, 6, 3600)", "AirflowSensorTimeout"),
    "deferrable_timeout": ("sensor({0!r}, 6, 3600, deferrable=True)", "AirflowSensorTimeout"),
    "start_from_trigger_timeout": (
        "sensor({0!r}, 6, 3600, deferrable=True, start_from_trigger=True)",
        "AirflowSensorTimeout",
    ),
    # Airflow applies `execution_timeout` to each process of a task that is rescheduled. This one takes longest.
    "reschedule": ("sensor({0!r}, 45, 35, mode='reschedule', priority_weight=2)", "AirflowSensorTimeout"),
}


@pytest.fixture(scope="module")
def run_id(standalone):
    """Run all tasks at the same time, to their end, and return the run's id."""
    lines = [f"    {code.format(task_id)}\n" for task_id, (code, _) in TASKS.items()]
    standalone.sandbox.workspace.add_version("limits", latest_activity_logged_at="2026-01-01T00:00:00Z")
    standalone.put_dag("limits", DAG_FILE + "".join(lines))
    started = standalone.trigger("limits")
    standalone.wait("limits", started, timeout=300)
    return started


@pytest.mark.parametrize("task_id", TASKS)
def test_the_shorter_timeout_ends_the_wait(standalone, run_id, task_id):
    """The execution timeout is kept in all modes, and the task is retried; after the sensor's timeout it is not."""
    _, error = TASKS[task_id]
    task = standalone.task("limits", run_id, task_id)
    log = standalone.log("limits", run_id, task_id, task["try_number"])
    assert task["state"] == "failed", log
    assert task["try_number"] == (2 if error == "AirflowTaskTimeout" else 1), log
    assert set(re.findall(r"\bAirflow(?:Task|Sensor)Timeout\b", log)) == {error}, log
