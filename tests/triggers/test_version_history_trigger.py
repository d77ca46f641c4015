"""The sensor's trigger: its arguments, its events, how it ends, and that it does not block the event loop."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._polling.trigger_loop import TriggerLoop
from airflow_provider_secoda._polling.wait import read_event
from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaConfigurationError,
    SecodaNotFoundError,
    SecodaServerError,
)
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger

PATH = "airflow_provider_secoda.triggers.secoda.SecodaVersionHistoryTrigger"
HOUR = timedelta(hours=1)


def now():
    return datetime.now(timezone.utc)


@pytest.fixture
def sandbox(secoda_sandbox_factory, airflow):
    workspace = Workspace(seed=5)
    workspace.add_version("R", id="old", latest_activity_logged_at=now() - HOUR)
    return secoda_sandbox_factory(workspace, page_size=10)


def make(**arguments):
    since = (now() - timedelta(minutes=1)).isoformat()
    arguments = {
        "secoda_conn_id": "secoda_default",
        "resource_id": "R",
        "since": since,
        "poke_interval": 0.1,
    } | arguments
    return SecodaVersionHistoryTrigger(**arguments)


async def events(trigger):
    return [event async for event in trigger.run()]


async def run(trigger, seconds=10):
    """Run a trigger until it ends; return its events."""
    return await asyncio.wait_for(events(trigger), seconds)


# --- arguments ---------------------------------------------------------------------------------------------


def test_serialize_gives_back_every_argument():
    """The stored arguments create the same trigger again; all of them are plain JSON."""
    given = {
        "secoda_conn_id": "c",
        "resource_id": "r",
        "since": "2026-01-01T00:00:00Z",
        "since_from": "when the run was due",
        "since_version_id": "v",
        "match": "any_activity",
        "wait_for_resource": True,
        "poke_interval": 7.5,
        "exponential_backoff": True,
        "max_wait": 70.0,
        "max_consecutive_failures": 9,
        "started_at": "2026-01-02T00:00:00+00:00",
        "deadline": "2026-01-03T00:00:00+00:00",
        "first_poll_at": "2026-01-02T00:01:00+00:00",
        "consecutive_failures": 2,
        "last_error": "SecodaServerError",
        "page_order": {"total_pages": 3},
        "end_task": True,
    }
    signature = inspect.signature(SecodaVersionHistoryTrigger.__init__).parameters
    assert set(given) == set(signature) - {"self"}
    assert all(given[name] != parameter.default for name, parameter in signature.items() if name != "self")
    path, arguments = SecodaVersionHistoryTrigger(**given).serialize()
    assert path == PATH
    assert arguments == given
    assert json.loads(json.dumps(arguments)) == given


async def test_what_is_stored_holds_no_secret(sandbox):
    """Neither the arguments nor the repr of a trigger contain the key, also after it ran."""
    trigger = make(since="2026-01-01T00:00:00Z")
    await run(trigger)
    assert sandbox.api_key not in repr(trigger.serialize()) + repr(trigger) + repr(vars(trigger))


# --- events --------------------------------------------------------------------------------------------


async def test_one_event_then_the_end(sandbox):
    """A trigger yields one event, which the sensor reads, and ends."""
    (event,) = await run(make(since="2026-01-01T00:00:00Z"))
    assert event.payload["status"] == "success"
    (entry,) = read_event(json.loads(json.dumps(event.payload)))
    assert entry["id"] == "old"
    (event,) = await run(make(deadline=(now() + timedelta(seconds=0.3)).isoformat()))
    assert event.payload == {"status": "timeout"}
    assert read_event(event.payload) is None


@pytest.mark.parametrize(
    "event",
    [
        None,
        "success",
        {},
        {"status": "error"},
        {"status": "success"},
        {"status": "success", "entries": []},
        {"status": "success", "entries": [{"id": "x"}]},
        {"status": "success", "entries": [{"id": 7, "record": {}}]},
        {"status": "success", "entries": {"id": "x", "record": {}}},
    ],
    ids=str,
)
def test_an_unknown_event_is_refused(event):
    """An event that this trigger does not yield is an error, not an empty result."""
    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

    with pytest.raises(ValueError, match="Unknown event from the trigger"):
        SecodaVersionHistorySensor(task_id="t", resource_id="R").execute_complete({}, event)


async def test_errors_that_waiting_cannot_fix_are_raised(sandbox):
    """401, 404, a wrong connection and wrong arguments end the trigger after at most one request."""
    sandbox.faults.script = [401] * 1000
    with pytest.raises(SecodaAuthenticationError):
        await run(make())
    assert len(sandbox.requests) == 1
    sandbox.reset()
    with pytest.raises(SecodaNotFoundError, match="resource 'nowhere' by connection 'secoda_default'"):
        await run(make(resource_id="nowhere"))
    assert len(sandbox.requests) == 1
    for name, wrong in (("resource_id", " "), ("since", "soon"), ("match", "all"), ("since_version_id", "")):
        with pytest.raises(SecodaConfigurationError, match=name):
            await run(make(**{name: wrong}))
    with pytest.raises(Exception, match="no_such_connection"):
        await run(make(secoda_conn_id="no_such_connection"))
    assert len(sandbox.requests) == 1


async def test_one_failure_too_many_is_raised(sandbox):
    """The last failure in a row ends the trigger; failures of an earlier process count."""
    sandbox.faults.script = [500] * 1000
    with pytest.raises(SecodaServerError):
        await run(make(max_consecutive_failures=3, consecutive_failures=1))
    assert len(sandbox.requests) == 2


async def test_there_is_a_shortest_pause(sandbox):
    """With a poke_interval of 0 there are still pauses between polls."""
    await run(make(poke_interval=0, deadline=(now() + timedelta(seconds=0.5)).isoformat()))
    assert len(sandbox.requests) <= 7


async def test_a_server_that_hangs_does_not_outlast_the_deadline(sandbox, monkeypatch):
    """A poll that hangs at the deadline is cancelled after some seconds."""
    monkeypatch.setattr("airflow_provider_secoda._polling.trigger_loop.LAST_POLL", 0.3)
    sandbox.faults.script = ["slow:0", "slow:30"]
    (event,) = await run(make(deadline=(now() + timedelta(seconds=0.4)).isoformat()), 5)
    assert event.payload == {"status": "timeout"}


async def test_a_cancelled_trigger_leaves_nothing(sandbox):
    """A trigger that is cancelled, in a pause or in a request, ends at once and closes what it opened."""
    from airflow_provider_secoda.hooks import _shared_client as sharing

    async def cancel(script, seconds):
        sandbox.faults.script = script
        task = asyncio.create_task(events(make(poke_interval=30)))
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 1)
        assert not sharing._clients.get(asyncio.get_running_loop())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for script in ([], ["slow:10"]):
        await cancel(script, 0.5)
    assert len(sandbox.requests) == 2


# --- a restart -------------------------------------------------------------------------------------------------


async def test_a_restart_continues_with_the_same_pauses(sandbox):
    """With exponential_backoff a trigger that continues a wait pauses as long as the first one would have."""
    started = (now() - timedelta(seconds=0.7)).isoformat()
    deadline = (now() + timedelta(seconds=1.5)).isoformat()
    await run(make(exponential_backoff=True, started_at=started, deadline=deadline))
    times = [request.at for request in sandbox.requests]
    assert times[1] - times[0] >= 0.8


def first_pause(trigger):
    """Return the seconds until a trigger's first poll."""
    arguments = trigger.serialize()[1]
    del arguments["end_task"]
    return TriggerLoop(trigger.log, **arguments).first_pause()


