"""Waits for versions with a running scheduler, triggerer, DAG processor and worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import airflow_runs

EXAMPLES = Path(__file__).parent.parent.parent / "example_dags"
SENSOR = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

with DAG("{dag_id}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaVersionHistorySensor(
        task_id="wait", resource_id="{dag_id}", deferrable=True, poke_interval=1, retries=1, {arguments}
    )
"""
airflow_3_3 = pytest.mark.skipif(airflow_runs.version() < (3, 3), reason="since Airflow 3.3")
airflow_3 = pytest.mark.skipif(airflow_runs.version() < (3,), reason="since Airflow 3")


def start(standalone, dag_id, arguments=""):
    """Start a sensor for a resource whose id is that of the DAG; return the run's id."""
    standalone.sandbox.workspace.add_version(dag_id, latest_activity_logged_at="2026-01-01T00:00:00Z")
    standalone.put_dag(dag_id, SENSOR.format(dag_id=dag_id, arguments=arguments))
    run_id = standalone.trigger(dag_id)
    standalone.wait_task(dag_id, run_id, "wait", "deferred")
    return run_id


def test_a_deferred_sensor_is_resumed_by_the_triggerer(standalone):
    """A version that is added while the task is deferred and the triggerer is down is returned by the task."""
    run_id = start(standalone, "deferred")
    standalone.stop("triggerer")
    standalone.sandbox.workspace.add_version("deferred", id="while-away")
    standalone.start_again("triggerer")
    assert standalone.wait("deferred", run_id) == "success", standalone.log("deferred", run_id, "wait")
    assert [entry["id"] for entry in standalone.xcom("deferred", run_id, "wait")] == ["while-away"]


def test_an_error_in_the_triggerer_fails_the_task_at_once(standalone):
    """A key that is revoked while the task is deferred fails it without a retry; its log has both ids."""
    run_id = start(standalone, "revoked")
    # The connection is read again, because keys are rotated; with the same key the task fails.
    standalone.sandbox.faults.script = [401] * 20
    try:
        assert standalone.wait("revoked", run_id) == "failed"
    finally:
        standalone.sandbox.faults.script = []
    assert standalone.task("revoked", run_id, "wait")["try_number"] == 1
    log = standalone.log("revoked", run_id, "wait")
    assert "resource 'revoked' by connection 'secoda_default': Secoda answered 401" in log


@airflow_3_3
def test_a_sensor_that_uses_no_worker(standalone):
    """A sensor that starts from its trigger and pushes no XCom ends there; it never runs on a worker."""
    run_id = start(standalone, "slotless", "start_from_trigger=True, do_xcom_push=False")
    standalone.sandbox.workspace.add_version("slotless", id="new")
    assert standalone.wait("slotless", run_id) == "success", standalone.triggerer_log()
    task = standalone.task("slotless", run_id, "wait")
    assert not task["hostname"]
    assert task["pid"] is None
    assert task["queued_when"] is None


@airflow_3_3
def test_a_sensor_that_starts_from_its_trigger(standalone):
    """A sensor that starts from its trigger returns the same list as one that starts on a worker."""
    run_id = start(standalone, "startless", "start_from_trigger=True")
    standalone.sandbox.workspace.add_version("startless", id="newer")
    assert standalone.wait("startless", run_id) == "success", standalone.triggerer_log()
    assert [entry["id"] for entry in standalone.xcom("startless", run_id, "wait")] == ["newer"]
    assert "Start from trigger enabled" in standalone.triggerer_log()


@airflow_3_3
def test_a_wrong_argument_fails_a_sensor_that_uses_no_worker(standalone):
    """A wrong argument fails a sensor that starts from its trigger without a retry; the error has its name."""
    standalone.put_dag("slotless_bad", SENSOR.format(
        dag_id="slotless_bad", arguments="start_from_trigger=True, since='{{ dag_run.conf.get(\"since\") }}'"
    ))  # fmt: skip
    run_id = standalone.trigger("slotless_bad")
    assert standalone.wait("slotless_bad", run_id) == "failed"
    assert standalone.task("slotless_bad", run_id, "wait")["try_number"] == 1
    assert "`since` must be a non-empty string, not 'None'" in standalone.log("slotless_bad", run_id, "wait")


@airflow_3
def test_a_dag_is_run_by_a_new_version(standalone):
    """The event-driven example runs once for a new version, and gets its id."""
    resource_id = "the-id-in-the-resource's-url"
    standalone.sandbox.workspace.add_version(resource_id, latest_activity_logged_at="2026-01-01T00:00:00Z")
    source = (EXAMPLES / "secoda_on_new_version.py").read_text()
    source = source.replace("(resource_id=RESOURCE_ID)", "(resource_id=RESOURCE_ID, poke_interval=1.0)")
    standalone.put_dag("secoda_on_new_version", source)
    standalone.until(lambda: "trigger ID" in standalone.triggerer_log(), "the watcher runs", 60)
    before_start = len(standalone.sandbox.requests)
    standalone.until(lambda: len(standalone.sandbox.requests) > before_start, "the watcher polls", 60)
    standalone.sandbox.workspace.add_version(resource_id, id="fired")
    (run,) = standalone.until(lambda: standalone.runs("secoda_on_new_version"), "a run", 60)
    assert standalone.wait("secoda_on_new_version", run["dag_run_id"]) == "success"
    assert standalone.xcom("secoda_on_new_version", run["dag_run_id"], "print_changes") == ["fired"]
    (event,) = standalone.asset_events("secoda_revenue_metric")
    assert event["extra"]["payload"]["id"] == "fired"


@airflow_3_3
def test_a_version_from_while_the_triggerer_was_down(standalone):
    """A version that is added while no triggerer runs is delivered after its restart; earlier ones are not repeated."""
    resource_id = "the-id-in-the-resource's-url"
    before = len(standalone.asset_events("secoda_revenue_metric"))
    standalone.stop("triggerer")
    standalone.sandbox.workspace.add_version(resource_id, id="away")
    standalone.start_again("triggerer")
    standalone.until(lambda: len(standalone.asset_events("secoda_revenue_metric")) > before, "an event", 60)
    ids = [event["extra"]["payload"]["id"] for event in standalone.asset_events("secoda_revenue_metric")]
    assert sorted(ids) == sorted({*ids, "away"})
