"""All event watchers of a connection share one poll and lose nothing: tested with Airflow 3.3's own trigger runner."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow.triggers.shared_stream")

from airflow_provider_secoda._events import background, catch_up, cursors, stream
from airflow_provider_secoda._events.audit_log_poller import AuditLogPoller
from airflow_provider_secoda._events.resource_poller import ResourcePoller
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.hooks import _shared_client as sharing
from airflow_provider_secoda.sandbox import Faults, Workspace
from airflow_provider_secoda.triggers.secoda import (
    SecodaAuditLogEventTrigger,
    SecodaVersionHistoryEventTrigger,
)
from tests.triggers.triggerer import Supervisor, Triggerer, until

AUDIT = "/api/v1/activity_log/audit_logs/"
RESOURCE = "/api/v1/activity_log/resource_logs/"
INTERVAL = 0.06


def versions_of(resource_id, **options):
    return SecodaVersionHistoryEventTrigger(resource_id, **{"poke_interval": INTERVAL, **options})


def logs(**options):
    return SecodaAuditLogEventTrigger(**{"poke_interval": INTERVAL, **options})


@pytest.fixture
def supervisor():
    return Supervisor()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Save cursors without much delay, and repeat requests quickly."""
    monkeypatch.setattr(cursors, "_REST", 0.02)
    monkeypatch.setattr(sharing, "POLL_POLICY", RetryPolicy(attempts=1))


@pytest.fixture
def sandbox(secoda_sandbox_factory):
    """Serve an hour of a quiet workspace, up to half an hour ago."""
    end = datetime.now(timezone.utc) - timedelta(minutes=30)
    return secoda_sandbox_factory(Workspace.generate(seed=5, logs=300, days=1 / 24, until=end))


def request_count(sandbox, path=AUDIT):
    """Return how many requests were sent to a path."""
    return sum(record.path == path for record in sandbox.requests)


async def settled(supervisor, count):
    """Wait until this many cursors are saved: then all watchers have their position."""
    await until(lambda: len(supervisor.state) >= count)


async def intervals(number):
    await asyncio.sleep(number * INTERVAL)


# --- one poll for all ------------------------------------------------------------------------------------------


async def test_a_hundred_watchers_cost_one_request_an_interval(sandbox, supervisor):
    """For any number of resources, a quiet interval costs one request in total, and no write of a cursor."""
    async with Triggerer(supervisor) as triggerer:
        for number in range(98):
            triggerer.start(number, versions_of(f"r{number}"), f"asset {number}")
        triggerer.start(98, logs(), "asset 98")
        triggerer.start(99, logs(activity_types=["DELETE"]), "asset 99")
        await settled(supervisor, 100)
        before, writes, begin = len(sandbox.requests), supervisor.writes, time.monotonic()
        await intervals(8)
        passed = (time.monotonic() - begin) / INTERVAL
        assert 2 <= len(sandbox.requests) - before <= passed + 1
        assert supervisor.writes == writes


async def test_each_watcher_fires_once_for_its_own_logs(sandbox, supervisor):
    """Every watcher delivers the logs that match, once, in one event each, and no others."""
    workspace = sandbox.workspace
    async with Triggerer(supervisor) as triggerer:
        for number in range(20):
            triggerer.start(number, versions_of(f"r{number}"), f"asset {number}")
        triggerer.start(50, logs(), "all")
        triggerer.start(51, logs(performer_types=["API"], resource_ids=["r3"]), "some")
        triggerer.start(52, logs(filter={"operator": "exact", "field": "resource_id", "value": "r4"}), "filtered")
        await settled(supervisor, 23)
        made = [workspace.add_version(f"r{number}") for number in (3, 4, 3)]
        plain = workspace.add_log(resource_id="r3", performer_type="API")
        await until(lambda: len(supervisor.stored) >= 3 + 4 + 1 + 1)
        await intervals(4)
        assert supervisor.ids(3) == [made[0]["id"], made[2]["id"]]
        assert supervisor.ids(4) == [made[1]["id"]]
        every = [version["activity_logs"][0]["id"] for version in made] + [plain["id"]]
        assert sorted(supervisor.ids(50)) == sorted(every)
        assert supervisor.ids(51) == [plain["id"]]
        assert supervisor.ids(52) == [made[1]["activity_logs"][0]["id"]]
        assert len(supervisor.stored) == 9
        assert supervisor.payloads(51)[0]["record"] == plain
        assert supervisor.payloads(3)[0]["record"]["id"] == made[0]["id"]


