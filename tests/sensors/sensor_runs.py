"""Run the sensor in each of its modes: in real DAG runs, and step by step, handed over as Airflow's processes do it."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import re
import threading
import time
import traceback
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

import airflow_provider_secoda
from tests.helpers import airflow_runs

MODES = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}
HOUR = timedelta(hours=1)
#: A second key, which may be revoked.
MEMBER = "member-key-of-nobody-in-particular"
V3 = airflow_runs.version() >= (3,)
V33 = airflow_runs.version() >= (3, 3)
PACKAGE = str(Path(airflow_provider_secoda.__file__).parent)
#: How late Airflow's scheduler notices that a deferral has lasted too long, in seconds; really up to 15.
LATE = 1.0
_numbers = iter(range(1, 10_000))


def now():
    return datetime.now(timezone.utc)


def soon(seconds, action):
    """Do something after some seconds, in another thread."""
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def after_requests(sandbox, number, action):
    """Do something after a number of requests to the sandbox, in another thread."""

    def wait():
        until = time.monotonic() + 30
        while len(sandbox.requests) < number and time.monotonic() < until:
            time.sleep(0.01)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


# --- in real DAG runs ------------------------------------------------------------------------------------------

DAG_FILE = """
from datetime import datetime, timedelta, timezone
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

@task
def give(value):
    return value

with DAG({dag_id!r}, schedule={schedule}, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False, {dag}):
    SecodaVersionHistorySensor(task_id="wait", {arguments})
"""


class Code(str):
    """An argument that is code in the DAG file."""

    __slots__ = ()
    __repr__ = str.__str__


def source(mode, *, schedule="None", dag="", **arguments):
    """Return a DAG file with one sensor, with its id."""
    dag_id = f"wait_{next(_numbers)}"
    arguments = {"resource_id": "R", "poke_interval": 0.3, "timeout": 20, **MODES[mode], **arguments}
    text = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return DAG_FILE.format(dag_id=dag_id, schedule=schedule, dag=dag, arguments=text), dag_id


def run(mode, *, schedule="None", dag="", **arguments):
    """Run a DAG with one sensor in a mode; return what ``airflow_runs.run_dag`` returns."""
    if mode == "reschedule" and airflow_runs.version() < (3, 1) and V3:
        pytest.skip("`dag.test()` of Airflow 3.0 takes the time of the first look for text")
    return airflow_runs.run_dag(source(mode, schedule=schedule, dag=dag, **arguments)[0])


def tries(ran):
    """Return at which try the sensor of a run ended; of a mapped one, the first."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(TaskInstance.try_number).filter_by(dag_id=ran.dag_id, run_id=ran.run_id)
        return found.order_by(TaskInstance.map_index).first()[0]


# --- step by step ----------------------------------------------------------------------------------------------


