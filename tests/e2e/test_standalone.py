"""A deferred task with a running scheduler, triggerer and worker."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone

import pytest

SETTLE = timedelta(seconds=8)
DAG = """
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator


def ago(**length):
    return (datetime.now(timezone.utc) - timedelta(**length)).isoformat()


with DAG(
    "settle",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    schedule=None,
    user_defined_macros={"ago": ago},
):
    SecodaAuditLogsOperator(
        task_id="fetch", start="{{ ago(hours=1) }}", end="{{ ago(seconds=0) }}", settle=timedelta(seconds=8)
    )
"""


@pytest.fixture(scope="package")
def run(standalone):
    """Run a task that waits for its window to settle; the triggerer is down until then.

    During the wait a late log of the window is added, and a log of the next window.
    """
    standalone.put_dag("settle", DAG)
    run_id = standalone.trigger("settle")
    standalone.wait_task("settle", run_id, "fetch", "deferred")
    deferred = datetime.now(timezone.utc)
    standalone.stop("triggerer")
    workspace = standalone.sandbox.workspace
    workspace.add_log(id="late", logged_at=deferred - timedelta(minutes=1), created_at=deferred)
    workspace.add_log(id="next", logged_at=deferred, created_at=deferred)
    time.sleep(SETTLE.total_seconds())
    assert standalone.task("settle", run_id, "fetch")["state"] == "deferred"  # without a triggerer nothing resumes it
    standalone.start_again("triggerer")
    assert standalone.wait("settle", run_id) == "success", standalone.log("settle", run_id, "fetch")
    return run_id


def test_a_deferred_task_survives_a_restart_of_the_triggerer(standalone, run):
    """A window that settles while the triggerer is down is fetched after the restart, once, with late logs."""
    logs = standalone.xcom("settle", run, "fetch")
    ids = [log["id"] for log in logs]
    assert "late" in ids
    assert "next" not in ids
    assert len(ids) == len(set(ids))
    moments = [datetime.fromisoformat(log["logged_at"].replace("Z", "+00:00")) for log in logs]
    window = standalone.sandbox.workspace.window(min(moments), max(moments) + timedelta(microseconds=1))
    assert logs == [json.loads(raw) for raw in window]
    assert standalone.task("settle", run, "fetch")["try_number"] == 1


def test_the_key_is_in_no_file(standalone, run):
    """No log of a task or a trigger, no output of a process and no table contains the API key."""
    assert files_with(standalone.home, run) != []  # the search works
    assert files_with(standalone.home, standalone.sandbox.api_key) == []


def files_with(folder, text):
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