async def test_a_watcher_that_joins_later_starts_at_the_present(sandbox, supervisor):
    """A watcher delivers nothing from before its first start, even if the stream has been running longer."""
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "first")
        await settled(supervisor, 1)
        old = sandbox.workspace.add_log()
        await until(lambda: supervisor.ids(1) == [old["id"]])
        triggerer.start(2, logs(), "second")
        await settled(supervisor, 2)
        new = sandbox.workspace.add_log()
        await until(lambda: len(supervisor.stored) == 3)
        assert supervisor.ids(2) == [new["id"]]


async def test_polling_ends_with_the_last_watcher(sandbox, supervisor):
    """The poll ends with its last watcher, and starts again with the next one."""
    async with Triggerer(supervisor) as triggerer:
        tasks = [triggerer.start(number, versions_of(f"r{number}"), f"asset {number}") for number in range(3)]
        await settled(supervisor, 3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await intervals(1)
        before = len(sandbox.requests)
        await intervals(4)
        assert len(sandbox.requests) == before
        version = sandbox.workspace.add_version("r1")
        triggerer.start(1, versions_of("r1"), "asset 1")
        await until(lambda: supervisor.ids(1) == [version["id"]])


# --- nothing is lost -------------------------------------------------------------------------------------------


async def test_a_restart_delivers_what_was_missed(sandbox, supervisor):
    """After a restart, a triggerer delivers once what happened while it was down, and repeats nothing."""
    workspace = sandbox.workspace

    def start(triggerer):
        triggerer.start(1, versions_of("r1"), "one")
        triggerer.start(2, logs(), "two")

    async with Triggerer(supervisor) as triggerer:
        start(triggerer)
        await settled(supervisor, 2)
        first = workspace.add_version("r1")
        await until(lambda: len(supervisor.stored) == 2)
        await until(
            lambda: all(first["id"] in str(value) or one == "two" for (one, _), value in supervisor.state.items())
        )
        await intervals(2)
    second, plain = workspace.add_version("r1"), workspace.add_log()
    async with Triggerer(supervisor) as triggerer:
        start(triggerer)
        await until(lambda: len(supervisor.stored) == 5)
        await intervals(4)
    assert supervisor.ids(1) == [first["id"], second["id"]]
    assert supervisor.ids(2) == [
        first["activity_logs"][0]["id"],
        second["activity_logs"][0]["id"],
        plain["id"],
    ]


async def test_events_that_were_not_stored_are_repeated(sandbox, supervisor):
    """A triggerer that dies before Airflow has stored an event delivers it again: the cursor did not pass it."""
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, versions_of("r1"), "one")
        triggerer.start(2, logs(), "two")
        await settled(supervisor, 2)
        await intervals(1)
        triggerer.persist = False
        version = sandbox.workspace.add_version("r1")
        await until(lambda: len(triggerer.runner.events) == 2)
        await intervals(6)
    assert supervisor.stored == []
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, versions_of("r1"), "one")
        triggerer.start(2, logs(), "two")
        await until(lambda: len(supervisor.stored) == 2)
        assert supervisor.ids(1) == [version["id"]]
        assert supervisor.ids(2) == [version["activity_logs"][0]["id"]]


async def test_a_crash_before_the_cursor_is_written_repeats_with_the_same_id(sandbox, supervisor):
    """If the events are stored, but the cursor is not, they are repeated with the same ids: at least once."""
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one")
        await settled(supervisor, 1)
        await intervals(1)
        kept = dict(supervisor.state)
        log = sandbox.workspace.add_log()
        await until(lambda: supervisor.ids(1) == [log["id"]])
        await intervals(2)
    supervisor.state = kept
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one")
        await until(lambda: supervisor.ids(1) == [log["id"], log["id"]])
        await intervals(3)
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one")
        await intervals(5)
    assert supervisor.ids(1) == [log["id"], log["id"]], "nothing is repeated without limit"


async def test_identical_watchers_of_two_assets_keep_their_cursor(sandbox, supervisor):
    """Two assets with the same watcher share one trigger in Airflow; its cursor is saved nevertheless."""
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one", "other")
        await settled(supervisor, 2)
        await intervals(1)
    log = sandbox.workspace.add_log()
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one", "other")
        await until(lambda: supervisor.ids(1) == [log["id"]])
        await until(lambda: all(log["id"] in value["delivered"] for value in supervisor.state.values()))
    assert {name for name, _ in supervisor.state} == {"one", "other"}


