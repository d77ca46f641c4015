"""A sensor that starts in the triggerer: when it does, and that it is the same wait."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from tests.helpers import airflow_runs, run_makers
from tests.sensors.sensor_runs import MODES, V33, Code, execute, first, make, now, source

airflow_33 = pytest.mark.skipif(not V33, reason="Airflow renders templates in the triggerer since 3.3")
HOW = {"start_from_trigger": True, "deferrable": True}


def test_only_where_airflow_supports_it(airflow):
    """Before Airflow 3.3 a sensor that is to start from its trigger starts on a worker, as any other."""
    task = make(**HOW)
    assert task.start_from_trigger is V33
    assert (task.start_trigger_args is not None) is V33


@pytest.mark.parametrize(
    "arguments",
    [
        {"deferrable": False},
        {"start_from_trigger": False},
        {"outlets": "an asset"},
        {"since": "an xcom"},
        {"timeout": 0},
    ],
    ids=str,
)
def test_not_if_something_would_be_lost(airflow, arguments):
    """Sensors without deferral, with outlets, or with a value that only a worker has start on a worker."""
    from airflow.providers.common.compat.sdk import DAG, Asset

    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

    with DAG("worker", schedule=None, start_date=now()):
        other = SecodaVersionHistorySensor(task_id="other", resource_id="R")
        given = {"an asset": [Asset("x://y")], "an xcom": other.output}
        arguments = {name: given.get(value, value) for name, value in arguments.items()}
        task = SecodaVersionHistorySensor(task_id="t", resource_id="R", **{**HOW, **arguments})
    assert task.start_from_trigger is False
    assert task.start_trigger_args is None


def test_the_default_is_a_start_on_a_worker(airflow):
    """`start_from_trigger` is False by default."""
    assert make("deferrable").start_from_trigger is False


def log_name(ti):
    return "log"


def in_triggerer(mode="deferrable", **arguments):
    """Let scheduler and triggerer start a task; return the trigger, rendered, and the workload it was made of."""
    from airflow.executors.workloads import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunner, TriggerRunnerSupervisor
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagrun import DagRun
    from airflow.models.trigger import Trigger
    from airflow.serialization.decoders import smart_decode_trigger_kwargs
    from airflow.utils.session import create_session
    from sqlalchemy import select

    dag = arguments.pop("dag", "")
    text, dag_id = source(mode, start_from_trigger=True, dag=dag, **arguments)
    airflow_runs.load(text)
    run_id = run_makers.trigger(dag_id)
    with create_session() as session:
        bag = DBDagBag()
        run = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
        (ti,) = run.get_task_instances(session=session)
        ti.task = bag.get_dag_for_run(run, session=session).get_task("wait")
        assert ti.defer_task(session=session)
        session.flush()
        row = session.scalars(select(Trigger).where(Trigger.id == ti.trigger_id)).one()
        session.refresh(row)
        supervisor = SimpleNamespace(job=SimpleNamespace(id=1), id=1, logger_cache={})
        workload = TriggerRunnerSupervisor._create_workload(
            supervisor, trigger=row, dag_bag=bag, render_log_fname=log_name, session=session
        )
        limit = ti.trigger_timeout - ti.start_date
        due = run.run_after
    workload = RunTrigger.model_validate_json(workload.model_dump_json())
    kwargs = Trigger._decrypt_kwargs(workload.encrypted_kwargs)
    trigger = TriggerRunner.get_trigger_by_classpath(SimpleNamespace(trigger_cache={}), workload.classpath)(
        **{name: smart_decode_trigger_kwargs(value) for name, value in kwargs.items()}
    )
    runtime = TriggerRunner.create_runtime_ti(workload.ti, workload.dag_data, workload.dag_run_data)
    trigger.task_instance = runtime
    trigger.render_template_fields(context=runtime.get_template_context())
    return trigger, due, limit


@airflow_33
def test_the_default_is_when_the_run_was_due(sandbox):
    """The default of the trigger is that of a worker: the instant at which the run was due."""
    from airflow_provider_secoda._arguments import parse_datetime

    trigger, due, limit = in_triggerer(timeout=30)
    assert parse_datetime("since", trigger.since) == due
    assert timedelta(seconds=29) < limit <= timedelta(seconds=31)
    sandbox.workspace.add_version("R", id="early", created_at=due - timedelta(seconds=1))
    sandbox.workspace.add_version("R", id="new", created_at=due)
    event = asyncio.run(first(trigger))
    assert event.payload["status"] == "success"
    entries = json.loads(json.dumps(event.payload["entries"]))
    assert entries == execute(make(since=due))
    assert [entry["id"] for entry in entries] == ["new"]


@airflow_33
def test_templates_are_rendered_in_the_triggerer(sandbox):
    """All templated arguments are, and the others arrive as they are."""
    trigger, _, _ = in_triggerer(
        resource_id="{{ params.name }}",
        secoda_conn_id="{{ 'secoda_' ~ 'default' }}",
        since_version_id="{{ params.version }}",
        dag="params={'name': 'R', 'version': 'old-20'}",
        poke_interval=7,
        exponential_backoff=True,
        max_wait=Code("timedelta(minutes=1)"),
        match="any_activity",
        wait_for_resource=True,
        max_consecutive_failures=9,
    )
    assert (trigger.resource_id, trigger.secoda_conn_id, trigger.since_version_id) == ("R", "secoda_default", "old-20")
    assert (trigger.poke_interval, trigger.exponential_backoff, trigger.max_wait) == (7, True, 60)
    assert (trigger.match, trigger.wait_for_resource, trigger.max_consecutive_failures) == ("any_activity", True, 9)
    assert [entry["id"] for entry in asyncio.run(first(trigger)).payload["entries"]] == ["old-10"]


@airflow_33
def test_a_sensor_with_nothing_to_return_ends_in_the_triggerer(sandbox):
    """With `do_xcom_push=False` the trigger ends the task; otherwise a worker returns the entries."""
    from airflow.triggers.base import TaskSuccessEvent

    since = "2026-01-01T00:00:00Z"
    ends, _, _ = in_triggerer(since=since, do_xcom_push=False)
    event = asyncio.run(first(ends))
    assert isinstance(event, TaskSuccessEvent)
    assert not event.xcoms
    goes_on, _, _ = in_triggerer(since=since)
    assert not isinstance(asyncio.run(first(goes_on)), TaskSuccessEvent)


@airflow_33
def test_airflow_stores_what_starts_the_trigger(airflow):
    """Airflow's own serializer keeps the arguments, of a datetime, too, and they hold no secret."""
    trigger, _, _ = in_triggerer(since=Code("datetime(2026, 1, 2, tzinfo=timezone.utc)"))
    assert trigger.since == "2026-01-02T00:00:00+00:00"
    assert "password" not in repr(trigger.serialize())


@pytest.mark.parametrize("mode", MODES)
def test_such_a_dag_runs_in_a_test(sandbox, mode):
    """`dag.test()` has no triggerer and starts the task as a worker would; the result is the same."""
    text, _ = source(mode, since="2026-01-01T00:00:00Z", start_from_trigger=True)
    ran = airflow_runs.run_dag(text)
    assert [entry["id"] for entry in ran.xcoms["wait"]] == ["old-30", "old-20", "old-10"]
