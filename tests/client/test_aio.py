"""Tests of the asynchronous driver only: connections, cancellation, logs."""

import asyncio
import contextlib
import itertools
import socket
import struct
import subprocess
import sys
import textwrap
import time

import httpx
import pytest

from airflow_provider_secoda.client._api.flow import Emit, several
from airflow_provider_secoda.client._http import httpx_transport as async_transport
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.aio import AsyncSecodaClient
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaNotFoundError,
)
from airflow_provider_secoda.sandbox import Workspace
from tests.client.drivers import (
    ALIVE,
    KEY,
    MONTH,
    ONCE,
    QUICK,
    KeepAlive,
    Loop,
    behind_a_proxy,
    log_everything,
    page,
    page_call,
    pieces,
    shown_by,
    window,
)
from tests.helpers.rude_servers import RawServer, certificate, header, http


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def month(secoda_sandbox_factory):
    return secoda_sandbox_factory(Workspace.generate(**MONTH), page_size=20, member_key="member-key-member")


def alone(url, work, *, key=KEY, **options):
    """Run a coroutine function with a client in a new event loop, in which no task may be left."""
    with contextlib.closing(Loop(key, url, **options)) as own:
        return own.loop.run_until_complete(asyncio.wait_for(work(own.client), 20))


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("how", ["at once", "at the next request", "reset at the next request", "in the head"])
def test_a_connection_that_was_closed_while_idle(tmp_path, how, secured):
    """A server that closes idle connections, even at the moment of the next request, costs no poll."""
    file, context = certificate(tmp_path, "127.0.0.1")

    class Closes(KeepAlive):
        def react(self, connection, served):
            if served == 0:
                connection.sendall(ALIVE)
                return how != "at once"
            if how.startswith("reset"):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if how == "in the head":
                connection.sendall(b"HTTP/1.1 20")
            return False

    async def poll(client):
        for _ in range(3):
            assert (await client.value(page()))["count"] == 0
            await asyncio.sleep(0.02)
        return client.stats.requests

    with Closes(context=context if secured else None) as server:
        assert alone(server.url, poll, policy=ONCE, verify=str(file)) == 3
        assert server.made == 3


def test_a_request_on_a_new_connection_is_sent_once():
    """Only a connection that was used before gets a second chance, and one only."""

    class AnswersOnce(KeepAlive):
        def react(self, connection, served):
            if len(self.requests) == 1:
                connection.sendall(ALIVE)
            return len(self.requests) == 1

    async def poll(client):
        await client.value(page())
        for sent in (3, 4):
            with pytest.raises(SecodaConnectionError):
                await client.value(page())
            assert len(server.requests) == sent

    with AnswersOnce() as server:
        alone(server.url, poll, policy=ONCE)


def test_connections_are_kept_and_bounded():
    """200 polls at once have as many connections as allowed, in total, and later ones use the same."""

    async def poll(client):
        for _ in range(2):
            pages = await asyncio.gather(*(client.value(page()) for _ in range(200)))
            assert [found["count"] for found in pages] == [0] * 200

    with KeepAlive(delay=0.002) as server:
        alone(server.url, poll, max_connections=5)
        assert (server.most, server.made, len(server.requests)) == (5, 5, 400)


def test_connections_that_are_not_needed_are_closed(monkeypatch):
    """After a burst the connections that are not needed are closed."""
    monkeypatch.setattr(async_transport, "KEEP_ALIVE", 0.05)

    async def poll(client):
        await asyncio.gather(*(client.value(page()) for _ in range(4)))
        await asyncio.sleep(0.1)
        await client.value(page())
        return await asyncio.to_thread(server.come_down_to, 1)

    with KeepAlive(delay=0.02) as server:
        assert alone(server.url, poll)
        assert server.most == 4


def test_waiting_for_a_connection_has_no_timeout():
    """The timeout is for responses: a request that waits for a free connection does not time out."""

    async def poll(client):
        return len(await asyncio.gather(*(client.value(page()) for _ in range(5))))

    with KeepAlive(delay=0.1) as server:
        assert alone(server.url, poll, max_connections=1, timeout=0.3) == 5


