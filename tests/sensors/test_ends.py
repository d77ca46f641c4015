"""Ends of a wait other than a new version: the same in the three modes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_secoda.client.errors import (
    SecodaConnectionError,
    SecodaIncompleteError,
    SecodaRateLimitError,
    SecodaResponseError,
    SecodaServerError,
)
from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger
from tests.helpers import airflow_runs, timestamps
from tests.sensors.sensor_runs import (
    MEMBER,
    MODES,
    Code,
    Steps,
    Store,
    after_requests,
    context,
    execute,
    first,
    gaps,
    instance,
    make,
    outcome,
    recorded,
    run,
    soon,
    source,
    tries,
)

modes = pytest.mark.parametrize("mode", MODES)
ABOUT = "resource 'R' by connection 'secoda_default': "
PATH = "/api/v1/activity_log/resource_logs/"


def ids(entries):
    return [entry["id"] for entry in entries]


def statuses(sandbox):
    return [request.status for request in sandbox.requests]


# --- the time is up --------------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize(("how", "end"), [("plain", "failed"), ("soft_fail", "skipped"), ("never_fail", "skipped")])
def test_a_timeout(sandbox, mode, how, end):
    """When the time is up the sensor fails without a retry; with soft_fail or never_fail it is skipped."""
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    began = time.monotonic()
    ended, error = outcome(make(mode, timeout=0.15, **({} if how == "plain" else {how: True})))
    assert ended == end
    assert isinstance(error, AirflowSensorTimeout) == (end == "failed")
    since = r"since 20\d\d-\d\d-\d\dT[\d:.]+Z \(when the run was due\)"
    assert re.search(rf"No new version of resource R {since} within 0\.15 s$", str(error))
    assert 0.15 <= time.monotonic() - began < 10


@modes
@pytest.mark.parametrize(
    ("arguments", "since"),
    [
        ({"since": "2100-03-01"}, "since 2100-03-01T00:00:00Z (`since`)"),
        ({"since_version_id": "old-10"}, "since version old-10 (`since_version_id`)"),
        ({}, "since 2100-04-01T00:00:00Z (when the run was due)"),
    ],
)
def test_a_wait_says_what_it_waits_for(sandbox, mode, arguments, since):
    """The log begins with resource, baseline, connection, host, interval and timeout; the timeout has the same text."""
    task = make(mode, timeout=0.15, exponential_backoff=mode == "poke", **arguments)
    with recorded() as lines:
        _, error = outcome(task, context(Store(), run_after=datetime(2100, 4, 1, tzinfo=timezone.utc)))
    backoff = ", with exponential backoff" if mode == "poke" else ""
    line = (
        f"Waiting for a new version of resource R {since}, with connection 'secoda_default' ({sandbox.url}); "
        f"poll interval: 0.05 s{backoff}; timeout: 0.15 s"
    )
    assert [found for found in lines if found.startswith("Waiting")] == [line]
    assert str(error) == f"No new version of resource R {since} within 0.15 s"


def test_a_trigger_that_starts_the_task_says_what_it_waits_for(sandbox):
    """Without a worker, the trigger logs the line."""
    trigger = SecodaVersionHistoryTrigger(
        secoda_conn_id="secoda_default",
        resource_id="R",
        since="2100-03-01T00:00:00Z",
        since_from="when the run was due",
        match="any_activity",
        deadline=timestamps.write(datetime.now(timezone.utc)),
    )
    with recorded() as lines:
        assert asyncio.run(first(trigger)).payload == {"status": "timeout"}
    said = "Waiting for activity in a version of resource R since 2100-03-01T00:00:00Z (when the run was due), with"
    assert [line for line in lines if line.startswith(f"{said} connection 'secoda_default' ({sandbox.url}); poll")]


@modes
def test_a_timeout_of_a_run(sandbox, mode):
    """In a real run the timeout fails the task at its first try, although it has retries."""
    ran = run(mode, timeout=0.5, retries=1, retry_delay=Code("timedelta(0)"))
    assert ran.tasks["wait"] == "failed"
    assert tries(ran) == 1


@modes
def test_the_last_poll_is_at_the_timeout(sandbox, mode):
    """With any pause, the last poll is at the timeout, and no request is sent after it."""
    timer = soon(0.2, lambda: sandbox.workspace.add_version("R", id="new"))
    began = time.monotonic()
    assert ids(execute(make(mode, timeout=0.4, poke_interval=30))) == ["new"]
    assert 0.4 <= time.monotonic() - began < 10
    assert len(sandbox.requests) == 2
    timer.join()


@modes
def test_no_time_at_all(sandbox, mode):
    """With a timeout of 0 there is one poll and no deferral."""
    steps = Steps()
    assert outcome(make(mode, timeout=0, poke_interval=5), steps=steps)[0] == "failed"
    assert len(sandbox.requests) == 1
    assert steps.deferrals == []


@pytest.mark.parametrize(("timeout", "execution_timeout"), [(0.5, None), (0.5, 3600), (3600, 0.5)])
def test_the_deferral_has_the_shorter_time(sandbox, timeout, execution_timeout):
    """The deferral and its trigger end with `timeout` or with `execution_timeout`, counted from the task's start."""
    task = make("deferrable", timeout=timeout)
    task.execution_timeout = None if execution_timeout is None else timedelta(seconds=execution_timeout)
    steps = Steps()
    with pytest.raises(BaseException, match=r"No new version of resource R since .* within (execution_timeout|0\.5 s)"):
        execute(task, steps=steps)
    (deferred,) = steps.deferrals
    trigger = deferred.trigger
    assert timedelta(0) <= deferred.timeout <= timedelta(seconds=0.5)
    assert timestamps.read(trigger.deadline) - timestamps.read(trigger.started_at) == timedelta(seconds=0.5)


