"""Scheduler, triggerer and running tasks are killed, as when their machine goes down, and started again."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_secoda.sandbox import Sandbox, Workspace
from tests.helpers import airflow_runs
from tests.helpers.crash_checks import Directory, OutputFiles, check_complete, read_target

# The triggerer polls once a second: it sees new versions within this time, while no scheduler runs.
SEEN_SECONDS = 3
END_SECONDS = 150
UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
WATCHERS = airflow_runs.version() >= (3, 3)  # since then, a restarted watcher has a cursor

DAGS = """
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

START = datetime(2026, 1, 1, tzinfo=timezone.utc)

for dag_id, conn_id, settle in (("running", "slow", 0), ("settling", "secoda_default", 25)):
    with DAG(dag_id, schedule=None, start_date=START):
        SecodaAuditLogsOperator(
            task_id="task",
            secoda_conn_id=conn_id,
            start="{{ dag_run.conf['start'] }}",
            end="{{ dag_run.conf['end'] }}",
            output_path="{{ dag_run.conf['output_path'] }}",
            settle=timedelta(seconds=settle),
            concurrency=1,
            retries=1,
            retry_delay=timedelta(seconds=1),
        )

for dag_id, how in {
    "deferring": {"deferrable": True, "poke_interval": 1},
    "away": {"deferrable": True, "poke_interval": 1},
    "rescheduled": {"mode": "reschedule", "poke_interval": 6},
}.items():
    with DAG(dag_id, schedule=None, start_date=START):
        SecodaVersionHistorySensor(task_id="task", resource_id=dag_id, retries=1, **how)
"""
WATCHED = """

from airflow.sdk import Asset, AssetWatcher

from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryEventTrigger

trigger = SecodaVersionHistoryEventTrigger(secoda_conn_id="watched", resource_id="watched", poke_interval=1.0)
asset = Asset("watched", watchers=[AssetWatcher(name="watcher", trigger=trigger)])

with DAG("watched", schedule=[asset], start_date=START) as dag:

    @dag.task(task_id="task")
    def event_ids(**context):
        return [event.extra["payload"]["id"] for event in context["triggering_asset_events"][asset]]

    event_ids()
"""


@pytest.fixture
def slow():
    """Return a sandbox whose responses are slow, so that a task can be killed while it reads."""
    with Sandbox(Workspace.generate(seed=3, logs=900, days=5, until=UNTIL), page_size=20) as sandbox:
        sandbox.faults.latency = 0.5
        yield sandbox


@pytest.fixture
def watched():
    """Return a sandbox for the watcher only, so that its requests are not counted in other tests."""
    workspace = Workspace()
    workspace.add_version("watched", latest_activity_logged_at="2026-01-01T00:00:00Z")
    with Sandbox(workspace) as sandbox:
        yield sandbox


@pytest.fixture
def begun(standalone, slow, watched, tmp_path):
    """Start a run of each DAG; return the runs' ids, and the two targets with their windows."""
    for resource_id in ("deferring", "away", "rescheduled"):
        standalone.sandbox.workspace.add_version(resource_id, latest_activity_logged_at="2026-01-01T00:00:00Z")
    standalone.start()
    standalone.add_connection("slow", slow)
    standalone.add_connection("watched", watched)
    standalone.put_dag("restarts", DAGS + WATCHED if WATCHERS else DAGS)
    runs = {dag_id: standalone.trigger(dag_id) for dag_id in ("deferring", "away", "rescheduled")}
    for dag_id, run_id in runs.items():
        state = "up_for_reschedule" if dag_id == "rescheduled" else "deferred"
        standalone.wait_task(dag_id, run_id, "task", state)
    now, days = datetime.now(timezone.utc), timedelta(days=1)
    windows = {"running": (UNTIL - 3 * days, UNTIL - 2 * days), "settling": (now - days, now)}
    targets = {}
    for dag_id, (start, end) in windows.items():
        target = Directory(tmp_path / dag_id)
        conf = {"start": start.isoformat(), "end": end.isoformat(), "output_path": target.url}
        runs[dag_id], targets[dag_id] = standalone.trigger(dag_id, conf=conf), (target, start, end)
    standalone.wait_task("settling", runs["settling"], "task", "deferred")
    standalone.until(lambda: len(slow.requests) >= 3, "a task reads", 60)
    if WATCHERS:
        standalone.until(lambda: len(watched.requests) >= 2, "the watcher polls", 60)
    yield runs, targets
    standalone.remove_dag("restarts")


def ids(standalone, dag_id, run_id):
    return [entry["id"] for entry in standalone.xcom(dag_id, run_id, "task")]


def test_killed_and_started_again(standalone, slow, watched, begun):
    """After Airflow is killed, running, deferred and waiting tasks and watchers miss nothing; files are complete."""
    runs, targets = begun
    add = standalone.sandbox.workspace.add_version

    standalone.stop("scheduler", kill=True)
    before, slow.faults.latency = len(slow.requests), 0.0
    add("deferring", id="deferred-unscheduled")
    add("rescheduled", id="rescheduled-unscheduled")
    watched.workspace.add_version("watched", id="watched-unscheduled")
    time.sleep(SEEN_SECONDS)
    standalone.stop("triggerer", kill=True)
    add("away", id="away-unseen")
    watched.workspace.add_version("watched", id="watched-unseen")
    assert all(read_target(target) == (OutputFiles(), []) for target, _, _ in targets.values())
    standalone.start_again("triggerer", wait=False)
    standalone.start_again("scheduler")

    for dag_id, run_id in runs.items():
        assert standalone.wait(dag_id, run_id, END_SECONDS) == "success", standalone.log(dag_id, run_id, "task")
    assert ids(standalone, "deferring", runs["deferring"]) == ["deferred-unscheduled"]
    assert ids(standalone, "rescheduled", runs["rescheduled"]) == ["rescheduled-unscheduled"]
    assert ids(standalone, "away", runs["away"]) == ["away-unseen"]
    assert len(slow.requests) > before  # the task was killed during its read, and started again
    for dag_id, sandbox in (("running", slow), ("settling", standalone.sandbox)):
        target, start, end = targets[dag_id]
        truth = sandbox.workspace.window(start, end)
        assert len(truth) > 20
        assert check_complete(target, b"".join(raw + b"\n" for raw in truth), truth, signed=False) == []
    if WATCHERS:
        standalone.until(
            lambda: watched_ids(standalone) >= {"watched-unscheduled", "watched-unseen"},
            "both versions are delivered",
            60,
        )


def watched_ids(standalone):
    """Return the ids of the versions for which the watcher's DAG ran successfully."""
    found = set()
    for run in standalone.runs("watched"):
        if run["state"] == "success":
            found.update(standalone.xcom("watched", run["dag_run_id"], "task"))
    return found