def test_failures_occupy_no_connection(tmp_path):
    """After any number of failed connections, also behind a proxy, there is one for the next request."""
    with behind_a_proxy(tmp_path) as (server, proxy, ca):
        serve = server._serve

        async def poll(client):
            server._serve = lambda connection: (connection.recv(65536), connection.close())
            for _ in range(3):
                with pytest.raises(SecodaConnectionError):
                    await client.value(page())
            server._serve = serve
            return await client.value(page())

        found = alone("https://secoda.example.test", poll, proxy=proxy.url, verify=ca, max_connections=1)
    assert found["count"] == 0


@pytest.mark.parametrize("when", ["pausing", "asking", "waiting for others"])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_poll_that_is_cancelled(month, when, side_by_side, caplog):
    """Cancelling stops it at once in any state, leaves no task, shows no key and gives its slot back."""
    flow = several([page_call(1), page_call(2)]) if side_by_side else page()

    async def poll(client):
        if when == "pausing":
            month.faults.script = [("status", 503, {"retry-after": "600"})] * 2
        elif when == "asking":
            month.faults.latency = 30
        else:
            month.faults.script = ["slow:0.5"]
            other = asyncio.create_task(client.value(page()))
            await asyncio.sleep(0.1)
        task = asyncio.create_task(client.value(flow, concurrency=2, policy=RetryPolicy()))
        await asyncio.sleep(0.2)
        begin = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as stopped:
            await task
        assert time.monotonic() - begin < 10
        month.faults.latency, month.faults.script = 0, []
        if when == "waiting for others":
            assert (await other)["count"] == 900
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (await client.value(page()))["count"] == 900
        return stopped.value

    with contextlib.closing(Loop(month.api_key, month.url, max_connections=1, policy=QUICK)) as own:
        stopped = own.loop.run_until_complete(poll(own.client))
    assert pieces(shown_by(stopped), month.api_key) == []


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the library leaves half a TLS handshake to Python
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_a_poll_that_is_cancelled_at_any_point(tmp_path, secured):
    """A poll that is cancelled at any point shows no key, leaves no task and gives its slot back."""
    file, context = certificate(tmp_path, "127.0.0.1")

    async def poll(client):
        texts, before = [], asyncio.all_tasks()
        for steps, warm in itertools.product(range(30), (False, True)):
            await (client.value(page()) if warm else client.aclose())
            task = asyncio.create_task(client.value(page()))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError as stopped:
                texts.append(shown_by(stopped))
            assert asyncio.all_tasks() == before
        return texts

    with KeepAlive(context=context if secured else None) as server:
        texts = alone(server.url, poll, verify=str(file), max_connections=1)
    assert len(texts) > 10
    assert pieces("".join(texts)) == []


def test_a_timeout_around_a_poll_shows_no_key(month):
    """What ``asyncio.wait_for`` raises has no frame with the key."""
    month.faults.latency = 30

    async def poll(client):
        with pytest.raises(asyncio.TimeoutError) as late:
            await asyncio.wait_for(client.value(page()), 0.2)
        return late.value

    assert pieces(shown_by(alone(month.url, poll, key=month.api_key)), month.api_key) == []


def test_a_reader_that_stops_early(month):
    """A reader that stops early leaves no task behind, even one that pauses for minutes."""

    def flow():
        calls = [page_call(number) for number in (1, 2, 3, 4)]
        for start in (calls, (), ()):
            yield Emit((yield start)[0])

    async def read(client):
        month.faults.script = [("status", 503, {"retry-after": "600"})]
        running = client.run(flow(), concurrency=4)
        async for _ in running:
            if client.stats.retries:
                break
        begin = time.monotonic()
        await running.aclose()
        assert asyncio.all_tasks() - {asyncio.current_task()} == set()
        assert time.monotonic() - begin < 10
        running = client.run(window(4), concurrency=4)
        with pytest.raises(ZeroDivisionError):
            async with contextlib.aclosing(running):
                async for _ in running:
                    raise ZeroDivisionError
        assert asyncio.all_tasks() - {asyncio.current_task()} == set()

    with contextlib.closing(Loop(month.api_key, month.url, policy=RetryPolicy(), max_connections=4)) as own:
        own.loop.run_until_complete(read(own.client))


