"""The client that all who wait on a connection share: one a loop, bounded, polite, and as the connection is now."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.client._api.flow import once
from airflow_provider_secoda.client._api.key import Key
from airflow_provider_secoda.client._versions.history import Baseline
from airflow_provider_secoda.client._versions.pages import resource_logs_call
from airflow_provider_secoda.client._versions.poll import poll_versions
from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaConfigurationError,
    SecodaRateLimitError,
    SecodaServerError,
)
from airflow_provider_secoda.hooks import _shared_client as sharing
from airflow_provider_secoda.hooks._shared_client import MAX_AT_ONCE, shared_client
from airflow_provider_secoda.sandbox import Workspace
from tests.client.drivers import KeepAlive
from tests.helpers.rude_servers import http

FAR = Baseline(4_000_000_000_000_000)
PAGE = b'{"version_histories":[],"non_versioned_logs":[],"count":0,"total_pages":1,"meta":{}}'


@pytest.fixture
def sandbox(secoda_sandbox_factory, airflow):
    workspace = Workspace(seed=5)
    for number in range(30):
        workspace.add_version("R", id=f"v{number}")
    workspace.add_version("S", id="only")
    return secoda_sandbox_factory(workspace, page_size=10, member_key="the-key-of-somebody-else")


def ask(resource_id="S"):
    """Ask for one page, once."""
    return once(resource_logs_call(resource_id, 1, 1))


def run(work):
    return asyncio.run(asyncio.wait_for(work(), 20))


def test_one_client_for_all_in_a_loop_and_none_after_the_last(sandbox):
    """All users of a connection in a loop have the same client; the last one to leave closes it."""

    async def work():
        async with shared_client("secoda_default") as one, shared_client("secoda_default") as two:
            assert one is two
            await asyncio.gather(one.value(ask()), two.value(ask()))
        async with shared_client("secoda_default") as three:
            assert three is not one
            await three.value(ask())
        assert not sharing._clients[asyncio.get_running_loop()]

    run(work)
    run(work)
    assert len(sandbox.requests) == 6


def test_one_reading_of_the_connection_for_all(sandbox, monkeypatch):
    """However many begin at once, the connection is read once, and in another thread than the loop's."""
    threads = []
    make = sharing._make
    monkeypatch.setattr(sharing, "_make", lambda *args: threads.append(threading.current_thread()) or make(*args))

    async def work():
        async with shared_client("secoda_default") as client:
            await asyncio.gather(*(client.value(ask()) for _ in range(30)))
        return threading.current_thread()

    loops = run(work)
    assert len(threads) == 1
    assert threads[0] is not loops


def test_connections_are_kept_and_bounded(airflow, monkeypatch):
    """Hundreds of looks at once use no more connections than there may be, each of them again and again."""
    with KeepAlive(http(PAGE, connection="keep-alive"), delay=0.005) as server:
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps({"host": server.url, "password": "k" * 30}))

        async def work():
            async with shared_client("secoda_default") as client:
                for _ in range(3):
                    await asyncio.gather(*(client.value(ask()) for _ in range(100)))

        run(work)
        assert len(server.requests) == 300
        assert server.made == server.most == MAX_AT_ONCE


def test_what_was_begun_is_finished_first(sandbox):
    """Of many who read several pages only so many are under way at once; the others begin when these are done."""
    for resource in range(30):
        for number in range(25):
            sandbox.workspace.add_version(f"R{resource}", id=f"{resource}-{number}")
    sandbox.faults.latency = 0.002

    async def work():
        async with shared_client("secoda_default") as client:
            await asyncio.gather(*(client.value(poll_versions(f"R{number}", FAR)) for number in range(30)))

    run(work)
    asked = [request.params["resource_id"] for request in sandbox.requests]
    last = {resource: number for number, resource in enumerate(asked)}
    begun = [{resource for resource in asked[: number + 1] if last[resource] > number} for number in range(len(asked))]
    assert len(last) == 30
    assert 1 < max(map(len, begun)) <= MAX_AT_ONCE


@pytest.mark.parametrize("page", [1, 2])
def test_a_429_is_obeyed_by_all(sandbox, page):
    """While the server wants to be left alone nobody asks, whoever it told so, and on whichever page."""
    sandbox.faults.script = ["slow:0"] * (page - 1) + [("status", 429, {"retry-after": "1"})]

    async def work():
        async with shared_client("secoda_default") as client:
            first = asyncio.create_task(client.value(poll_versions("R", FAR)))
            await asyncio.sleep(0.3)
            assert sandbox.requests[-1].status == 429
            others = [asyncio.create_task(client.value(ask())) for _ in range(20)]
            await asyncio.gather(first, *others, return_exceptions=True)
            return first

    first = run(work)
    times = [request.at for request in sandbox.requests]
    assert times[page] - times[page - 1] >= 1
    assert len(times) > 20
    # What can be asked for again within the look is; the first page is left to the next look.
    assert (first.exception() is None) == (page == 2)


