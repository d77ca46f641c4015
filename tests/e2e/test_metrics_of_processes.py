"""Metrics that the worker and the triggerer of a running Airflow send."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from airflow_provider_secoda.sandbox import Sandbox, Workspace

DAG = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

with DAG("metered", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaVersionHistorySensor(
        task_id="wait", secoda_conn_id="metered", resource_id="R", deferrable=True, poke_interval=0.5
    ) >> SecodaAuditLogsOperator(
        task_id="fetch", secoda_conn_id="metered", start="2026-02-27T00:00Z", end="2026-02-28T00:00Z", concurrency=1
    )
"""


def test_all_processes_report_their_requests(standalone, listener):
    """Worker and triggerer report each request once, also failed ones, with the connection's id as a tag."""
    workspace = Workspace.generate(logs=100, days=2, until=datetime(2026, 2, 28, tzinfo=timezone.utc))
    workspace.add_version("R", latest_activity_logged_at="2026-01-01T00:00:00Z")
    with Sandbox(workspace) as sandbox:
        standalone.add_connection("metered", sandbox)
        standalone.put_dag("metered", DAG)
        listener.lines()
        heard = {}

        def received_requests():
            for name, value in listener.heard("secoda_conn_id=metered").items():
                heard[name] = heard.get(name, [] if isinstance(value, list) else 0) + value
            return heard.get("secoda.requests", 0)

        run_id = standalone.trigger("metered")
        standalone.wait_task("metered", run_id, "wait", "deferred")
        on_the_worker = received_requests()
        sandbox.faults.script = [("status", 429, {"Retry-After": "0"})]
        standalone.until(lambda: received_requests() >= on_the_worker + 3, "the triggerer reports its polls", 30)
        workspace.add_version("R")
        assert standalone.wait("metered", run_id) == "success", standalone.log("metered", run_id, "wait")
        standalone.until(lambda: received_requests() == len(sandbox.requests), "each request is reported once", 10)
        statuses = [request.status for request in sandbox.requests]
    assert heard.pop("secoda.lag", None) is not None
    assert heard.pop("secoda.logs") == sum(logs_of_each_run(standalone, run_id))
    assert heard == {
        "secoda.requests": len(statuses),
        "secoda.pages": statuses.count(200),
        "secoda.throttles": statuses.count(429),
    }
    assert on_the_worker >= 1


def logs_of_each_run(standalone, run_id):
    """Return how many logs each run of the task has read: Airflow runs a task at least once, and rarely twice."""
    tries = range(1, standalone.task("metered", run_id, "fetch")["try_number"] + 1)
    log = "".join(standalone.log("metered", run_id, "fetch", number) for number in tries)
    found = [int(number) for number in re.findall(r"\bRead (\d+) logs of ", log)]
    assert set(found) == {len(standalone.xcom("metered", run_id, "fetch"))}, log
    return found
