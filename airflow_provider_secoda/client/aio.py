"""The asynchronous client: an event loop sends what a flow wants sent; all decisions are elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_provider_secoda.client._api.base_url import resolve_base_url
from airflow_provider_secoda.client._api.endpoint import USER_AGENT, Endpoint, Key, Limits, require_key
from airflow_provider_secoda.client._api.flow import Emit, Flow
from airflow_provider_secoda.client._http.exchange import ClientBase, appending
from airflow_provider_secoda.client._http.httpx_transport import AsyncTransport
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from typing_extensions import Self

    from airflow_provider_secoda.client._http.exchange import Attempt, Outcome
    from airflow_provider_secoda.client._http.gate import Gate
    from airflow_provider_secoda.client._http.retry import RetryPolicy

__all__ = ["AsyncSecodaClient"]

R = TypeVar("R")
_Finished: TypeAlias = "tuple[Attempt, Outcome]"


class AsyncSecodaClient(ClientBase):
    """Run flows without blocking; for one event loop, and for any number of tasks in it.

    The parameters are those of :class:`~.sync.SecodaClient`, and one more.

    :param max_connections: how many requests of all tasks may be in flight; further ones wait
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None = None,
        *,
        timeout: float = 60.0,
        verify: bool | str = True,
        proxy: str | None = None,
        policy: RetryPolicy | None = None,
        user_agent: str = USER_AGENT,
        limits: Limits | None = None,
        max_connections: int = 8,
    ) -> None:
        key = Key.of(api_key)
        del api_key  # some error reporters show local variables
        if max_connections < 1:
            raise SecodaConfigurationError(f"`max_connections` must be at least 1, not {max_connections}")
        url = resolve_base_url(host=base_url)
        endpoint = Endpoint(url, require_key(key), timeout, verify, proxy, user_agent, limits or Limits())
        self._start(endpoint, policy, AsyncTransport(endpoint, max_connections=max_connections))

    @classmethod
    def from_endpoint(cls, endpoint: Endpoint, gate: Gate, *, max_connections: int) -> Self:
        """Create a client that shares a gate with others."""
        transport = AsyncTransport(endpoint, max_connections=max_connections, gate=gate)
        return cls.__new__(cls)._start(endpoint, None, transport)  # noqa: SLF001 - of this class

    def _start(self, endpoint: Endpoint, policy: RetryPolicy | None, transport: AsyncTransport) -> Self:
        self._transport = transport
        self._set_up(endpoint, policy)
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the client opens new ones when it is used again."""
        await self._transport.aclose()

    async def value(self, flow: Flow[R], *, concurrency: int = 1, policy: RetryPolicy | None = None) -> R:
        """Run a flow that emits nothing; return its value. The parameters are those of :meth:`run`."""
        results: list[R] = []
        async for _ in self.run(appending(flow, results), concurrency=concurrency, policy=policy):
            pass
        return results[0]

    async def run(
        self, flow: Flow[Any], *, concurrency: int = 1, policy: RetryPolicy | None = None
    ) -> AsyncGenerator[Any, None]:
        """Run a flow; yield what it emits.

        To stop early, close the generator (``contextlib.aclosing``): then the requests in flight are cancelled and
        awaited.

        :param concurrency: how many of its calls may be in flight
        :param policy: for this flow, instead of the client's
        """
        exchange = self._exchange(flow, concurrency, policy)
        tasks = _TaskPool(self._transport)
        try:
            step = next(exchange)
            while True:
                if isinstance(step, Emit):
                    yield step.value
                    step = next(exchange)
                else:
                    step = exchange.send(await tasks.send(step))
        except StopIteration:
            return
        except SecodaError as error:
            self._complete(error)
            raise
        finally:
            try:
                await tasks.stop()
            finally:
                exchange.close()


class _TaskPool:
    """Tasks that send attempts after their pauses, one each."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._running: set[asyncio.Task[_Finished]] = set()
        self._done: asyncio.Queue[asyncio.Task[_Finished]] = asyncio.Queue()

    async def send(self, attempts: Sequence[Attempt]) -> _Finished:
        """Start attempts; return the next one that has finished, one of these or an earlier one."""
        if len(attempts) == 1 and not self._running:
            return await self._send(attempts[0])  # nothing runs at the same time, so no task is needed
        for attempt in attempts:
            task = asyncio.create_task(self._send(attempt), name="secoda")
            self._running.add(task)
            task.add_done_callback(self._done.put_nowait)
        task = await self._done.get()
        self._running.discard(task)
        return task.result()

    async def stop(self) -> None:
        """Cancel the tasks that are running, and wait until they have ended."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _send(self, attempt: Attempt) -> _Finished:
        if attempt.pause:
            await asyncio.sleep(attempt.pause)
        return attempt, await self._transport.send(attempt.request)