@pytest.mark.parametrize(("how", "end"), [("plain", "failed"), ("soft_fail", "skipped"), ("never_fail", "skipped")])
def test_airflow_itself_ends_the_deferral(sandbox, how, end):
    """When Airflow ends the deferral, as no triggerer runs, it is the same timeout on every Airflow."""
    arguments = {} if how == "plain" else {how: True}
    ended, _ = outcome(make("deferrable", timeout=0.3, **arguments), airflow_gives_up=True)
    assert ended == end
    assert len(sandbox.requests) == 2


def test_a_version_from_while_no_triggerer_ran(sandbox):
    """When Airflow ends the deferral there is a last poll, as in the other modes."""
    timer = soon(0.1, lambda: sandbox.workspace.add_version("R", id="new"))
    assert ids(execute(make("deferrable", timeout=0.4), airflow_gives_up=True)) == ["new"]
    timer.join()


@pytest.mark.parametrize("airflow_gives_up", [False, True])
@pytest.mark.parametrize("start_from_trigger", [False, True])
@pytest.mark.parametrize("how", ["plain", "soft_fail", "never_fail"])
def test_an_execution_timeout_is_not_a_sensor_timeout(sandbox, start_from_trigger, airflow_gives_up, how):
    """A deferral that the execution timeout ended raises that error: the task may be retried, as in the other modes."""
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    arguments = {} if how == "plain" else {how: True}
    task = make("deferrable", timeout=3600, start_from_trigger=start_from_trigger, **arguments)
    task.execution_timeout = timedelta(seconds=0.2)
    with pytest.raises(AirflowTaskTimeout, match=r"No new version of resource R since .* within execution_timeout"):
        execute(task, airflow_gives_up=airflow_gives_up)


