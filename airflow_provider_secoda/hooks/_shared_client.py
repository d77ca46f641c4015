"""One asynchronous client per connection, shared by all triggers of a process.

A triggerer runs thousands of triggers in one event loop. They share the network connections, the settings of the
Airflow connection, and a 429: while one trigger waits for it, none sends a request.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
from asgiref.sync import sync_to_async

from airflow_provider_secoda.client._http.gate import Gate
from airflow_provider_secoda.client._http.retry import POLL_POLICY
from airflow_provider_secoda.client.aio import AsyncSecodaClient
from airflow_provider_secoda.hooks._metrics import prepare_metrics, record_request_metrics
from airflow_provider_secoda.hooks.secoda import SecodaHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.hooks._connection import ConnectionSettings

R = TypeVar("R")

#: How many flows of one connection run at once in a process, and how many network connections they use.
MAX_AT_ONCE = 8


class SharedClient:
    """The client of one Airflow connection in one event loop; only :func:`shared_client` creates it."""

    def __init__(self, secoda_conn_id: str) -> None:
        self.secoda_conn_id = secoda_conn_id
        self.users = 0
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._creating = asyncio.Lock()
        self._client: AsyncSecodaClient | None = None
        self._settings: ConnectionSettings | None = None
        self._retired: list[AsyncSecodaClient] = []
        self._gate = Gate(f"Connection {secoda_conn_id!r}")
        self._read_at = 0.0

    async def value(self, flow: Flow[R], *, concurrency: int = 1) -> R:
        """Run a flow that emits nothing, once a slot is free; return its value.

        :raises SecodaError: raised by the flow, or because the connection is not set up correctly
        """
        async with self._slot() as client:
            return await client.value(flow, concurrency=concurrency, policy=POLL_POLICY)

    async def run(self, flow: Flow[Any], *, concurrency: int = 1) -> AsyncIterator[Any]:
        """Run a flow, once a slot is free; yield what it emits."""
        async with self._slot() as client:
            async for value in client.run(flow, concurrency=concurrency, policy=POLL_POLICY):
                yield value

    async def settings(self) -> ConnectionSettings:
        """Return the settings of the connection, which are read once."""
        await self._get_client()
        assert self._settings is not None
        return self._settings

    async def reread(self, seen: ConnectionSettings | None = None) -> bool:
        """Read the connection again; return whether its settings changed, for example its key.

        Many callers may wait at once, because a key that is revoked fails all of them: one read serves all that called
        before it began.

        :param seen: what :meth:`settings` returned before the failure; by default what it returns now
        """
        loop = asyncio.get_running_loop()
        seen, called_at = seen or self._settings, loop.time()
        async with self._creating:
            if self._settings == seen and not self._read_at > called_at:
                read_at = loop.time()
                settings, client = await self._make()
                self._read_at = read_at
                if settings == self._settings:
                    await client.aclose()
                else:
                    if self._client is not None:
                        await self._client.aclose()
                        self._retired.append(self._client)  # other flows may still use it
                    self._settings, self._client = settings, client
        return self._settings != seen

    async def aclose(self) -> None:
        """Close the network connections."""
        for client in (self._client, *self._retired):
            if client is not None:
                await client.aclose()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[AsyncSecodaClient]:
        await self._gate.wait()  # here too, so that everyone who waits for it logs that, and not only those with a slot
        async with self._slots:
            client = await self._get_client()
            with record_request_metrics(client, self.secoda_conn_id):
                yield client

    async def _get_client(self) -> AsyncSecodaClient:
        if self._client is None:
            await self.reread()
        assert self._client is not None
        return self._client

    async def _make(self) -> tuple[ConnectionSettings, AsyncSecodaClient]:
        # In a thread, as it may block: secrets backends, the masking of secrets, the reading of certificates.
        # This way to get a connection works on every Airflow; the asynchronous one of 3.1 to 3.3.1 deadlocks.
        return await sync_to_async(_make)(self.secoda_conn_id, self._gate)


def _make(secoda_conn_id: str, gate: Gate) -> tuple[ConnectionSettings, AsyncSecodaClient]:
    prepare_metrics()
    anyio.run(anyio.sleep, 0)  # imports what the first request would import in the event loop
    settings = SecodaHook(secoda_conn_id).settings
    return settings, AsyncSecodaClient.from_endpoint(settings.endpoint, gate, max_connections=MAX_AT_ONCE)


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedClient]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(secoda_conn_id: str) -> AsyncIterator[SharedClient]:
    """Share the client of a connection with all users in this event loop; the last one closes it."""
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    client = clients.setdefault(secoda_conn_id, SharedClient(secoda_conn_id))
    client.users += 1
    try:
        yield client
    finally:
        client.users -= 1
        if client.users == 0:
            clients.pop(secoda_conn_id, None)
            await client.aclose()
