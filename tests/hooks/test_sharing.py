"""The client that all triggers of a connection share: one per event loop, bounded, and obeying a 429 together."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.client._api.endpoint import Key
from airflow_provider_secoda.client._api.flow import once
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
from tests.helpers.within import within

FAR = Baseline(4_000_000_000_000_000)
PAGE = b'{"version_histories":[],"non_versioned_logs":[],"count":0,"total_pages":1,"meta":{}}'


@pytest.fixture
def sandbox(secoda_sandbox_factory, airflow):
    workspace = Workspace(seed=5)
    for number in range(30):
        workspace.add_version("R", id=f"v{number}")
    workspace.add_version("S", id="only")
    return secoda_sandbox_factory(workspace, page_size=10, member_key="the-key-of-somebody-else")


def read_one_page(resource_id="S"):
    """Read one page, without a retry."""
    return once(resource_logs_call(resource_id, 1, 1))


def test_one_client_for_all_in_a_loop_and_none_after_the_last(sandbox):
    """All users of a connection in a loop have the same client; the last one to leave closes it."""

    async def work():
        async with shared_client("secoda_default") as one, shared_client("secoda_default") as two:
            assert one is two
            await asyncio.gather(one.value(read_one_page()), two.value(read_one_page()))
        async with shared_client("secoda_default") as three:
            assert three is not one
            await three.value(read_one_page())
        assert not sharing._clients[asyncio.get_running_loop()]

    for _ in range(2):
        asyncio.run(work())
    assert len(sandbox.requests) == 6


@within(20)
async def test_the_connection_is_read_once_for_all(sandbox, monkeypatch):
    """Many flows that begin at once read the connection once, in another thread than the event loop's."""
    threads = []
    make = sharing._make
    monkeypatch.setattr(sharing, "_make", lambda *args: threads.append(threading.current_thread()) or make(*args))
    async with shared_client("secoda_default") as client:
        await asyncio.gather(*(client.value(read_one_page()) for _ in range(30)))
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


@within(20)
async def test_connections_are_kept_and_bounded(airflow, monkeypatch):
    """Hundreds of polls at once use at most the allowed number of connections, each of them repeatedly."""
    with KeepAlive(http(PAGE, connection="keep-alive"), delay=0.005) as server:
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps({"host": server.url, "password": "k" * 30}))
        async with shared_client("secoda_default") as client:
            for _ in range(3):
                await asyncio.gather(*(client.value(read_one_page()) for _ in range(100)))
        assert len(server.requests) == 300
        assert server.made == server.most == MAX_AT_ONCE


@within(20)
async def test_started_flows_finish_first(sandbox):
    """Only a limited number of flows run at once; the others begin when these have ended."""
    for resource in range(30):
        for number in range(25):
            sandbox.workspace.add_version(f"R{resource}", id=f"{resource}-{number}")
    sandbox.faults.latency = 0.002
    async with shared_client("secoda_default") as client:
        await asyncio.gather(*(client.value(poll_versions(f"R{number}", FAR)) for number in range(30)))
    requested = [request.params["resource_id"] for request in sandbox.requests]
    last = {resource: number for number, resource in enumerate(requested)}
    begun = [
        {resource for resource in requested[: number + 1] if last[resource] > number}
        for number in range(len(requested))
    ]
    assert len(last) == 30
    assert 1 < max(map(len, begun)) <= MAX_AT_ONCE


@pytest.mark.parametrize("page", [1, 2])
@within(20)
async def test_a_429_is_obeyed_by_all(sandbox, page):
    """After a 429 for any flow and any page, no flow sends a request."""
    sandbox.faults.script = ["slow:0"] * (page - 1) + [("status", 429, {"retry-after": "1"})]
    async with shared_client("secoda_default") as client:
        first = asyncio.create_task(client.value(poll_versions("R", FAR)))
        await asyncio.sleep(0.3)
        assert sandbox.requests[-1].status == 429
        others = [asyncio.create_task(client.value(read_one_page())) for _ in range(20)]
        await asyncio.gather(first, *others, return_exceptions=True)
    times = [request.at for request in sandbox.requests]
    assert times[page] - times[page - 1] >= 1
    assert len(times) > 20
    # A page after the first is retried within the poll; the first page is left to the next poll.
    assert (first.exception() is None) == (page == 2)


@within(20)
async def test_a_429_without_retry_after(sandbox):
    """Without Retry-After all wait for a second."""
    sandbox.faults.script = [429]
    async with shared_client("secoda_default") as client:
        with pytest.raises(SecodaRateLimitError):
            await client.value(read_one_page())
        await client.value(read_one_page())
    first, second = [request.at for request in sandbox.requests]
    assert 1 <= second - first < 1.5


@within(20)
async def test_a_429_holds_requests_back_for_a_day_at_most(sandbox):
    """A ``Retry-After`` of years is obeyed for a day."""
    sandbox.faults.script = [("status", 429, {"retry-after": "999999999"})]
    async with shared_client("secoda_default") as client:
        with pytest.raises(SecodaRateLimitError):
            await client.value(read_one_page())
        assert 86_000 < client._gate._closed_until - asyncio.get_running_loop().time() <= 86_400