def test_a_trigger_that_is_started_too_late(sandbox):
    """A trigger that a triggerer starts after its deadline polls once and ends."""
    steps = Steps()
    assert outcome(make("deferrable", timeout=0.3), steps=steps)[0] == "failed"
    trigger = json.dumps(steps.deferrals[0].trigger.serialize())
    sandbox.requests.clear()
    began = time.monotonic()
    assert asyncio.run(first(instance(trigger))).payload == {"status": "timeout"}
    assert len(sandbox.requests) == 1
    sandbox.workspace.add_version("R", id="new")
    assert asyncio.run(first(instance(trigger))).payload["status"] == "success"
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("found", [False, True])
def test_the_timeout_of_airflow_at_the_moment_of_the_event(sandbox, found):
    """Airflow's timeout and the trigger's event can be written to one task: the event counts, as if it came first."""
    steps = Steps()
    assert outcome(make("deferrable", timeout=0.3), steps=steps)[0] == "failed"
    if found:
        sandbox.workspace.add_version("R", id="new")
    event = asyncio.run(first(instance(json.dumps(steps.deferrals[0].trigger.serialize())))).payload
    task = make("deferrable", timeout=0.3)
    if found:
        assert ids(task.resume_execution("__fail__", {"event": event}, context())) == ["new"]
        return
    with pytest.raises(Exception, match="No new version of resource R since") as raised:
        task.resume_execution("__fail__", {"event": event}, context())
    assert type(raised.value).__name__ == "AirflowSensorTimeout"


def test_other_failures_of_airflow_are_not_changed(sandbox):
    """Failures in the triggerer that are not Secoda's keep Airflow's exception, and may be retried."""
    task = make("deferrable")
    for why in ({"error": "Could not resume: timeout", "traceback": ["x\n", "TypeError: y\n"]}, {"error": "?"}):
        with pytest.raises(Exception, match=r"Could not resume|\?") as raised:
            task.resume_execution("__fail__", why, context())
        assert type(raised.value).__name__ == "TaskDeferralError"


# --- errors that waiting cannot fix ----------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("status", [401, 403, 404, 400])
@pytest.mark.parametrize("when", ["first", "later"])
def test_final_answers_fail_at_once(sandbox, mode, status, when):
    """401, 403, 404 and other 4xx fail without a retry and without more requests, naming resource and connection."""
    sandbox.faults.script = ["slow:0"] * (0 if when == "first" else 2) + [status] * 50
    with recorded() as said:
        ended, error = outcome(make(mode))
    assert ended == "failed"
    assert f"{ABOUT}Secoda answered {status} to {sandbox.url}{PATH}" in str(error)
    assert sandbox.api_key not in str(error) + repr(said)
    assert statuses(sandbox) == ([] if when == "first" else [200, 200]) + [status]


@modes
@pytest.mark.parametrize("when", ["first", "later"])
@pytest.mark.parametrize("how", ["soft_fail", "never_fail", "silent_fail"])
def test_final_answers_with_soft_fail_never_fail_and_silent_fail(sandbox, mode, when, how):
    """soft_fail and never_fail skip the task; silent_fail, which is for errors that may pass, does not."""
    sandbox.faults.script = ["slow:0"] * (0 if when == "first" else 2) + [401] * 50
    ended, _ = outcome(make(mode, timeout=3, **{how: True}))
    assert ended == ("failed" if how == "silent_fail" else "skipped")


@modes
def test_a_resource_that_does_not_exist(sandbox, mode):
    """A resource that does not exist fails the sensor; with wait_for_resource the sensor waits for it."""
    ended, error = outcome(make(mode, resource_id="nowhere"))
    assert ended == "failed"
    assert "resource 'nowhere' by connection 'secoda_default': Secoda answered 404" in str(error)
    timer = soon(0.2, lambda: sandbox.workspace.add_version("nowhere", id="new"))
    task = make(mode, resource_id="nowhere", wait_for_resource=True, max_consecutive_failures=1)
    assert ids(execute(task)) == ["new"]
    timer.join()


@modes
def test_a_connection_that_does_not_exist(sandbox, mode):
    """A missing connection is named, and is not retried."""
    ended, error = outcome(make(mode, secoda_conn_id="no_such_connection"))
    assert ended == "failed"
    assert str(error).count("connection 'no_such_connection'") == 1
    assert "connection 'no_such_connection' does not exist" in str(error)


def test_a_connection_that_the_triggerer_does_not_have(sandbox, monkeypatch):
    """A connection that is missing in the triggerer is the same error as one that is missing on the worker."""
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", sandbox.connection_json)
    timer = soon(0.2, lambda: monkeypatch.delenv("AIRFLOW_CONN_ELSEWHERE"))
    task = make("deferrable", secoda_conn_id="elsewhere", poke_interval=0.4)
    ended, error = outcome(task)
    timer.join()
    assert ended == "failed"
    assert "connection 'elsewhere' does not exist" in str(error)


