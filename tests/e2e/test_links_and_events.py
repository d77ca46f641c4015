"""Links of tasks in the web UI, and asset events for the next DAG, in a running Airflow."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.helpers import airflow_runs

DAG = """
import os
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, Asset

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

OUTPUT, START, END = {output!r}, {start!r}, {end!r}

with DAG("linked", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    for name, how in dict(deferred={{"deferrable": True}}, poking={{}}).items():
        SecodaVersionHistorySensor(
            task_id=name, secoda_conn_id="linked", resource_id="metric/1", since=END, poke_interval=1, timeout=60, **how
        )
    SecodaVersionHistorySensor(task_id="unlinked", resource_id="metric/1", since=START, poke_interval=1, timeout=60)
    SecodaAuditLogsOperator(
        task_id="fetch",
        start=START,
        end=END,
        output_path=OUTPUT,
        outlets=[Asset("file:///audit_logs")],
        settle=12,
    )
"""
PAGE = "https://secoda.example.com/metric/metric%2F1/history"
LINKED = ("deferred", "poking")
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "reference" / "results.md").read_text()
CONSUMER = next(
    block for block in re.findall(r"```python\n(.*?)```", DOCUMENTED, re.DOTALL) if "load_audit_logs" in block
)


@pytest.fixture(scope="package")
def linked(standalone, tmp_path_factory):
    """Run two sensors whose connection has the URL of a resource's page, one without, and the operator."""
    end = datetime.now(timezone.utc).replace(microsecond=0)
    standalone.sandbox.workspace.add_version("metric/1", latest_activity_logged_at=end - timedelta(minutes=30))
    standalone.add_connection(
        "linked", standalone.sandbox, resource_url="https://secoda.example.com/metric/{resource_id}/history"
    )
    output = tmp_path_factory.mktemp("linked") / "logs.jsonl"
    start = (end - timedelta(hours=1)).isoformat()
    standalone.put_dag("linked", DAG.format(output=str(output), start=start, end=end.isoformat()))
    if airflow_runs.version() >= (3,):
        standalone.put_dag("load_audit_logs", CONSUMER)
    run_id = standalone.trigger("linked")
    standalone.wait_task("linked", run_id, "deferred", "deferred")
    standalone.wait_task("linked", run_id, "poking", "running")
    standalone.until(lambda: standalone.links("linked", run_id, "poking")[RESOURCE], "the link is there", 30)
    waiting = {task: standalone.links("linked", run_id, task) for task in LINKED}
    standalone.sandbox.workspace.add_version("metric/1", id="linked-new")
    assert standalone.wait("linked", run_id) == "success", standalone.log("linked", run_id, "deferred")
    return run_id, waiting, output


RESOURCE = "Resource in Secoda"


@pytest.mark.parametrize("task_id", LINKED)
def test_a_sensor_links_to_its_resource(standalone, linked, task_id):
    """The link exists while the sensor waits, also in the triggerer, and when it is done."""
    run_id, waiting, _ = linked
    assert waiting[task_id] == {RESOURCE: PAGE}
    assert standalone.links("linked", run_id, task_id) == {RESOURCE: PAGE}


def test_no_link_rather_than_a_wrong_one(standalone, linked):
    """A connection without a URL of pages has an empty link, and a file on a worker's disk has none."""
    run_id, _, _ = linked
    assert standalone.links("linked", run_id, "unlinked") == {RESOURCE: None}
    assert standalone.links("linked", run_id, "fetch") == {}


def test_the_event_of_an_outlet_contains_the_summary(standalone, linked):
    """The event has the file, the window and the counts that the task returned."""
    run_id, _, output = linked
    returned = standalone.xcom("linked", run_id, "fetch")
    (event,) = standalone.asset_events("file:///audit_logs")
    assert event["extra"] == returned
    assert (returned["path"], returned["window_rule"]) == (str(output), "start_end")
    assert returned["count"] == len(Path(returned["path"]).read_text().splitlines()) > 0
    assert json.loads(Path(returned["manifest"]).read_text())["query"]["start"] == returned["start"]


@pytest.mark.skipif(airflow_runs.version() < (3,), reason="the example is for Airflow 3")
def test_the_documented_dag_is_run_by_the_event(standalone, linked):
    """The DAG in the documentation runs when a file is written, and gets its path."""
    _, _, output = linked
    runs = standalone.until(lambda: standalone.runs("load_audit_logs"), "the event runs the DAG", 60)
    assert standalone.wait("load_audit_logs", runs[0]["dag_run_id"]) == "success"
    assert standalone.xcom("load_audit_logs", runs[0]["dag_run_id"], "load") == [str(output)]


def test_a_link_without_a_url_is_not_pushed(standalone, linked):
    """For a file on a worker's disk, no XCom with a link is pushed."""
    run_id, _, _ = linked
    with pytest.raises(LookupError):
        standalone.xcom("linked", run_id, "fetch", "_link_SecodaOutputLink")