@pytest.mark.parametrize("header", [40, "epoch"])
@within(20)
async def test_everyone_who_waits_for_long_says_so(sandbox, caplog, header):
    """While requests are held back for long, each poll that waits logs how long, until when and why; others do not."""
    seconds = int(time.time()) + 40 if header == "epoch" else header
    sandbox.faults.script = [("status", 429, {"retry-after": str(seconds)})]
    async with shared_client("secoda_default") as client:
        with pytest.raises(SecodaRateLimitError):
            await client.value(read_one_page())
        assert [record for record in caplog.records if "sends no requests" in record.getMessage()] == []
        waiting = [asyncio.create_task(client.value(read_one_page())) for _ in range(2 * MAX_AT_ONCE)]
        await asyncio.sleep(0.2)
        assert 30 < client._gate._closed_until - asyncio.get_running_loop().time() <= 41
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    lines = [record.getMessage() for record in caplog.records if "sends no requests" in record.getMessage()]
    assert len(lines) == 2 * MAX_AT_ONCE
    assert re.fullmatch(
        r"Connection 'secoda_default' sends no requests for (39|4\d)\.\d s, until \S+Z: .*429.*", lines[0]
    )
    assert len(sandbox.requests) == 1


@within(20)
async def test_a_retry_in_the_triggerer_is_logged(sandbox, caplog):
    """A retry of a page within a poll is logged, in the triggerer as in a worker."""
    sandbox.faults.script = ["slow:0", 503]
    async with shared_client("secoda_default") as client:
        await client.value(poll_versions("R", FAR))
    lines = [record.getMessage() for record in caplog.records if "to request page" in record.getMessage()]
    assert len(lines) == 1
    assert "Secoda answered 503" in lines[0]


@within(20)
async def test_other_failures_hold_nothing_back(sandbox):
    """A 500 does not hold back other flows."""
    sandbox.faults.script = [500]
    async with shared_client("secoda_default") as client:
        with pytest.raises(SecodaServerError):
            await client.value(read_one_page())
        await client.value(read_one_page())
    first, second = [request.at for request in sandbox.requests]
    assert second - first < 0.5


@within(20)
async def test_the_connection_is_read_again_on_request(sandbox, monkeypatch):
    """After a change of the connection requests use it; without a change nothing happens."""
    connection = json.loads(sandbox.connection_json)
    async with shared_client("secoda_default") as client:
        seen = await client.settings()
        await client.value(read_one_page())
        assert not await client.reread()
        assert not await client.reread(seen)
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection | {"password": sandbox.member_key}))
        assert await client.reread(seen)
        assert (await client.settings()).endpoint.key == Key(sandbox.member_key)
        # A caller with older settings does not cause another read.
        assert await client.reread(seen)
        sandbox._state.api_key = "revoked-revoked-revoked"
        await client.value(read_one_page())
    assert [request.status for request in sandbox.requests] == [200, 200]


@within(20)
async def test_a_change_of_keys_does_not_disturb_requests_in_flight(sandbox, monkeypatch):
    """A request that was sent before the connection was read again is not disturbed."""
    sandbox.faults.script = ["slow:0.5"]
    connection = json.loads(sandbox.connection_json)
    async with shared_client("secoda_default") as client:
        slow = asyncio.create_task(client.value(read_one_page()))
        await asyncio.sleep(0.2)
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection | {"password": sandbox.member_key}))
        assert await client.reread()
        await client.value(read_one_page())
        assert (await slow).versions[0].id == "only"


@within(20)
async def test_a_wrong_connection_is_an_error_for_each(sandbox, monkeypatch):
    """A connection without a key fails each use of it; after it is set, the next use works."""
    good = sandbox.connection_json
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps({"host": sandbox.url}))
    async with shared_client("secoda_default") as client:
        for _ in range(2):
            with pytest.raises(SecodaConfigurationError, match="`password`"):
                await client.value(read_one_page())
        monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", good)
        await client.value(read_one_page())


@within(20)
async def test_a_cancelled_flow_gives_its_slot_back(sandbox):
    """Flows that are cancelled while they wait or send give all slots back."""
    sandbox.faults.latency = 0.2
    async with shared_client("secoda_default") as client:
        for _ in range(2):
            tasks = [asyncio.create_task(client.value(read_one_page())) for _ in range(3 * MAX_AT_ONCE)]
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        sandbox.faults.latency = 0
        await asyncio.wait_for(asyncio.gather(*(client.value(read_one_page()) for _ in range(3 * MAX_AT_ONCE))), 5)


@within(20)
async def test_the_key_is_not_shown(sandbox):
    """Neither the shared client nor its parts show the key."""
    sandbox.faults.script = [401]
    async with shared_client("secoda_default") as client:
        with pytest.raises(SecodaAuthenticationError) as raised:
            await client.value(read_one_page())
        shown = repr(client) + repr(vars(client)) + repr(await client.settings()) + repr(raised.value)
    assert sandbox.api_key not in shown