def test_an_error_that_ends_a_run_stops_the_others(month):
    """When a flow fails, its other requests are cancelled."""
    month.faults.script = [404, "slow:30", "slow:30"]

    def flow():
        yield [page_call(1), page_call(2), page_call(3)]
        raise SecodaNotFoundError("it is enough")

    async def read(client):
        begin = time.monotonic()
        with pytest.raises(SecodaNotFoundError, match="enough"):
            await client.value(flow(), concurrency=3)
        assert time.monotonic() - begin < 10

    alone(month.url, read, key=month.api_key)


def test_closing_during_a_request():
    """A request that is in flight when the client is closed gets its response, then its connection is closed."""

    async def poll(client):
        task = asyncio.create_task(client.value(page()))
        await asyncio.sleep(0.1)
        await client.aclose()
        assert (await task)["count"] == 0
        return await asyncio.to_thread(server.come_down_to, 0)

    with KeepAlive(delay=0.2) as server:
        assert alone(server.url, poll)


def test_no_cookies():
    """A cookie that a server sets is not kept."""

    async def poll(client):
        for _ in range(2):
            await client.value(page())

    with RawServer(http(set_cookie="session=1; Path=/")) as server:
        alone(server.url, poll)
    assert [header(request, "Cookie") for request in server.requests] == [None, None]


def test_polls_are_not_logged(caplog):
    """A poll logs nothing above DEBUG and never a header; other clients of the same library log as usual."""
    log_everything(caplog)

    async def poll(client):
        await client.value(page())
        ours = [(record.name, record.levelname) for record in caplog.records if record.name != "asyncio"]
        caplog.clear()
        async with httpx.AsyncClient(trust_env=False) as other:
            await asyncio.gather(other.get(f"{server.url}/other"), client.value(page()))
        return ours, caplog.text

    with KeepAlive(delay=0.05) as server:
        ours, theirs = alone(server.url, poll)
    assert ours == [("airflow_provider_secoda.client._http.httpx_transport", "DEBUG")]
    assert f"HTTP Request: GET {server.url}/other" in theirs
    assert "receive_response_headers" in theirs


def test_no_connections_at_all():
    """A client without any connection would never send a request, so it is refused."""
    with pytest.raises(SecodaConfigurationError, match="max_connections"):
        AsyncSecodaClient(KEY, max_connections=0)


def test_a_constructor_that_fails_shows_no_key():
    """The error of a constructor that fails has no frame with the key."""
    for options in ({"base_url": "http://secoda.example.com"}, {"proxy": "nothing"}, {"verify": "/no/bundle.pem"}):
        with pytest.raises(SecodaConfigurationError) as error:
            AsyncSecodaClient(**({"api_key": KEY} | options))
        assert pieces(shown_by(error.value)) == []


def test_without_airflow(month):
    """The client works in a Python that has no Airflow, as an ordinary context manager, and leaves nothing open."""
    month.workspace.add_version("R")
    script = f"""
        import asyncio, sys

        class NoAirflow:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("airflow", "pendulum"):
                    raise ImportError(f"{{name}} is not to be had")

        sys.meta_path.insert(0, NoAirflow())
        from airflow_provider_secoda.client.aio import AsyncSecodaClient
        from airflow_provider_secoda.client._versions.pages import read_version_histories

        async def main():
            async with AsyncSecodaClient({month.api_key!r}, {month.url!r}) as client:
                print(len(await client.value(read_version_histories("R"))))

        asyncio.run(main())
    """
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", textwrap.dedent(script)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.stdout, ended.stderr) == ("1\n", "")