@modes
def test_a_connection_that_is_filled_in_wrong(sandbox, mode, monkeypatch):
    """A connection without a key fails the sensor at once, and the field is named."""
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps({"conn_type": "secoda", "host": sandbox.url}))
    ended, error = outcome(make(mode, silent_fail=True))
    assert ended == "failed"
    assert "`password`" in str(error)
    assert "'secoda_default'" in str(error)
    assert sandbox.requests == []


@modes
def test_a_key_that_is_rotated(sandbox, mode, monkeypatch):
    """When the key is changed in Airflow and the old one is revoked, the wait continues with the new one."""
    connection = json.loads(sandbox.connection_json)
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection | {"password": MEMBER}))

    def rotate():
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection))
        sandbox._state.member_key = None

    timers = [soon(0.2, rotate), soon(0.4, lambda: sandbox.workspace.add_version("R", id="new"))]
    assert ids(execute(make(mode))) == ["new"]
    for timer in timers:
        timer.join()
    assert statuses(sandbox).count(401) == 1 or mode == "reschedule"


# --- errors that may pass --------------------------------------------------------------------------------------------

FAULTS = {
    "500": (500, SecodaServerError),
    "503": (503, SecodaServerError),
    "429": (("status", 429, {"retry-after": "0"}), SecodaRateLimitError),
    "reset": ("reset", SecodaConnectionError),
    "cut": ("cut", SecodaConnectionError),
    "html": ("html", SecodaResponseError),
    "json": ('json:{"version_histories": 1}', SecodaResponseError),
}


@modes
def test_errors_that_pass_do_not_end_the_wait(sandbox, mode):
    """429, 5xx, broken connections and invalid responses do not end the wait; a success resets the count."""
    faults = [fault for fault, _ in FAULTS.values()]
    script = [faults[0], "slow:0", *faults[1:3], "slow:0", *faults[3:5], "slow:0", *faults[5:]]
    sandbox.faults.script = script
    added = after_requests(sandbox, len(script) + 1, lambda: sandbox.workspace.add_version("R", id="new"))
    assert ids(execute(make(mode, max_consecutive_failures=3), context(Store()))) == ["new"]
    added.join()
    assert set(statuses(sandbox)) >= {200, 429, 500, 503, None}


@modes
@pytest.mark.parametrize("fault_name", ["500", "429", "reset", "html"])
def test_too_many_failures_in_a_row(sandbox, mode, fault_name):
    """The last failure in a row is raised unchanged, and the task is retried as the DAG says."""
    fault, kind = FAULTS[fault_name]
    sandbox.faults.script = ["slow:0", fault, "slow:0", *[fault] * 50]
    ended, error = outcome(make(mode, max_consecutive_failures=3, soft_fail=True), context(Store()))
    assert ended == "retry"
    assert type(error) is kind
    assert str(error).startswith(ABOUT)
    # A connection that broke after it was used before is not a failure yet: the server may just have closed it.
    assert len(sandbox.requests) - 6 in ((0, 1, 2) if fault_name == "reset" else (0,))


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
def test_failures_from_the_start(sandbox, mode, limit):
    """Failed polls of all processes are counted together, also if Airflow has no store for the state."""
    sandbox.faults.script = [500] * 50
    ended, error = outcome(make(mode, max_consecutive_failures=limit))
    assert (ended, type(error)) == ("retry", SecodaServerError)
    assert len(sandbox.requests) == limit


@modes
def test_never_fail_skips_after_any_error(sandbox, mode):
    """never_fail applies to failures in a row, too, in every mode."""
    sandbox.faults.script = ["slow:0", *[500] * 50]
    assert outcome(make(mode, max_consecutive_failures=2, never_fail=True))[0] == "skipped"


@modes
def test_silent_fail_has_no_limit_of_failures(sandbox, mode):
    """silent_fail sets no limit to failures in a row."""
    sandbox.faults.script = [500] * 8
    timer = soon(0.45, lambda: sandbox.workspace.add_version("R", id="new"))
    assert ids(execute(make(mode, silent_fail=True, max_consecutive_failures=2))) == ["new"]
    timer.join()
    assert statuses(sandbox).count(500) == 8


