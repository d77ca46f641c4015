"""The entries that the sensor returns, and since when: the same in its three modes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from functools import partial

import msgspec
import pendulum
import pytest

from airflow_provider_secoda._persisted import REPLACED_KEY
from airflow_provider_secoda.sandbox import Workspace
from tests.helpers import airflow_runs, run_makers
from tests.sensors.sensor_runs import HOUR, MODES, V3, Code, after_requests, execute, make, now, run, soon, source

SECOND = timedelta(seconds=1)
modes = pytest.mark.parametrize("mode", MODES)
airflow_3 = pytest.mark.skipif(not V3, reason="Airflow 2 gives every run a data interval")


def ids(entries):
    return [entry["id"] for entry in entries]


# --- one shape -------------------------------------------------------------------------------------------------

ODD_LOG = (
    '{"id": "edit-2", "activity_type": "PROPERTY_UPDATED", "performer_id": "p-1", "performer_type": "USER", '
    '"performer_metadata": {"first_name": "Ada", "last_name": "Lovelace"}, "resource_id": "R", '
    '"version_history_id": "second", "logged_at": "2026-11-20T10:05:00Z", "created_at": "2026-11-20T10:05:01Z", '
    '"updated_at": "2026-11-20T10:05:01Z", "unknown": {"deep": [1, 2.50, null, "Zażółć 日本 \\u0000"]}, '
    '"long": 9007199254740993, "longer": 12345678901234567890123}'
)


def add_three(workspace):
    """Add three versions, of which the second has two edits by two performers, one of them out of the ordinary."""
    metadata = {
        "prev": {"description": "a", "pii": False, "same": 1},
        "current": {"description": "b", "same": 1, "tags": ["x"]},
        "definition_diff": {},
        "description_diff": {"removed": ["a"], "added": ["b"]},
        "secoda_entity_property_snapshot": {},
    }
    with workspace.lock:
        for number, name in enumerate(("third", "second", "first")):
            at = datetime(2026, 11, 20, 10, 2 - number, tzinfo=timezone.utc)
            log = {"id": f"edit-of-{name}", "performer_id": "bot", "performer_type": "AUTOMATION", "logged_at": at}
            log["performer_metadata"] = {"id": "bot", "name": "Tidy"}
            workspace.add_version("R", id=name, created_at=at, metadata=metadata, activity_logs=[log])
        workspace.add_log(raw=ODD_LOG.encode())


def test_all_modes_return_the_same(secoda_sandbox_factory, airflow):
    """The result is the same in all modes, after a wait and at once."""
    found = []
    for mode in MODES:
        for delay in (0.15, 0):
            workspace = Workspace(seed=5)
            workspace.add_version("R", id="old", latest_activity_logged_at="2026-11-01T00:00:00Z")
            sandbox = secoda_sandbox_factory(workspace)
            if delay:
                timer = soon(delay, lambda workspace=workspace: add_three(workspace))
            else:
                add_three(workspace)
            with pytest.MonkeyPatch.context() as patched:
                patched.setenv("AIRFLOW_CONN_SECODA_DEFAULT", sandbox.connection_json)
                found.append(execute(make(mode, since="2026-11-20T10:00:00Z")))
            if delay:
                timer.join()
    assert all(value == found[0] for value in found)
    assert json.dumps(found[0]) == json.dumps(found[1]) == json.dumps(found[5])


@pytest.fixture
def entries(sandbox):
    add_three(sandbox.workspace)
    return execute(make(since="2026-11-20T00:00:00Z"))[:3]


def test_the_fields_of_an_entry(entries):
    """An entry has its times, performers and activity types once each, what differs, the diffs, and the record."""
    assert ids(entries) == ["first", "second", "third"]
    second = entries[1]
    assert set(second) == {
        *("id", "resource_id", "created_at", "updated_at", "latest_activity_logged_at", "performers"),
        *("activity_types", "changed_properties", "definition_diff", "description_diff", "record", REPLACED_KEY),
    }
    assert second["resource_id"] == "R"
    assert second["created_at"] == "2026-11-20T10:01:00Z"
    assert second["latest_activity_logged_at"] == "2026-11-20T10:05:00Z"
    assert second["performers"] == [
        {"id": "bot", "type": "AUTOMATION", "name": "Tidy"},
        {"id": "p-1", "type": "USER", "name": "Ada Lovelace"},
    ]
    assert second["activity_types"] == ["DESCRIPTION_UPDATED", "PROPERTY_UPDATED"]
    assert second["changed_properties"] == ["description", "pii", "tags"]
    assert second["definition_diff"] == {}
    assert second["description_diff"] == {"removed": ["a"], "added": ["b"]}


def test_the_record_is_not_changed(entries):
    """Undocumented fields are kept, and numbers are exact; beyond 64 bits they are strings."""
    log = next(log for log in entries[1]["record"]["activity_logs"] if log["id"] == "edit-2")
    assert log["unknown"]["deep"][:3] == [1, 2.5, None]
    assert log["long"] == 9007199254740993
    assert log["longer"] == "12345678901234567890123"
    assert log["unknown"]["deep"][3] == "Zażółć 日本 \ufffd"
    assert REPLACED_KEY not in entries[0]
    replaced = {path.rpartition("]." if "longer" in path else "unknown")[2] for path in entries[1][REPLACED_KEY]}
    assert replaced == {"longer", ".deep[3]"}


def test_the_result_can_be_passed_between_airflows_processes(entries):
    """Airflow's processes use MessagePack, with 64 bits; a value that it refuses would end the triggerer."""
    again = msgspec.msgpack.decode(msgspec.msgpack.encode({"entries": entries}))
    assert again == {"entries": entries}
    assert json.loads(json.dumps(entries, allow_nan=False).encode()) == entries
    assert "\\u0000" not in json.dumps(entries)


