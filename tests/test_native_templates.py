"""DAGs with `render_template_as_native_obj=True`: text stays text, or the error names the setting."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")
pytest.importorskip("starlette", reason="the sandbox needs it")

from airflow_provider_secoda._native_templates import keep_texts
from airflow_provider_secoda.sandbox import Workspace
from tests.helpers import airflow_runs

UNTIL = datetime(2026, 3, 2, tzinfo=timezone.utc)
DAG_FILE = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor


def exact(value, field="performer_id"):
    return {{"operator": "exact", "field": field, "value": value}}


with DAG(
    "native_{name}",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    render_template_as_native_obj=True,
    params={{"day": "20260301", "id": "123", "number": 5, "filter": exact("20260301"), "none": None, "float": "1.5"}},
):
    {task}
"""
EDGES = 'start="20260301", end="20260302"'
OPERATOR = "SecodaAuditLogsOperator(task_id='task', {})"
SENSOR = "SecodaVersionHistorySensor(task_id='task', since='20260101', poke_interval=1, timeout=5, {})"
JSON_TEXT = '{"operator": "exact", "field": "performer_id", "value": "{{ params.day }}"}'
#: By name: a task that succeeds, and the parameters that it sends (`filter` decoded).
KEPT = {
    "edges": (OPERATOR.format(EDGES), {}),
    "edge_templates": (OPERATOR.format('start="{{ params.day }}", end="{{ params.day | int + 1 }}"'), {}),
    "edge_objects": (
        OPERATOR.format(
            'start="{{ macros.datetime(2026, 3, 1).replace(tzinfo=macros.dateutil.tz.UTC) }}", end="20260302"'
        ),
        {},
    ),
    "connection": (OPERATOR.format(EDGES + ', secoda_conn_id="2026"'), {}),
    "filter": (OPERATOR.format(EDGES + ', filter=exact("20260301")'), {"filter": "20260301"}),
    "nested_filter": (
        OPERATOR.format(EDGES + ', filter={"operator": "and", "operands": [exact("1e5"), exact("True")]}'),
        {"filter": ["1e5", "True"]},
    ),
    "filter_object": (OPERATOR.format(EDGES + ', filter="{{ params.filter }}"'), {"filter": "20260301"}),
    "filter_of_json": (OPERATOR.format(f"{EDGES}, filter={JSON_TEXT!r}"), {"filter": "20260301"}),
    "mapped": (
        f"SecodaAuditLogsOperator.partial(task_id='task', filter=exact('7')).expand_kwargs([dict({EDGES})])",
        {"filter": "7"},
    ),
    "poke": (SENSOR.format('resource_id="123"'), {"resource_id": "123"}),
    "reschedule": (SENSOR.format('resource_id="123", mode="reschedule"'), {"resource_id": "123"}),
    "deferrable": (SENSOR.format('resource_id="{{ params.id }}", deferrable=True'), {"resource_id": "123"}),
    "version_id": (SENSOR.replace("since", "since_version_id").format('resource_id="123"'), {"resource_id": "123"}),
}
#: By name: a task that fails, and the argument that the error names.
REFUSED = {
    "number_in_filter": (OPERATOR.format(EDGES + ', filter=exact("{{ params.day }}")'), "`filter.value`"),
    "no_filter": (OPERATOR.format(EDGES + ', filter="{{ params.none }}"'), "`filter`"),
    "no_path": (OPERATOR.format(EDGES + ', output_path="{{ params.none }}"'), "`output_path`"),
    "no_edge": (OPERATOR.format('start="{{ params.none }}", end="{{ params.none }}"'), "`start`"),
    "float": (SENSOR.format('resource_id="{{ params.float }}"'), "`resource_id`"),
    "no_baseline": (SENSOR.replace("'20260101'", "'{{{{ params.none }}}}'").format('resource_id="123"'), "`since`"),
}


@pytest.fixture
def sandbox(secoda_sandbox_factory, monkeypatch):
    workspace = Workspace.generate(seed=1, logs=20, days=2, until=UNTIL)
    workspace.add_version("123", id="20260101", latest_activity_logged_at=UNTIL - timedelta(days=80))
    workspace.add_version("123", id="new", latest_activity_logged_at=UNTIL)
    sandbox = secoda_sandbox_factory(workspace)
    monkeypatch.setenv("AIRFLOW_CONN_2026", sandbox.connection_json)
    return sandbox


def values(tree):
    """Return the value or values of a filter."""
    return [values(one) for one in tree["operands"]] if "operands" in tree else tree["value"]


@pytest.mark.parametrize("name", KEPT)
def test_text_stays_text(airflow, sandbox, name):
    """Ids, times and filters of digits are what the DAG file says, in each mode and for mapped tasks."""
    if name == "reschedule" and (3,) <= airflow_runs.version() < (3, 1):
        pytest.skip("`dag.test()` of Airflow 3.0 takes the time of the first poll for text")
    code, sent = KEPT[name]
    ran = airflow.run_dag(DAG_FILE.format(name=name, task=code))
    assert ran.state == "success", ran.log
    found = [dict(request.params) for request in sandbox.requests]
    for parameter in sent:
        texts = [params[parameter] for params in found if parameter in params]
        assert {str(values(json.loads(text)) if parameter == "filter" else text) for text in texts} == {
            str(sent[parameter])
        }
    if code.startswith("SecodaAuditLogsOperator"):
        logs = ran.xcoms["task"][0] if name == "mapped" else ran.xcoms["task"]
        assert all(log["logged_at"].startswith("2026-03-01") for log in logs)
        assert logs or sent
    else:
        assert [entry["id"] for entry in ran.xcoms["task"]][-1] == "new"


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_not_have_been_text_is_refused(airflow, sandbox, name):
    """A value that may or may not have been text fails the task before any request, and the error names the setting."""
    code, argument = REFUSED[name]
    ran = airflow.run_dag(DAG_FILE.format(name=name, task=code))
    assert ran.state == "failed"
    assert f"{argument}: " in ran.log
    assert "render_template_as_native_obj=True" in ran.log
    assert sandbox.requests == []


def test_a_rendered_filter_keeps_its_other_values():
    """Numbers that the DAG file has as numbers, and lists and objects that a template renders to, are as they are."""
    given = {"operands": [{"value": 5}, {"value": "{{ a }}"}, {"value": "5"}], "operator": "and"}
    rendered = {"operands": [{"value": 5}, {"value": [1, "b"]}, {"value": 5}], "operator": "and"}
    task = SimpleNamespace(filter=rendered)
    keep_texts(task, {"filter": given})
    assert task.filter == {"operands": [{"value": 5}, {"value": [1, "b"]}, {"value": "5"}], "operator": "and"}