def make(mode="poke", **arguments):
    """Return a sensor in a DAG."""
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

    arguments = {"resource_id": "R", "poke_interval": 0.05, "timeout": 20, **MODES[mode], **arguments}
    with DAG(f"sensor_{next(_numbers)}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
        return SecodaVersionHistorySensor(task_id="wait", **arguments)


class Store(dict):
    """A task state store, as Airflow has one since 3.3: values are JSON."""

    def set(self, key, value, *, retention=None):
        assert value is not None
        self[key] = json.dumps(value)

    def get(self, key, default=None):
        return json.loads(self[key]) if key in self else default

    def delete(self, key):
        self.pop(key, None)


class TaskInstance(SimpleNamespace):
    """The attributes of a task instance that a sensor reads."""

    first_rescheduled = None
    dag_id = run_id = task_id = "t"
    map_index = -1
    max_tries = 0
    try_number = 1

    def get_first_reschedule_date(self, context):
        return self.first_rescheduled


def context(store=None, **facts):
    """Return the facts of a run that is due now."""
    run = SimpleNamespace(**({"run_after": now(), "start_date": now()} | facts))
    found = {"dag_run": run, "ti": TaskInstance()}
    return found if store is None else found | {"task_state_store": store}


@dataclass
class Steps:
    """What happened on the way: one process each time."""

    deferrals: list = field(default_factory=list)
    rescheduled: list = field(default_factory=list)
    processes: int = 0


def execute(task, facts=None, *, steps=None, airflow_gives_up=False, restart_after=None):
    """Execute a task to its end, each time it comes back in a new process; return what it returns.

    What is deferred runs its trigger, and is resumed with its event, or with what Airflow makes of its error: the text
    of a traceback. A rescheduled task is executed again when it is due. ``dag.test()`` knows no failing triggers and
    no timeouts of deferrals, and hangs on some Airflows.

    :param airflow_gives_up: no triggerer runs the trigger, and Airflow ends the deferral when its time is up
    :param restart_after: seconds after which the triggerer is restarted
    """
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_provider_secoda._compat import AirflowRescheduleException

    facts, steps = facts or context(), steps or Steps()
    while True:
        steps.processes += 1
        process, started = copy.copy(task), now()
        try:
            with _rescheduled_before(facts["ti"]):
                return process.execute(facts)
        except AirflowRescheduleException as again:
            steps.rescheduled.append((now(), again.reschedule_date))
            facts["ti"].first_rescheduled = facts["ti"].first_rescheduled or started
            time.sleep(max(0.0, (again.reschedule_date - now()).total_seconds()))
        except TaskDeferred as deferred:
            steps.deferrals.append(deferred)
            next_method, next_kwargs = _triggerer(deferred, airflow_gives_up, restart_after)
            steps.processes += 1
            return copy.copy(task).resume_execution(next_method, next_kwargs, facts)


def outcome(task, facts=None, **how):
    """Execute a task; return what Airflow makes of it (success, skipped, failed, retry), and the value or the error."""
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

    try:
        return "success", execute(task, facts, **how)
    except AirflowSkipException as skip:
        return "skipped", skip
    except (AirflowFailException, AirflowSensorTimeout) as error:
        return "failed", error
    except Exception as error:  # noqa: BLE001 - that is what the task runner does
        policy = getattr(task, "retry_policy", None)  # since Airflow 3.3
        decided = policy and policy.evaluate(error, 1, task.retries, {"task": task}).action.value
        return "failed" if decided == "fail" else "retry", error


def _rescheduled_before(ti):
    """Let Airflow 2 find in its database when a task was rescheduled first."""
    if V3:
        return nullcontext()
    return patch("airflow.sensors.base._orig_start_date", lambda **_: ti.first_rescheduled)


def _triggerer(deferred, airflow_gives_up, restart_after):
    """Run a trigger as the triggerer does; return what the task is resumed with."""
    stored = json.dumps(deferred.trigger.serialize())
    limit = deferred.timeout.total_seconds()
    gave_up = "__fail__", {"error": "Trigger timeout" if V3 else "Trigger/execution timeout"}
    if airflow_gives_up:
        time.sleep(limit)
        return gave_up
    try:
        if restart_after is not None:
            with suppress(asyncio.TimeoutError):
                asyncio.run(asyncio.wait_for(first(instance(stored)), restart_after))
        event = asyncio.run(asyncio.wait_for(first(instance(stored)), limit + LATE))
    except asyncio.TimeoutError:
        return gave_up
    except Exception as error:  # noqa: BLE001 - that is what the triggerer does
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return "__fail__", {"error": "Trigger failure", "traceback": lines}
    return deferred.method_name, {**(deferred.kwargs or {}), "event": json.loads(json.dumps(event.payload))}


def instance(stored):
    """Return the trigger that a triggerer makes of what is stored of one: JSON of its class path and arguments."""
    from importlib import import_module

    path, arguments = json.loads(stored)
    module, name = path.rsplit(".", 1)
    return getattr(import_module(module), name)(**arguments)


async def first(trigger):
    """Return the event of a trigger, which must be the only one."""
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


# --- log lines and requests -----------------------------------------------------------------------------------


#: Log lines of Airflow itself.
AIRFLOWS = re.compile(r"cannot be called outside|Success criteria met|Using connection ID|Connection Retrieved")


@contextmanager
def recorded():
    """Collect what is logged, by this provider and by the libraries that speak HTTP for it."""
    found, records = [], {}

    class Handler(logging.Handler):
        def emit(self, record):
            if record.pathname.startswith(PACKAGE) or record.name.partition(".")[0] in ("httpx", "httpcore", "urllib3"):
                records[id(record)] = record

    handler = Handler(logging.INFO)
    loggers = [logging.getLogger(name) for name in (None, "airflow.task", "httpx", "httpcore", "urllib3")]
    levels = [logger.level for logger in loggers]
    with _structured() as events:
        try:
            for logger in loggers:
                logger.addHandler(handler)
                logger.setLevel(logging.INFO)
            yield found
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.removeHandler(handler)
                logger.setLevel(level)
            lines = [event["event"] for event in events] + [record.getMessage() for record in records.values()]
            found += [line for line in lines if not AIRFLOWS.search(line)]


def _structured():
    """Collect what goes through the structured logging of Airflow 3.1 and later."""
    if airflow_runs.version() < (3, 1):
        return nullcontext([])
    from structlog.testing import capture_logs

    return capture_logs()


def gaps(sandbox):
    """Return the seconds between the requests."""
    times = [request.at for request in sandbox.requests]
    return [after - before for before, after in pairwise(times)]