async def test_a_backlog_is_read_once_for_all(sandbox, supervisor):
    """After a restart, the missed logs are read once for all watchers."""

    def start(triggerer):
        for number in range(40):
            triggerer.start(number, logs(resource_ids=[f"r{number}"]), f"asset {number}")

    async with Triggerer(supervisor) as triggerer:
        start(triggerer)
        await settled(supervisor, 40)
        await intervals(1)
    begin = datetime.now(timezone.utc) - timedelta(minutes=20)
    made = [
        sandbox.workspace.add_log(resource_id=f"r{number % 40}", created_at=begin + timedelta(seconds=3 * number))
        for number in range(400)
    ]
    sandbox.requests.clear()
    async with Triggerer(supervisor) as triggerer:
        start(triggerer)
        await until(lambda: len(supervisor.stored) == len(made))
    assert Counter(payload["id"] for _, payload in supervisor.stored) == Counter(one["id"] for one in made)
    assert sum(record.params["page"] != "1" for record in sandbox.requests) < 15


async def test_a_long_backlog_is_read_in_pieces(sandbox, supervisor, monkeypatch):
    """For any backlog, the number of logs in memory and of events on their way to the database is bounded."""
    monkeypatch.setattr(stream, "MAX_UNCONFIRMED", 20)
    monkeypatch.setattr(catch_up, "MAX_PENDING", 30)
    monkeypatch.setattr(catch_up, "_FIRST", 1_000_000)
    monkeypatch.setattr(catch_up, "_FEW", 5)
    monkeypatch.setattr("airflow_provider_secoda.client._following.follower.MAX_LOGS", 40)
    monkeypatch.setattr("airflow_provider_secoda.client._following.known_logs.MAX_SWEPT", 20)

    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one")
        triggerer.start(2, logs(activity_types=["NOBODY_DOES_THIS"]), "two")
        await settled(supervisor, 2)
        await intervals(1)
    begin = datetime.now(timezone.utc) - timedelta(seconds=60)
    made = [sandbox.workspace.add_log(created_at=begin + timedelta(seconds=number / 5))["id"] for number in range(300)]
    async with Triggerer(supervisor, persist=False) as triggerer:
        triggerer.start(1, logs(), "one")
        triggerer.start(2, logs(activity_types=["NOBODY_DOES_THIS"]), "two")
        await until(lambda: len(triggerer.runner.events) == 20)
        await intervals(5)
        assert len(triggerer.runner.events) == 20
        triggerer.persist = True
        await until(lambda: len(supervisor.stored) >= 300, seconds=30)
        await intervals(2)
    assert supervisor.ids(1) == made, "each once, oldest first"


async def test_a_watcher_with_a_full_queue_catches_up_later(sandbox, supervisor, monkeypatch):
    """While the database is slow, the queue of a watcher is bounded; it reads the rest when it has capacity again."""
    monkeypatch.setattr(stream, "MAX_UNCONFIRMED", 2)
    monkeypatch.setattr(catch_up, "MAX_PENDING", 5)

    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one")
        triggerer.start(2, logs(activity_types=["SELDOM"]), "two")
        await settled(supervisor, 2)
        triggerer.persist = False
        made = []
        for _ in range(5):
            made += [sandbox.workspace.add_log(activity_type="OFTEN")["id"] for _ in range(4)]
            await intervals(1.5)
        made.append(sandbox.workspace.add_log(activity_type="SELDOM")["id"])
        await intervals(2)
        assert len(triggerer.runner.events) == 2
        triggerer.persist = True
        await until(lambda: len(supervisor.stored) >= len(made) + 1)
        await intervals(3)
    assert sorted(supervisor.ids(1)) == sorted(made)
    assert supervisor.ids(2) == made[-1:]


async def test_many_logs_between_two_polls(sandbox, supervisor, monkeypatch):
    """More logs between two polls than fit into memory are read in pieces, each delivered once."""
    monkeypatch.setattr(catch_up, "_FIRST", 1_000_000)
    monkeypatch.setattr("airflow_provider_secoda.client._following.follower.MAX_LOGS", 150)
    monkeypatch.setattr("airflow_provider_secoda.client._following.known_logs.MAX_SWEPT", 75)

    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one")
        await settled(supervisor, 1)
        begin = datetime.now(timezone.utc)
        made = []
        with sandbox.workspace.lock:
            for number in range(400):
                at = begin + timedelta(seconds=number / 10)
                made.append(sandbox.workspace.add_log(logged_at=at, created_at=at)["id"])
        await until(lambda: len(supervisor.stored) >= 400)
        last = sandbox.workspace.add_log(created_at=begin + timedelta(seconds=60))
        await until(lambda: len(supervisor.stored) >= 401)
    assert sorted(supervisor.ids(1)) == sorted([*made, last["id"]])


