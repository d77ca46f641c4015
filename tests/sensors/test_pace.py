"""How often the sensor polls, how many requests it sends, and what it logs: the same in the three modes."""

from __future__ import annotations

import re
import time

import pytest

from airflow_provider_secoda.sandbox import Workspace
from tests.sensors.sensor_runs import (
    HOUR,
    MODES,
    V33,
    Store,
    after_requests,
    context,
    execute,
    gaps,
    make,
    now,
    outcome,
    recorded,
    run,
    soon,
)

modes = pytest.mark.parametrize("mode", MODES)
#: Seconds that a poll on a busy machine may take in addition to a pause.
SLACK = 0.7


def ids(entries):
    return [entry["id"] for entry in entries]


@modes
def test_poke_interval_is_honoured(sandbox, mode):
    """Pauses are never shorter than poke_interval, and not much more than a tenth longer."""
    outcome(make(mode, poke_interval=1, timeout=2.5))
    first, second, *rest = gaps(sandbox)
    assert all(1 <= pause < 1.1 + SLACK for pause in (first, second))
    # The last poll is at the timeout. Airflow measures with another clock, by which that may be a moment too early.
    assert sum(rest) < 1
    assert len(rest) in {1, 2}


def pauses_after(seconds, task):
    """Return pauses that a task may make after it waited for some seconds."""
    task._poller = task._make_poller(context())
    return [task._get_next_poke_interval(None, lambda: seconds, 1) for _ in range(20)]


def test_pauses_differ(sandbox):
    """Sensors that start at the same time do not keep polling at the same time."""
    pauses = set(pauses_after(5.0, make(poke_interval=60, timeout=7 * 86_400)))
    assert len(pauses) > 10
    assert all(60 <= pause <= 66 for pause in pauses)


@modes
def test_exponential_backoff_and_max_wait(sandbox, mode):
    """With exponential_backoff each pause is twice the last, up to max_wait."""
    arguments = {"poke_interval": 0.25, "exponential_backoff": True, "max_wait": 0.75, "timeout": 4}
    outcome(make(mode, **arguments), context(Store()))
    pauses = gaps(sandbox)
    for pause, expected in zip(pauses[:4], (0.25, 0.5, 0.75, 0.75), strict=True):
        assert expected <= pause < expected * 1.1 + SLACK


def test_pauses_do_not_grow_beyond_all_bounds():
    """A wait of years with exponential_backoff works, and without max_wait the timeout limits the pauses."""
    task = make(poke_interval=60, exponential_backoff=True, timeout=7 * 86_400)
    year = 365 * 86_400.0
    assert max(pauses_after(3600.0, task)) < 2 * 3600
    assert max(pauses_after(6 * 86_400.0, task)) <= 86_400
    task.timeout, task.max_wait = 1000 * year, 300
    assert all(300 <= pause <= 330 for pause in pauses_after(100 * year, task))


# --- requests --------------------------------------------------------------------------------------------------


@pytest.fixture
def long(secoda_sandbox_factory, airflow):
    """Serve a resource with 295 versions on 30 pages."""
    workspace = Workspace()
    for number in range(295):
        workspace.add_version("R", id=f"v{number}", latest_activity_logged_at=now() - (400 - number) * HOUR)
    return secoda_sandbox_factory(workspace, page_size=10)


def requests_per_poll(sandbox):
    """Return the number of requests of each poll; polls are separated by pauses."""
    counts = [1]
    for gap in gaps(sandbox):
        if gap < 0.3:
            counts[-1] += 1
        else:
            counts.append(1)
    return counts


@pytest.mark.parametrize(("mode", "order"), [*((mode, "newest") for mode in MODES), ("reschedule", "oldest")])
def test_a_poll_of_a_long_history_costs_one_request(long, mode, order):
    """Once the order is known a poll costs one request, and two with new entries; the order is kept if possible."""
    long.faults.resource_order = order
    added = after_requests(long, 35, lambda: long.workspace.add_version("R", id="new"))
    assert ids(execute(make(mode, poke_interval=0.3), context(Store()))) == ["new"]
    added.join()
    first, *quiet, last = requests_per_poll(long)
    assert 30 < first <= 33
    assert set(quiet) == {1}
    assert len(quiet) >= 2
    assert last <= 2


@pytest.mark.skipif(not V33, reason="Airflow has a task state store since 3.3")
def test_a_rescheduled_run_keeps_its_state_until_it_ends(long):
    """The state is kept in Airflow's state store, which is empty after the success."""
    added = after_requests(long, 35, lambda: long.workspace.add_version("R", id="new"))
    ran = run("reschedule", poke_interval=0.5)
    added.join()
    assert ran.state == "success", ran.log
    first, *quiet, _ = requests_per_poll(long)
    assert 30 < first <= 33
    assert set(quiet) == {1}
    from airflow.models.task_state_store import TaskStateStoreModel
    from airflow.utils.session import create_session

    with create_session() as session:
        assert session.query(TaskStateStoreModel).all() == []


# --- the state between processes -----------------------------------------------------------------