def test_a_429_that_does_not_say_how_long(sandbox):
    """Without Retry-After all wait for a second."""
    sandbox.faults.script = [429]

    async def work():
        async with shared_client("secoda_default") as client:
            with pytest.raises(SecodaRateLimitError):
                await client.value(ask())
            await client.value(ask())

    run(work)
    first, second = [request.at for request in sandbox.requests]
    assert 1 <= second - first < 1.5


def test_a_429_for_ever_is_not_believed(sandbox):
    """A server that wants to be left alone for years is asked again after a day."""
    sandbox.faults.script = [("status", 429, {"retry-after": "999999999"})]

    async def work():
        async with shared_client("secoda_default") as client:
            with pytest.raises(SecodaRateLimitError):
                await client.value(ask())
            return client._gate._closed_until - asyncio.get_running_loop().time()

    assert 86_000 < run(work) <= 86_400


def test_other_failures_concern_nobody_else(sandbox):
    """A 500 is the matter of the one that got it."""
    sandbox.faults.script = [500]

    async def work():
        async with shared_client("secoda_default") as client:
            with pytest.raises(SecodaServerError):
                await client.value(ask())
            await client.value(ask())

    run(work)
    first, second = [request.at for request in sandbox.requests]
    assert second - first < 0.5


def test_the_connection_is_read_again_when_asked_to(sandbox, monkeypatch):
    """After a change of the connection requests are made as it says; without one nothing changes."""
    connection = json.loads(sandbox.connection_json)

    async def work():
        async with shared_client("secoda_default") as client:
            seen = await client.settings()
            await client.value(ask())
            assert not await client.reread()
            assert not await client.reread(seen)
            monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection | {"password": sandbox.member_key}))
            assert await client.reread(seen)
            assert (await client.settings()).endpoint.key == Key(sandbox.member_key)
            # Who comes late with what it saw before need not read.
            assert await client.reread(seen)
            sandbox._state.api_key = "revoked-revoked-revoked"
            await client.value(ask())

    run(work)
    assert [request.status for request in sandbox.requests] == [200, 200]


def test_a_change_of_keys_does_not_disturb_what_is_under_way(sandbox, monkeypatch):
    """A request that was sent before the connection was read again ends as it would have."""
    sandbox.faults.script = ["slow:0.5"]
    connection = json.loads(sandbox.connection_json)

    async def work():
        async with shared_client("secoda_default") as client:
            slow = asyncio.create_task(client.value(ask()))
            await asyncio.sleep(0.2)
            monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection | {"password": sandbox.member_key}))
            assert await client.reread()
            await client.value(ask())
            return await slow

    assert run(work).versions[0].id == "only"


def test_a_wrong_connection_is_an_error_for_each(sandbox, monkeypatch):
    """A connection that is not filled in fails all who use it, and once it is, the next one works."""
    good = sandbox.connection_json
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps({"host": sandbox.url}))

    async def work():
        async with shared_client("secoda_default") as client:
            for _ in range(2):
                with pytest.raises(SecodaConfigurationError, match="`password`"):
                    await client.value(ask())
            monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", good)
            await client.value(ask())

    run(work)


def test_who_is_cancelled_gives_its_place_back(sandbox):
    """ResourcePoller that are cancelled while they wait or ask leave all places to the others."""
    sandbox.faults.latency = 0.2

    async def work():
        async with shared_client("secoda_default") as client:
            for _ in range(2):
                tasks = [asyncio.create_task(client.value(ask())) for _ in range(3 * MAX_AT_ONCE)]
                await asyncio.sleep(0.1)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            sandbox.faults.latency = 0
            await asyncio.wait_for(asyncio.gather(*(client.value(ask()) for _ in range(3 * MAX_AT_ONCE))), 5)

    run(work)


def test_the_key_is_not_shown(sandbox):
    """Neither the shared client nor what it is made of shows the key."""
    sandbox.faults.script = [401]

    async def work():
        async with shared_client("secoda_default") as client:
            with pytest.raises(SecodaAuthenticationError) as raised:
                await client.value(ask())
            return repr(client) + repr(vars(client)) + repr(await client.settings()) + repr(raised.value)

    assert sandbox.api_key not in run(work)