@modes
def test_a_run(sandbox, mode):
    """A DAG run leaves as XCom what the sensor returns after a wait, and has one line in its log about it."""
    sandbox.workspace = Workspace()
    sandbox.workspace.add_version("R", id="old", latest_activity_logged_at="2026-11-01T00:00:00Z")
    added = after_requests(sandbox, 2, lambda: add_three(sandbox.workspace))
    ran = run(mode, since="2026-11-20T10:00:00Z")
    added.join()
    assert ran.state == "success", ran.log
    assert ran.xcoms["wait"] == execute(make(since="2026-11-20T10:00:00Z"))
    assert ids(ran.xcoms["wait"]) == ["first", "second", "third"]
    assert f"{sandbox.url}/" not in ran.log
    lines = {line.partition("Resource R has")[2] for line in ran.log.splitlines() if "Resource R" in line}
    # The log of a run on Airflow 2 has no lines of a trigger that `dag.test()` runs.
    assert len(lines) == 1 or (mode == "deferrable" and not V3), lines


# --- since when ------------------------------------------------------------------------------------------------

SINCE = datetime(2026, 11, 20, 10, 1, tzinfo=timezone.utc)


@modes
@pytest.mark.parametrize(
    "since",
    [SINCE, "2026-11-20T10:01:00Z", "2026-11-20 11:01:00+01:00", "2026-11-20T10:01:00", Code("at_ten")],
    ids=["datetime", "utc", "offset", "naive text", "variable"],
)
def test_entries_from_since_on_count(sandbox, mode, since):
    """An entry that was created at or after `since` is new, in any spelling of the time."""
    since = SINCE.astimezone(timezone(timedelta(hours=-5))) if isinstance(since, Code) else since
    for name, at in (("before", SINCE - timedelta(microseconds=1)), ("at", SINCE), ("after", SINCE + SECOND)):
        sandbox.workspace.add_version("S", id=name, created_at=at, latest_activity_logged_at=at)
    assert ids(execute(make(mode, resource_id="S", since=since))) == ["at", "after"]


@modes
def test_since_as_template_and_as_result_of_another_task(sandbox, mode):
    """`since` may be a template, and what another task returns."""
    for name, at in (("new", SINCE + SECOND), ("before", SINCE - SECOND)):
        sandbox.workspace.add_version("S", id=name, created_at=at, latest_activity_logged_at=at)
    since = SINCE.isoformat()
    template = {"since": "{{ params.since }}", "dag": f"params={{'since': '{since}'}}"}
    for how in (template, {"since": Code(f"give('{since}')")}):
        ran = run(mode, resource_id="S", **how)
        assert ran.state == "success", ran.log
        assert ids(ran.xcoms["wait"]) == ["new"]


@modes
def test_since_a_version(sandbox, mode):
    """With `since_version_id` entries count that are others and not older."""
    timer = soon(0.15, lambda: sandbox.workspace.add_version("R", id="new"))
    assert ids(execute(make(mode, since_version_id="old-10"))) == ["new"]
    timer.join()
    assert ids(execute(make(mode, since_version_id="old-20"))) == ["old-10", "new"]
    assert ids(execute(make(mode, since_version_id=" old-20\n"))) == ["old-10", "new"]


@modes
def test_activity_counts_with_any_activity(sandbox, mode):
    """With `any_activity` a version that is extended is new; with `new_version` it is not."""
    grow = lambda: sandbox.workspace.add_log(resource_id="R", version_history_id="old-10")  # noqa: E731
    timer = soon(0.15, grow)
    (entry,) = execute(make(mode, match="any_activity"))
    timer.join()
    assert entry["id"] == "old-10"
    assert len(entry["record"]["activity_logs"]) == 2
    timer = soon(0.15, grow)
    later = soon(0.4, lambda: sandbox.workspace.add_version("R", id="new"))
    assert ids(execute(make(mode))) == ["new"]
    timer.join()
    later.join()