def test_the_state_is_deleted_at_every_end(sandbox):
    """The store is empty after a success, a timeout, a final error and failures in a row."""
    for script, arguments, end in (
        ([], {"timeout": 0.3}, "failed"),
        (["slow:0", 401], {}, "failed"),
        (["slow:0", 500, 500], {"max_consecutive_failures": 2}, "retry"),
        ([], {"since": "2026-01-01T00:00:00Z"}, "success"),
    ):
        sandbox.faults.script = script
        store = Store()
        assert outcome(make("reschedule", **arguments), context(store))[0] == end
        assert store == {}


def test_another_state_is_ignored(sandbox):
    """A state of another resource, baseline or try, or an invalid state, is ignored."""
    from airflow_provider_secoda._compat import AirflowRescheduleException

    facts = context(Store())
    sandbox.faults.script = [500, 500, 500]
    task = make("reschedule", max_consecutive_failures=3)
    for _ in range(2):
        with pytest.raises(AirflowRescheduleException):
            task.execute(facts)
    before = dict(facts["task_state_store"])
    facts["ti"].try_number = 2
    with pytest.raises(AirflowRescheduleException):
        task.execute(facts)  # the third failure in a row, but the first one of this try
    facts["ti"].try_number = 1
    for other in ({"resource_id": "S"}, {"since_version_id": "old-20", "since": None}):
        facts["task_state_store"].update(before)
        sandbox.faults.script = [500]
        with pytest.raises(AirflowRescheduleException):
            make("reschedule", max_consecutive_failures=3, **other).execute(facts)
    for odd in (
        "7",
        '"x"',
        "[1]",
        '{"waiting_for": ["secoda_default", "R", null], "page_order": 7, "consecutive_failures": "x"}',
    ):
        facts["task_state_store"]["secoda_wait"] = odd
        sandbox.faults.script = [500]
        with pytest.raises(AirflowRescheduleException):
            task.execute(facts)


def test_a_state_of_another_since_version_id_is_ignored(sandbox):
    """A cleared task with another since_version_id uses that one."""
    from airflow_provider_secoda._compat import AirflowRescheduleException

    facts = context(Store())
    with pytest.raises(AirflowRescheduleException):
        make("reschedule", since_version_id="old-10").execute(facts)
    assert ids(execute(make("reschedule", since_version_id="old-30"), facts)) == ["old-20", "old-10"]


# --- log lines ----------------------------------------------------------------------------------------------


@modes
def test_polls_without_new_entries_are_not_logged(sandbox, mode):
    """Ten polls without new entries log nothing after the first line; new entries are one line."""
    timer = soon(0.6, lambda: sandbox.workspace.add_version("R", id="new"))
    with recorded() as said:
        execute(make(mode), context(Store()))
    timer.join()
    assert len(sandbox.requests) >= 8
    assert said.pop(0).startswith("Waiting for ")
    assert said == ["Resource R has a new version: new"]


@modes
def test_failures_and_recoveries_are_logged_once(sandbox, mode):
    """One line says that polls fail and one that they work again, for any number of polls."""
    sandbox.faults.script = ["slow:0", 500, 500, 500, "slow:0", "slow:0", 503, "html", "slow:0"]
    timer = soon(0.6, lambda: sandbox.workspace.add_version("R", id="new"))
    with recorded() as said:
        execute(make(mode), context(Store()))
    timer.join()
    assert said.pop(0).startswith("Waiting for ")
    about = "resource 'R' by connection 'secoda_default': "
    assert [line.partition(" to http")[0].partition(": ")[2].partition(":")[0] or line for line in said] == [
        "Secoda answered 500",
        "Polling resource R works again",
        "Secoda answered 503",
        *[line.removeprefix(about).partition(":")[0] for line in said[3:4]],
        "Polling resource R works again",
        "new",
    ]


@modes
def test_a_long_retry_after_is_logged(sandbox, mode):
    """A pause that is longer than the interval because of Retry-After is logged with its length and its end."""
    sandbox.faults.script = ["slow:0", ("status", 503, {"retry-after": str(int(time.time()) + 100)})]
    with recorded() as said:
        ended, _ = outcome(make(mode, timeout=0.3), context(Store()))
    assert ended == "failed"
    lines = [line for line in said if line.startswith("Resource R is not polled for ")]
    assert len(lines) == 1
    found = re.fullmatch(r".* (\S+) s, until (\S+): Retry-After of the server of connection 'secoda_default'", lines[0])
    assert 90 <= float(found[1]) <= 100
    assert found[2].endswith("Z")


@modes
def test_failures_from_the_start_are_logged_once(sandbox, mode):
    """A failure that the first poll logged is not logged again by the trigger or the next process."""
    sandbox.faults.script = [500] * 3
    timer = soon(0.3, lambda: sandbox.workspace.add_version("R", id="new"))
    with recorded() as said:
        execute(make(mode), context(Store()))
    timer.join()
    assert said.pop(0).startswith("Waiting for ")
    assert len(said) == 3
    assert "Secoda answered 500" in said[0]
    assert "polling continues" in said[0]