def test_a_listing_that_cannot_be_read(sandbox):
    """A listing with missing pages is a failure like others."""
    for number in range(30):
        sandbox.workspace.add_version("S", id=f"{number}", latest_activity_logged_at="2026-01-01T00:00:00Z")
    empty = '{"version_histories": [], "non_versioned_logs": [], "count": 30, "total_pages": 3, "meta": {}}'
    sandbox.faults.script = ["slow:0", f"json:{empty}"] * 50
    ended, error = outcome(make(resource_id="S", since="2025-01-01T00:00:00Z", max_consecutive_failures=2))
    assert ended == "retry"
    assert isinstance(error, SecodaIncompleteError | SecodaResponseError)


@pytest.mark.parametrize(
    ("mode", "before", "store"),
    [
        ("poke", 2, False),
        ("reschedule", 2, True),
        ("reschedule", 2, False),
        ("deferrable", 0, False),
        ("deferrable", 3, False),
    ],
)
def test_retry_after_is_obeyed(sandbox, mode, before, store):
    """No request is sent during Retry-After of a 429, also with a short poke_interval."""
    sandbox.faults.script = ["slow:0"] * before + [("status", 429, {"retry-after": "3"})]
    timer = soon(before * 0.05 + 0.3, lambda: sandbox.workspace.add_version("R", id="new"))
    steps = Steps()
    assert ids(execute(make(mode, timeout=15), context(Store() if store else None), steps=steps)) == ["new"]
    timer.join()
    assert 3 <= gaps(sandbox)[before] < 4.5
    assert len(sandbox.requests) == before + 2
    if store:
        paused_at, again_at = steps.rescheduled[-1]
        assert (again_at - paused_at).total_seconds() == pytest.approx(3, abs=0.2)


@modes
def test_retry_after_beyond_the_timeout(sandbox, mode):
    """With a Retry-After beyond the timeout no request is sent, and the timeout is on time."""
    sandbox.faults.script = ["slow:0", ("status", 429, {"retry-after": "100000"})]
    began = time.monotonic()
    ended, _ = outcome(make(mode, timeout=0.3), context(Store()))
    assert ended == "failed"
    assert time.monotonic() - began < 10
    assert len(sandbox.requests) == 2


def test_real_errors_are_retried_as_the_dag_says(sandbox):
    """Failures in a row fail the try; the next one has the same baseline and a new count."""
    sandbox.faults.script = [500] * 4
    how = {"retries": 1, "retry_delay": Code("timedelta(0)"), "max_consecutive_failures": 3}
    text = source("reschedule", poke_interval=0.2, **how)[0]
    sandbox.workspace.add_version("R", id="new", created_at="2027-01-01T00:00:00Z")
    ran = airflow_runs.run_dag(text)
    assert ran.state == "success", ran.log
    assert statuses(sandbox) == [500] * 4 + [200]


@pytest.mark.parametrize(("store", "silent"), [(True, False), (False, False), (False, True)])
def test_while_polls_fail_the_task_stays_unless_airflow_has_a_store(sandbox, store, silent):
    """Without a state store, a rescheduled task keeps its worker while failures are counted."""
    sandbox.faults.script = ["slow:0", 500, 500, 500, "slow:0"]
    steps = Steps()
    added = after_requests(sandbox, 5, lambda: sandbox.workspace.add_version("R", id="new"))
    execute(make("reschedule", silent_fail=silent), context(Store() if store else None), steps=steps)
    added.join()
    polls = len(sandbox.requests)
    assert steps.processes == (polls if store or silent else polls - 3)


def test_staying_ends_with_the_timeout(sandbox):
    """A task that stays in its process while polls fail times out on time."""
    sandbox.faults.script = [500] * 50
    began = time.monotonic()
    ended, error = outcome(make("reschedule", poke_interval=30, timeout=1, max_consecutive_failures=100))
    assert ended == "failed", error
    assert 1 <= time.monotonic() - began < 10