# --- what Airflow gives up on ----------------------------------------------------------------------------------


async def test_a_watcher_that_airflow_gives_up_on_repeats_after_its_restart(sandbox, supervisor):
    """If events are not stored within Airflow's timeout, it ends the watcher; the cursor has not passed them."""
    async with Triggerer(supervisor, ack_timeout=0.4) as triggerer:
        doomed = triggerer.start(1, versions_of("r1"), "one")
        spared = triggerer.start(2, versions_of("r2"), "two")
        await settled(supervisor, 2)
        triggerer.persist = False
        version = sandbox.workspace.add_version("r1")
        await until(doomed.done)
        assert type(doomed.exception()).__name__ == "AckTimeout"
        assert not spared.done()
        triggerer.runner.events.clear()
        triggerer.persist = True
        await intervals(3)
        assert version["id"] not in json.dumps(list(supervisor.state.values()))
        triggerer.start(1, versions_of("r1"), "one")
        other = sandbox.workspace.add_version("r2")
        await until(lambda: len(supervisor.stored) == 2)
        assert (supervisor.ids(1), supervisor.ids(2)) == ([version["id"]], [other["id"]])
        await until(lambda: other["id"] in json.dumps(list(supervisor.state.values())))


async def broken_run(*_):
    raise LookupError("a defect")


async def ended_run(*_):
    return


async def cancelled_run(*_):
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("part", "run"), [(AuditLogPoller, broken_run), (ResourcePoller, cancelled_run), (cursors.CursorSaver, ended_run)]
)
async def test_a_stream_fails_when_one_of_its_background_tasks_ends(sandbox, supervisor, monkeypatch, part, run):
    """A background task that ends fails all watchers, so that the triggerer restarts them: none waits silently."""
    async with Triggerer(supervisor) as triggerer:
        with monkeypatch.context() as patch:
            patch.setattr(part, "run", run)
            tasks = [triggerer.start(1, versions_of("r1"), "one"), triggerer.start(2, logs(), "two")]
            await until(lambda: all(task.done() for task in tasks), seconds=3.0)
        for task in tasks:
            with pytest.raises(Exception, match=r"Secoda connection 'secoda_default': .* ended") as error:
                task.result()
            assert not isinstance(error.value, asyncio.CancelledError)
        triggerer.start(2, logs(), "two")
        await settled(supervisor, 1)
        log = sandbox.workspace.add_log()
        await until(lambda: supervisor.ids(2) == [log["id"]])


async def test_a_failing_state_store_delays_and_loses_nothing(sandbox, supervisor, caplog):
    """A watcher whose cursor cannot be loaded waits for it instead of starting at the present, and logs this once."""
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one")
        await settled(supervisor, 1)
        await intervals(1)
    log = sandbox.workspace.add_log()
    supervisor.broken = True
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, logs(), "one")
        await intervals(6)
        assert supervisor.stored == []
        supervisor.broken = False
        await until(lambda: supervisor.ids(1) == [log["id"]])
    assert sum("state store" in record.message for record in caplog.records if record.levelname == "WARNING") == 1


# --- failures of Secoda ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [503, ("status", 429, {"Retry-After": "1"}), "html"],
    ids=["5xx", "429", "login page"],
)
async def test_failures_cost_few_requests_and_two_lines(sandbox, supervisor, caplog, failure):
    """A failure ends no watcher, requests get fewer, and the log has one line at the start and one at the end."""
    caplog.set_level("INFO", logger="airflow_provider_secoda")

    async with Triggerer(supervisor) as triggerer:
        tasks = [triggerer.start(1, versions_of("r1"), "one"), triggerer.start(2, logs(), "two")]
        await settled(supervisor, 2)
        before = len(sandbox.requests)
        sandbox.faults = Faults(script=[failure] * 500)
        version = sandbox.workspace.add_version("r1")
        await until(lambda: "reading the audit log failed" in caplog.text)
        await asyncio.sleep(0.6)
        assert len(sandbox.requests) - before <= 8
        assert not any(task.done() for task in tasks)
        assert supervisor.stored == []
        sandbox.faults = Faults()
        await until(lambda: len(supervisor.stored) == 2, seconds=20)
        assert supervisor.ids(1) == [version["id"]]
    lines = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "INFO")]
    ours = [line for line in lines if "reading the audit log" in line]
    assert len(ours) == 2, ours
    assert "works again" in ours[1]
    assert "sandbox-key" not in caplog.text


