"""Retries of failed tasks by a running scheduler: how often, after what delay, and with which reason."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import pairwise

import pytest

from airflow_provider_secoda.sandbox import Sandbox, Workspace
from tests.helpers import airflow_runs

DAG = """
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.client.errors import SecodaAuthenticationError
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.retries import SecodaRetryPolicy
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

class Patient(SecodaRetryPolicy):
    def evaluate(self, exception, try_number, max_tries, context=None):
        from airflow.sdk import RetryDecision

        if isinstance(exception, SecodaAuthenticationError):
            return RetryDecision.retry(timedelta(seconds=1), "the new key is on its way")
        return super().evaluate(exception, try_number, max_tries, context)


def fetch(name, **more):
    SecodaAuditLogsOperator(
        task_id=name, secoda_conn_id=name, start="2026-01-01T00:00:00Z", end="2026-01-02T00:00:00Z", **more
    )


def wait(name, **more):
    SecodaVersionHistorySensor(
        task_id=name, secoda_conn_id=name, resource_id="R", since="2020-01-01T00:00:00Z", max_consecutive_failures=1,
        **more
    )


start = datetime(2026, 1, 1, tzinfo=timezone.utc)
usual = {"retries": 2, "retry_delay": timedelta(seconds=1.5)}
with DAG("retried", schedule=None, start_date=start, default_args=usual):
    fetch("refused")
    wait("failing_wait")
"""
WITH_POLICIES = """
    fetch("throttled", retry_delay=timedelta(minutes=5))
    fetch("rotating", retry_policy=Patient())
"""
AGAIN, LATER = ("status", 429, {"Retry-After": "0"}), ("status", 429, {"Retry-After": "4"})
#: The errors that each task's server sends before its correct responses.
ANSWERS = {
    "refused": [401] * 9,
    "failing_wait": [503, 503],
    # Eight times one of the two requests that the task sends together is refused.
    "throttled": [AGAIN] * 8 + [LATER],
    "rotating": [401, 401],
}
V33 = airflow_runs.version() >= (3, 3)


@pytest.fixture(scope="module")
def tries(standalone):
    """Run a task with each server; return the state, the number of tries, the pauses and the reasons of each task."""
    names = list(ANSWERS) if V33 else ["refused", "failing_wait"]
    with ExitStack() as running:
        for name in names:
            workspace = Workspace()
            workspace.add_version("R")
            sandbox = running.enter_context(Sandbox(workspace))
            sandbox.faults.script = ANSWERS[name]
            standalone.add_connection(name, sandbox)
        standalone.put_dag("retried", DAG + WITH_POLICIES if V33 else DAG)
        run_id = standalone.trigger("retried")
        standalone.wait("retried", run_id)
    found = {name: (standalone.task("retried", run_id, name)["state"], *_past(standalone, name)) for name in names}
    print(found)  # noqa: T201 - for the analysis of failures
    return found


def _past(standalone, name):
    """Return a task's number of tries, the seconds between one and the next, and the reasons of all retries."""
    times = "SELECT start_date, end_date FROM {} WHERE dag_id = 'retried' AND task_id = ? ORDER BY try_number"
    with closing(sqlite3.connect(f"file:{standalone.home}/airflow.db?mode=ro", uri=True)) as database:
        rows = [
            row
            for table in ("task_instance_history", "task_instance")
            for row in database.execute(times.format(table), [name])
        ]
        reasons = []
        if V33:
            reasons = database.execute(
                "SELECT retry_reason FROM task_instance_history WHERE task_id = ? ORDER BY try_number", [name]
            ).fetchall()
    spans = [[datetime.fromisoformat(moment) for moment in row] for row in rows]
    pauses = [(later[0] - sooner[1]).total_seconds() for sooner, later in pairwise(spans)]
    return len(spans), pauses, [reason for (reason,) in reasons]


def test_a_rejected_key_fails_without_a_retry(tries):
    """A 401 is not retried, with the provider's policy and in versions of Airflow without policies."""
    assert tries["refused"][:2] == ("failed", 1)


def test_a_server_error_is_retried(tries):
    """A 503 is retried after the task's own delay, which the policy doubles for the second retry."""
    state, count, pauses, reasons = tries["failing_wait"]
    assert (state, count) == ("success", 3)
    assert pauses[0] >= 1.5
    assert pauses[1] >= (3 if V33 else 1.5)
    assert reasons == (["SecodaServerError"] * 2 if V33 else [])


@pytest.mark.skipif(not V33, reason="Airflow has retry policies since 3.3")
def test_a_throttled_task_is_retried_after_the_servers_delay(tries):
    """A task that fails with 429 is retried after ``Retry-After``, not after its own delay; the reason is stored."""
    state, count, pauses, reasons = tries["throttled"]
    assert (state, count) == ("success", 2)
    assert 4 <= pauses[0] < 60
    assert reasons == ["SecodaRateLimitError, Retry-After: 4 s"]


@pytest.mark.skipif(not V33, reason="Airflow has retry policies since 3.3")
def test_a_subclass_of_the_policy_can_decide_differently(tries):
    """A subclass of the provider's policy can retry a rejected key, for example while keys are rotated."""
    state, count, pauses, reasons = tries["rotating"]
    assert (state, count) == ("success", 2)
    assert pauses[0] >= 1
    assert reasons == ["the new key is on its way"]
