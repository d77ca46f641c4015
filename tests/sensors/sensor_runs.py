"""Run the sensor in real DAG runs, in each of its modes, and hand it over as the triggerer would."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import traceback
from datetime import datetime, timedelta, timezone

import airflow_runs

MODES = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}
SOURCE = """
from datetime import datetime, timedelta, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

with DAG("{dag_id}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaVersionHistorySensor(task_id="wait", {arguments})
"""
_numbers = iter(range(1, 10_000))


def now():
    return datetime.now(timezone.utc)


def run(mode, **arguments):
    """Run a DAG with one sensor in a mode; return what ``airflow_runs.run_dag`` returns."""
    arguments = {"resource_id": "R", "poke_interval": 0.5, "timeout": 20, **MODES[mode], **arguments}
    text = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return airflow_runs.run_dag(SOURCE.format(dag_id=f"wait_{next(_numbers)}", arguments=text))


def soon(seconds, action):
    """Do something a moment later, in a thread of its own."""
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def sensor(**arguments):
    """Return a sensor in a DAG."""
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

    arguments = {"resource_id": "R", "poke_interval": 0.2, "timeout": 20, **arguments}
    with DAG(f"sensor_{next(_numbers)}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
        return SecodaVersionHistorySensor(task_id="wait", **arguments)


def context(**facts):
    """Return the facts of a run that is due now."""
    from types import SimpleNamespace

    run = SimpleNamespace(**({"run_after": now(), "start_date": now()} | facts))
    return {"dag_run": run}


def execute(task, facts=None):
    """
    Execute a task; what is deferred runs its trigger, and is resumed with its event, or with its error's traceback.

    This is what scheduler, triggerer and worker do with one another. ``dag.test()`` knows no failing triggers and no
    timeouts of deferrals, and hangs on some Airflows.
    """
    from airflow.providers.common.compat.sdk import TaskDeferred

    facts = facts or context()
    try:
        return task.execute(facts)
    except TaskDeferred as deferred:
        trigger = handed_over(deferred.trigger)
        next_method, next_kwargs = deferred.method_name, dict(deferred.kwargs or {})
        try:
            event = asyncio.run(asyncio.wait_for(_first(trigger), deferred.timeout.total_seconds() + 5))
            next_kwargs["event"] = json.loads(json.dumps(event.payload))
        except Exception as error:
            next_method = "__fail__"
            lines = traceback.format_exception(type(error), error, error.__traceback__)
            next_kwargs = {"error": "Trigger failure", "traceback": lines}
        return task.resume_execution(next_method, next_kwargs, facts)


def handed_over(trigger):
    """Return the trigger that a triggerer makes of another: class path and arguments, through JSON."""
    from importlib import import_module

    path, arguments = trigger.serialize()
    module, name = path.rsplit(".", 1)
    return getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))


async def _first(trigger):
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def wait_until(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


HOUR = timedelta(hours=1)