async def test_a_filter_that_the_server_rejects_is_logged(sandbox, supervisor, caplog):
    """A filter that Secoda rejects is named in the log; its watcher waits, and the others continue."""
    refused = {"operator": "no_such_operator", "field": "resource_id", "value": "r4"}
    async with Triggerer(supervisor) as triggerer:
        task = triggerer.start(1, logs(filter=refused), "one")
        triggerer.start(2, logs(), "two")
        await settled(supervisor, 1)
        log = sandbox.workspace.add_log()
        await until(lambda: supervisor.ids(2) == [log["id"]])
        await intervals(3)
        assert not task.done()
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "answered 400" in line


async def test_a_rotated_key_is_read_again(sandbox, supervisor, monkeypatch):
    """A key that is revoked and replaced in the connection is found without a restart."""
    async with Triggerer(supervisor) as triggerer:
        task = triggerer.start(1, logs(), "one")
        await settled(supervisor, 1)
        good = json.loads(sandbox.connection_json)
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(good | {"password": "revoked-key-0000"}))
        sandbox.faults = Faults(script=[401])
        log = sandbox.workspace.add_log()
        await until(lambda: any(record.status == 401 for record in sandbox.requests))
        await intervals(3)
        assert supervisor.stored == []
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(good))
        await until(lambda: supervisor.ids(1) == [log["id"]])
        assert not task.done()


async def test_a_missing_connection_is_retried(sandbox, supervisor, monkeypatch, caplog):
    """Watchers whose connection does not exist yet log this once, and work when it exists."""
    monkeypatch.delenv("AIRFLOW_CONN_SECODA_DEFAULT")
    async with Triggerer(supervisor) as triggerer:
        task = triggerer.start(1, logs(), "one")
        await intervals(6)
        assert not task.done()
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", sandbox.connection_json)
        await settled(supervisor, 1)
        log = sandbox.workspace.add_log()
        await until(lambda: supervisor.ids(1) == [log["id"]])
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sum("reading the audit log failed" in line for line in warnings) == 1


# --- without access to audit logs ------------------------------------------------------------------------------


@pytest.fixture
def member(sandbox, secoda_sandbox_factory, monkeypatch):
    """Use the key of a member who is not an admin."""
    serving = secoda_sandbox_factory(sandbox.workspace, member_key="member-key-0000")
    connection = json.loads(serving.connection_json) | {"password": serving.member_key}
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection))
    return serving


async def test_without_access_each_resource_is_polled(member, supervisor, caplog):
    """If the key may not read audit logs, version watchers poll their own resource, once an interval."""
    interval = 0.2
    for number in range(10):
        member.workspace.add_version(f"r{number}")
    async with Triggerer(supervisor) as triggerer:
        for number in range(10):
            triggerer.start(number, versions_of(f"r{number}", poke_interval=interval), f"asset {number}")
        waiting = triggerer.start(50, logs(poke_interval=interval), "blind")
        await settled(supervisor, 10)
        before, refused = request_count(member, RESOURCE), request_count(member)
        await asyncio.sleep(4 * interval)
        assert 20 <= request_count(member, RESOURCE) - before <= 50
        assert request_count(member) == refused
        assert supervisor.stored == [], "versions from before the start are not new"
        version = member.workspace.add_version("r7")
        await until(lambda: supervisor.stored)
        await asyncio.sleep(2 * interval)
        assert [(id_, payload["id"]) for id_, payload in supervisor.stored] == [(7, version["id"])]
        assert not waiting.done()
        await until(lambda: version["id"] in json.dumps(list(supervisor.state.values())))
    kept = member.workspace.add_version("r7")
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(7, versions_of("r7", poke_interval=interval), "asset 7")
        await until(lambda: supervisor.ids(7) == [version["id"], kept["id"]])
        await asyncio.sleep(2 * interval)
        assert len(supervisor.stored) == 2
    said = [record.getMessage() for record in caplog.records if "workspace admin" in record.getMessage()]
    assert len(said) == 1