def test_first_polls_are_spread_after_a_restart(sandbox):
    """Triggers whose first poll is overdue do not all poll at the same time."""
    overdue = (now() - timedelta(hours=1)).isoformat()
    pauses = [first_pause(make(first_poll_at=overdue, poke_interval=60)) for _ in range(50)]
    assert 0 <= min(pauses) < 10
    assert 20 < max(pauses) <= 30
    planned = (now() + timedelta(seconds=50)).isoformat()
    assert 49 < first_pause(make(first_poll_at=planned, poke_interval=60)) <= 50
    soon = (now() + timedelta(seconds=5)).isoformat()
    late = make(first_poll_at=overdue, poke_interval=60, deadline=soon)
    assert max(first_pause(late) for _ in range(50)) <= 5


def add_long(workspace):
    """Add a resource L with 95 versions, on 10 pages."""
    for number in range(95):
        workspace.add_version("L", id=f"v{number}", latest_activity_logged_at=now() - (200 - number) * HOUR)


async def test_a_trigger_detects_the_page_order(sandbox):
    """A trigger without a page order reads a long history once; then a poll costs one request."""
    add_long(sandbox.workspace)
    await run(make(resource_id="L", deadline=(now() + timedelta(seconds=1)).isoformat()))
    pages = [request.params["page"] for request in sandbox.requests]
    last = max(number for number, page in enumerate(pages) if page != "1")
    assert last < 14
    assert len(pages) > last + 4


async def test_the_page_order_is_passed_to_the_trigger(sandbox):
    """A trigger with the page order of a long history reads one page, not all."""
    add_long(sandbox.workspace)
    from airflow_provider_secoda.client._api.timestamps import to_instant
    from airflow_provider_secoda.client._versions.history import Baseline
    from airflow_provider_secoda.hooks.secoda import SecodaHook

    page_order = SecodaHook().poll_versions("L", Baseline(to_instant(now()))).page_order
    sandbox.requests.clear()
    deadline = (now() + timedelta(seconds=0.05)).isoformat()
    await run(
        make(resource_id="L", page_order=json.loads(json.dumps(msgspec.to_builtins(page_order))), deadline=deadline)
    )
    assert len(sandbox.requests) <= 2


# --- many of them ----------------------------------------------------------------------------------------------


