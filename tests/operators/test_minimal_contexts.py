"""A first unit test works: the operator, the sensor and the hook without a DAG, a run or Airflow's database."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
from airflow_provider_secoda.verify import verify

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
START, END = UNTIL - 5 * DAY, UNTIL - 4 * DAY

#: Contexts as people write them. Airflow's own tests often pass None or a mock.
CONTEXTS = {
    "empty": {},
    "none": None,
    "a date": {"ds": "2026-02-24", "logical_date": START},
    "nothing in it": {"dag": None, "dag_run": None, "ti": None},
    "a mocked task instance": {"ti": MagicMock(), "task_instance": MagicMock(), "run_id": "manual"},
    "a mock": MagicMock(),
}


@pytest.fixture
def workspace(secoda_sandbox_factory):
    known = Workspace.generate(seed=3, logs=300, days=20, until=UNTIL)
    known.add_version("metric-1", id="v1", created_at=UNTIL)
    secoda_sandbox_factory(known)
    return known


@pytest.fixture(params=CONTEXTS)
def context(request):
    return CONTEXTS[request.param]


@pytest.mark.parametrize("name", [None, "logs.jsonl"])
def test_the_operator_with_start_and_end_needs_nothing_of_a_run(workspace, context, tmp_path, name):
    """With ``start`` and ``end`` the operator returns or writes the window's logs; the manifest has what is known."""
    path = name and str(tmp_path / name)
    operator = SecodaAuditLogsOperator(task_id="fetch", start=START, end="2026-02-25", output_path=path)
    found = operator.execute(context)
    if path is None:
        assert found == [json.loads(raw) for raw in workspace.window(START, END)] != []
        return
    assert Path(path).read_bytes() == b"".join(raw + b"\n" for raw in workspace.window(START, END)) != b""
    assert verify([str(tmp_path)]).exit_code == 0
    run = json.loads(Path(found["manifest"]).read_bytes())["run"]
    assert {run[key] for key in ("dag_id", "task_id", "run_id", "map_index", "try_number")} == {None}
    is_dated = isinstance(context, dict) and "logical_date" in context
    assert run["logical_date"] == ("2026-02-24T00:00:00Z" if is_dated else None)


def test_a_data_interval_needs_no_dag(workspace):
    """A data interval in the context is the window, with or without the DAG."""
    operator = SecodaAuditLogsOperator(task_id="fetch")
    found = operator.execute({"data_interval_start": START, "data_interval_end": END})
    assert found == [json.loads(raw) for raw in workspace.window(START, END)] != []


@pytest.mark.parametrize(
    "context",
    [
        *({}, None, {"dag": None}, {"logical_date": START}),
        *({"data_interval_start": START, "data_interval_end": START}, {"dag_run": SimpleNamespace(run_after=END)}),
        {"partition_date": START},
    ],
)
def test_without_a_window_and_a_dag_the_error_says_what_to_pass(workspace, context):
    """Where only the DAG's schedule could give the window, and the context has no DAG, the error names `start`."""
    operator = SecodaAuditLogsOperator(task_id="fetch")
    with pytest.raises(AirflowFailException, match=r"Task 'fetch': .*no DAG.*pass start and end"):
        operator.execute(context)


def test_the_sensor_needs_nothing_of_a_run(workspace, context):
    """With ``since`` the sensor polls, waits or defers with any context."""
    arguments = {"task_id": "wait", "resource_id": "metric-1"}
    early, late = UNTIL - DAY, UNTIL + DAY
    sensor = SecodaVersionHistorySensor(**arguments, since=early)
    assert [entry["id"] for entry in sensor.execute(context)] == ["v1"]
    assert [entry["id"] for entry in sensor.poke(context).xcom_value] == ["v1"]
    assert not SecodaVersionHistorySensor(**arguments, since=late).poke(context).is_done
    sensor = SecodaVersionHistorySensor(**arguments, since=early, deferrable=True)
    assert [entry["id"] for entry in sensor.execute(context)] == ["v1"]
    with pytest.raises(TaskDeferred):
        SecodaVersionHistorySensor(**arguments, since=late, deferrable=True).execute(context)


TASKS = """
    from datetime import datetime, timezone

    from airflow.providers.common.compat.sdk import DAG, task
    from airflow.timetables.interval import CronDataIntervalTimetable
    from airflow_provider_secoda.hooks.secoda import SecodaHook


    @task
    def of_the_interval(**context):
        return list(SecodaHook().iter_audit_logs(context["data_interval_start"], context["data_interval_end"]))


    @task
    def of_strings(ds=None):
        return list(SecodaHook().iter_audit_logs("2026-02-24", "2026-02-25T00:00:00+00:00", concurrency=1))


    @task
    def versions():
        return list(SecodaHook("secoda_default").iter_version_histories("metric-1"))


    @task
    def page():
        hook = SecodaHook(secoda_conn_id="secoda_default")
        return hook.list_audit_logs(sort={"field": "logged_at", "order": "asc"})["results"]


    daily = CronDataIntervalTimetable("@daily", "UTC")
    with DAG("hooks", schedule=daily, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
        of_the_interval() >> of_strings() >> versions() >> page()
"""


def test_the_hook_in_a_task(airflow, workspace):
    """A ``@task`` passes the hook datetimes of its context or ISO 8601 strings, and returns what it read."""
    ran = airflow.run_dag(TASKS, logical_date=END)
    assert ran.state == "success", ran.log
    assert ran.xcoms["of_the_interval"] == ran.xcoms["of_strings"]
    logs = [json.loads(raw) for raw in workspace.window(START, END)]
    assert sorted(ran.xcoms["of_strings"], key=lambda log: log["id"]) == sorted(logs, key=lambda log: log["id"]) != []
    assert [version["id"] for version in ran.xcoms["versions"]] == ["v1"]
    assert len(ran.xcoms["page"]) > 50


def test_a_time_that_the_hook_cannot_use_is_named(workspace):
    """A wrong time is an error that names the argument, also for strings."""
    for start, end, said in [
        (START.replace(tzinfo=None), END, "`start` has no time zone: 2026-02-24T00:00:00"),
        (START, "yesterday", "end='yesterday'"),
        ("None", END, "`start` must be a non-empty string"),
    ]:
        with pytest.raises(ValueError, match=said):
            list(SecodaHook().iter_audit_logs(start, end))
