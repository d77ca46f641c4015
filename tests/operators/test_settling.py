"""The operator waits until its window has settled: in place or deferred, and never longer than `execution_timeout`."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowTaskTimeout, TaskDeferred

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Faults, Workspace

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)


def now():
    return datetime.now(timezone.utc)


@pytest.fixture
def sandbox(secoda_sandbox_factory):
    return secoda_sandbox_factory(Workspace.generate(logs=50, days=2))


def make(**arguments):
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
        return SecodaAuditLogsOperator(task_id="fetch", **arguments)


def deferral(operator):
    """Execute an operator in its first process; return its deferral."""
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"dag": operator.dag})
    return deferred.value


@pytest.fixture
def alarm():
    """Set the timer of an execution timeout of a minute, as Airflow does for each process."""

    def end(*_):
        raise AirflowTaskTimeout("Airflow's timer")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 60)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("execution_timeout", "moment", "latest"),
    [(None, HOUR, 2 * HOUR), (DAY, HOUR, 2 * HOUR), (HOUR + SECOND, HOUR, HOUR + SECOND), (60 * SECOND,) * 3],
    ids=str,
)
def test_the_deferral_ends_with_the_execution_timeout(sandbox, execution_timeout, moment, latest):
    """The task is deferred until the window has settled, at most until its execution timeout has passed."""
    began = now()
    deferred = deferral(make(start=began - DAY, end=began, settle=HOUR, execution_timeout=execution_timeout))
    assert abs(deferred.trigger.moment - (began + moment)) < 30 * SECOND
    assert deferred.timeout <= latest


def test_a_task_that_is_resumed_too_late_times_out(sandbox):
    """A task whose execution timeout ended during the deferral raises that error, and reads nothing."""
    operator = make(start=now() - DAY, end=now(), settle=HOUR, execution_timeout=0.2 * SECOND)
    deferred = deferral(operator)
    time.sleep(0.2)
    with pytest.raises(AirflowTaskTimeout, match=r"'fetch' was not done within execution_timeout, 0:00:00\.2"):
        operator.resume_execution(deferred.method_name, {**deferred.kwargs, "event": None}, {"dag": operator.dag})
    assert sandbox.requests == []


def test_the_time_of_the_deferral_counts_for_the_read(sandbox, alarm, tmp_path):
    """A task that is resumed has what is left of its execution timeout, and not all of it again."""
    operator = make(
        start=now() - DAY,
        end=now(),
        settle=6 * SECOND,
        execution_timeout=60 * SECOND,
        output_path=f"{tmp_path}/x.jsonl",
    )
    kwargs = deferral(operator).kwargs | {"deadline": (now() + SECOND).isoformat()}
    kwargs["window"] |= {"end": now().isoformat()}
    sandbox.faults = Faults(latency=30.0)
    began = time.monotonic()
    with pytest.raises(AirflowTaskTimeout, match="Airflow's timer"):
        operator.resume_execution("execute_settled", json.loads(json.dumps(kwargs)), {"dag": operator.dag})
    assert 0.5 < time.monotonic() - began < 20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("execution_timeout", "error"), [(HOUR, "AirflowTaskTimeout"), (2 * DAY, "TaskDeferral")])
def test_airflow_itself_ends_the_deferral(sandbox, execution_timeout, error):
    """When no triggerer runs, the error says which time has passed; both may be retried."""
    operator = make(execution_timeout=execution_timeout)
    context = {"dag": operator.dag, "ti": SimpleNamespace(start_date=now() - DAY)}
    with pytest.raises(BaseException, match="imeout") as raised:
        operator.resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert type(raised.value).__name__.startswith(error)


MOVING = """
from datetime import datetime, timedelta, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("moving", schedule=None, start_date=datetime(2026, 2, 1, tzinfo=timezone.utc)):
    SecodaAuditLogsOperator(
        task_id="fetch", start="2026-01-01", settle=timedelta(seconds=2),
        end="{{{{ macros.datetime.now(macros.dateutil.tz.UTC) }}}}", output_path="{path}/logs.jsonl",
    )
"""


def test_an_end_that_moves_is_waited_for_once(airflow, sandbox, monkeypatch, tmp_path):
    """`dag.test()` renders `end` again after the deferral; the task then waits in place and ends."""
    monkeypatch.setattr("airflow_provider_secoda.operators._settling._LONGEST_SLEEP", timedelta(0))
    ran = airflow.run_dag(MOVING.format(path=tmp_path))
    assert ran.state == "success", ran.log
    assert len(set(re.findall(r"Window (.*?) settles", ran.log))) <= 1
    assert (tmp_path / "logs.jsonl").stat().st_size > 0