async def test_access_that_is_granted_later_is_used(member, supervisor, monkeypatch):
    """When the key may read audit logs after all, the shared poll serves all watchers again, and nothing is lost."""
    monkeypatch.setattr(background, "MAX_PAUSE", 1.0)

    async with Triggerer(supervisor) as triggerer:
        for number in range(5):
            member.workspace.add_version(f"r{number}")
            triggerer.start(number, versions_of(f"r{number}"), f"asset {number}")
        triggerer.start(9, logs(resource_ids=["r2"]), "logs")
        await settled(supervisor, 5)  # of their first polls
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", member.connection_json)
        first = member.workspace.add_version("r2")
        await until(lambda: supervisor.ids(2) == [first["id"]])
        await settled(supervisor, 6)
        await intervals(3)
        polls = request_count(member, RESOURCE)
        second = member.workspace.add_version("r2")
        await until(lambda: supervisor.ids(2) == [first["id"], second["id"]])
        await until(lambda: second["activity_logs"][0]["id"] in supervisor.ids(9))
        await intervals(5)
        assert request_count(member, RESOURCE) - polls <= 2
        assert len(supervisor.stored) == 3


async def test_versions_are_found_while_the_audit_log_cannot_be_read_completely(sandbox, supervisor):
    """While reads of the audit log stay incomplete, version watchers poll their own resources."""
    sandbox.workspace.add_version("r1")
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, versions_of("r1"), "one")
        triggerer.start(2, logs(resource_ids=["r1"]), "two")
        await settled(supervisor, 2)
        sandbox.faults = Faults(empty_page=1)
        version = sandbox.workspace.add_version("r1")
        await until(lambda: supervisor.ids(1) == [version["id"]])
        assert supervisor.ids(2) == []
        sandbox.faults = Faults()
        await until(lambda: supervisor.ids(2) == [version["activity_logs"][0]["id"]])
        assert len(supervisor.stored) == 2


# --- versions --------------------------------------------------------------------------------------------------


async def test_a_version_that_is_extended_fires_any_activity(sandbox, supervisor):
    """An edit that extends a version fires ``any_activity`` again, but not ``new_version``."""
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, versions_of("r1"), "new")
        triggerer.start(2, versions_of("r1", match="any_activity"), "any")
        await settled(supervisor, 2)
        version = sandbox.workspace.add_version("r1")
        await until(lambda: len(supervisor.stored) == 2)
        sandbox.workspace.add_log(resource_id="r1", version_history_id=version["id"])
        await until(lambda: len(supervisor.stored) == 3)
        await intervals(4)
        assert supervisor.ids(1) == [version["id"]]
        assert supervisor.ids(2) == [version["id"]] * 2
        before, after = (len(payload["record"]["activity_logs"]) for payload in supervisor.payloads(2))
        assert (before, after) == (1, 2)


async def test_extending_an_old_version_does_not_fire_new_version(sandbox, supervisor):
    """An edit of a version from just before the watcher's start fires nothing, and costs one poll."""
    version = sandbox.workspace.add_version(
        "r1", activity_logs=[{"logged_at": datetime.now(timezone.utc) - timedelta(minutes=5)}]
    )
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, versions_of("r1"), "new")
        await settled(supervisor, 1)
        for _ in range(3):
            sandbox.workspace.add_log(resource_id="r1", version_history_id=version["id"])
            await intervals(3)
        assert supervisor.stored == []
        assert request_count(sandbox, RESOURCE) == 1


async def test_a_related_resource_announces_a_version(sandbox, supervisor):
    """A log that names the resource as a related one, or as parent, announces a version, too."""
    async with Triggerer(supervisor) as triggerer:
        triggerer.start(1, versions_of("r1"), "new")
        await settled(supervisor, 1)
        for field in ({"related_resource_ids": ["r1"]}, {"parent_id": "r1"}):
            polls = request_count(sandbox, RESOURCE)
            sandbox.workspace.add_log(resource_id="elsewhere", version_history_id=f"v {field}", **field)
            await until(lambda polls=polls: request_count(sandbox, RESOURCE) > polls)


async def test_a_missing_resource_is_logged_once(member, supervisor, caplog):
    """A resource that Secoda does not know (yet) ends nothing, and is polled less and less often."""
    async with Triggerer(supervisor) as triggerer:
        task = triggerer.start(1, versions_of("nobody"), "one")
        await until(lambda: request_count(member, RESOURCE) > 0)
        await intervals(6)
        assert not task.done()
        assert request_count(member, RESOURCE) == 1
    assert sum("'nobody'" in r.getMessage() or "nobody" in r.getMessage() for r in caplog.records) == 1