# --- since the run was due -------------------------------------------------------------------------------------

SCHEDULES = {
    "scheduled": "CronDataIntervalTimetable('@hourly', timezone='UTC')",
    "interval": "CronDataIntervalTimetable('@hourly', timezone='UTC')",
    "asset": "[Asset({uri!r})]",
}
HEAD = """
from airflow.providers.common.compat.sdk import Asset
from airflow.timetables.interval import CronDataIntervalTimetable
"""
MAKER = """
with DAG({dag_id!r}, schedule=None):

    @task(outlets=[Asset({uri!r})])
    def make():
        pass

    make()
"""


def created(mode, kind):
    """Store a DAG, let Airflow make a run of a kind; return DAG, the run's id and when it was due."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    uri = f"file:///made/{mode}"
    text, dag_id = source(mode, schedule=SCHEDULES.get(kind, "None").format(uri=uri))
    maker = f"maker_{dag_id}"
    dags = airflow_runs.load(HEAD + text + MAKER.format(dag_id=maker, uri=uri))
    if kind == "asset":
        airflow_runs.run_dag(dags[maker])
    if kind in ("scheduled", "asset"):
        run_id = run_makers.schedule()[dag_id]
    elif kind == "null":
        run_id = run_makers.post(dag_id, logical_date=None)
    else:
        moments = {"logical_date": pendulum.now("UTC")} | ({"run_after": pendulum.now("UTC")} if V3 else {})
        run_id = run_makers.trigger(dag_id, **(moments if kind == "interval" else {}))
    with create_session() as session:
        made = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
        due = made.data_interval_end or made.run_after
        assert (made.data_interval_end is None) == (V3 and kind in ("null", "manual", "asset"))
    return dags[dag_id], run_id, due


@modes
@pytest.mark.parametrize("kind", ["scheduled", "interval", "manual", "asset", pytest.param("null", marks=airflow_3)])
def test_changes_count_since_the_run_was_due(sandbox, mode, kind):
    """A change between the moment a run was due and its first poll counts, also after the task was cleared."""
    dag, run_id, due = created(mode, kind)
    sandbox.workspace.add_version("R", id="early", created_at=due - SECOND, latest_activity_logged_at=due - SECOND)
    sandbox.workspace.add_version("R", id="due", created_at=due, latest_activity_logged_at=due)
    for _ in range(2):
        ran = airflow_runs.execute(dag, run_id)
        assert ran.state == "success", ran.log
        assert ids(ran.xcoms["wait"]) == ["due"]


@modes
def test_a_retry_counts_from_the_same_moment(sandbox, mode):
    """A change before a retry counts for the retry, as it counted for the try that failed."""
    sandbox.faults.script = [500]
    text = source(mode, retries=1, retry_delay=Code("timedelta(0)"), max_consecutive_failures=1)[0]
    sandbox.workspace.add_version("R", id="new", created_at=now() + 5 * SECOND)
    ran = airflow_runs.run_dag(text)
    assert [request.status for request in sandbox.requests] == [500, 200]
    assert ids(ran.xcoms["wait"]) == ["new"]


def test_a_triggerer_that_is_restarted_misses_nothing(sandbox):
    """A version from while no triggerer ran is new for the trigger that takes over."""
    timer = soon(0.3, lambda: sandbox.workspace.add_version("R", id="new"))
    assert ids(execute(make("deferrable", poke_interval=0.2), restart_after=0.1)) == ["new"]
    timer.join()


ORDERS = ("newest", "oldest", "id")


@modes
def test_new_entries_are_found_in_any_order(sandbox, mode):
    """Newest first, oldest first or in no order: the new entry is found on many pages."""
    for number in range(60):
        at = now() - (60 - number) * HOUR
        sandbox.workspace.add_version("S", id=f"{number * 37 % 60:02}", latest_activity_logged_at=at)
    since = now()
    for order in ORDERS:
        sandbox.faults.resource_order = order
        at = since + ORDERS.index(order) * HOUR
        add = partial(sandbox.workspace.add_version, "S", id=f"30-{order}", created_at=at, latest_activity_logged_at=at)
        timer = soon(0.15, add)
        assert ids(execute(make(mode, resource_id="S", since=at))) == [f"30-{order}"]
        timer.join()


@pytest.mark.parametrize("nested", [True, False])
def test_a_sensor_is_not_a_nested_operator(sandbox, nested):
    """Airflow 2 warns of, or refuses, an operator that another one executes; the loop of the sensor is not one."""
    sandbox.workspace.add_version("R", id="new", latest_activity_logged_at=now() + HOUR)
    ran = run("poke", allow_nested_operators=nested)
    assert ran.tasks["wait"] == "success"
    assert "cannot be called outside" not in ran.log