async def test_many_triggers_share_a_client(sandbox):
    """Two hundred triggers of a connection have one client, and no more concurrent requests than it has connections."""
    from airflow_provider_secoda.hooks import _shared_client as sharing

    sandbox.faults.latency = 0.01
    deadline = (now() + timedelta(seconds=3)).isoformat()

    async def all_of_them():
        tasks = [asyncio.create_task(events(make(poke_interval=0.5, deadline=deadline))) for _ in range(200)]
        await asyncio.sleep(1.5)
        clients = list(sharing._clients[asyncio.get_running_loop()].values())
        sandbox.workspace.add_version("R", id="new")
        return clients, await asyncio.gather(*tasks)

    clients, found = await all_of_them()
    assert len(clients) == 1
    assert clients[0].users == 0
    assert [event.payload["entries"][0]["id"] for (event,) in found] == ["new"] * 200
    assert 1 < sandbox.stats["peak_in_flight"] <= sharing.MAX_AT_ONCE


async def test_many_triggers_survive_a_change_of_keys(sandbox, monkeypatch):
    """All triggers that got a 401 continue with the new key; the connection is not read once for each."""
    from airflow_provider_secoda.hooks import _shared_client as sharing

    connection = json.loads(sandbox.connection_json)
    old = json.dumps(connection | {"password": "the-old-key-which-is-revoked-soon"})
    sandbox._state.member_key = "the-old-key-which-is-revoked-soon"
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", old)
    reads = []
    make_client = sharing._make
    monkeypatch.setattr(sharing, "_make", lambda *args: reads.append(args) or make_client(*args))

    async def all_of_them():
        tasks = [asyncio.create_task(events(make(poke_interval=0.3))) for _ in range(50)]
        await asyncio.sleep(0.6)
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection))
        sandbox._state.member_key = None
        await asyncio.sleep(0.8)
        sandbox.workspace.add_version("R", id="new")
        return await asyncio.gather(*tasks)

    assert len(await all_of_them()) == 50
    assert any(request.status == 401 for request in sandbox.requests)
    assert 2 <= len(reads) <= 10


async def test_a_key_that_is_revoked_ends_all(sandbox, monkeypatch):
    """A key that is revoked and not replaced ends every trigger after one request and few reads of the connection."""
    from airflow_provider_secoda.hooks import _shared_client as sharing

    reads = []
    make_client = sharing._make
    monkeypatch.setattr(sharing, "_make", lambda *args: reads.append(args) or make_client(*args))
    sandbox._state.api_key = "another-key-than-that-of-the-connection"

    async def all_of_them():
        return await asyncio.gather(*(events(make()) for _ in range(50)), return_exceptions=True)

    ended = await all_of_them()
    assert {type(error) for error in ended} == {SecodaAuthenticationError}
    assert len(sandbox.requests) == 50
    assert len(reads) <= 1 + math.ceil(50 / sharing.MAX_AT_ONCE) * 2


LOOP = """
    import asyncio, gc, json, os, sys, time
    import airflow.triggers.base  # which a triggerer has, as all that a connection needs
    import airflow.providers.common.compat.sdk as sdk
    sdk.BaseHook.get_connection("secoda_default")
    from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger

    async def tick(gaps):
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            gaps.append(time.perf_counter() - before)

    async def events(trigger):
        return [event async for event in trigger.run()]

    async def main():
        gaps = []
        ticking = asyncio.create_task(tick(gaps))
        await asyncio.sleep(0.1)
        made = [SecodaVersionHistoryTrigger(**json.loads({arguments!r})) for _ in range(50)]
        found = await asyncio.gather(*(events(trigger) for trigger in made))
        ticking.cancel()
        print(max(gaps), len(found), len(gaps))

    gc.disable()  # Airflow's garbage collection is not what is measured
    asyncio.run(main())
"""
SLOW = """
    import json, time
    from airflow.secrets import BaseSecretsBackend

    class Slow(BaseSecretsBackend):
        def get_conn_value(self, conn_id, *args, **kwargs):
            time.sleep(1)
            return {connection!r}
"""


def test_the_loop_is_never_blocked(sandbox, tmp_path, monkeypatch):
    """Fifty triggers that start in a new process do not block the loop, although the connection is slow to read."""
    (tmp_path / "slow_secrets.py").write_text(textwrap.dedent(SLOW.format(connection=sandbox.connection_json)))
    monkeypatch.delenv("AIRFLOW_CONN_SECODA_DEFAULT")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "slow_secrets.Slow")
    arguments = json.dumps(make(since="2026-01-01T00:00:00Z").serialize()[1])
    code = textwrap.dedent(LOOP.format(arguments=arguments))
    longest = []
    for _ in range(3):  # the machine may be busy with something else
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        gap, found, ticks = ran.stdout.split()[-3:]
        assert int(found) == 50
        assert int(ticks) > 20  # it was slow
        longest.append(float(gap))
        if longest[-1] < 0.33:
            break
    assert min(longest) < 0.33
