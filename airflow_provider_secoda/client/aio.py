"""The asynchronous driver: one event loop, and nothing that knows Secoda.

What a rule wants sent is sent, what comes back is handed over; all decisions are elsewhere.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_provider_secoda.client._api.base_url import resolve_base_url
from airflow_provider_secoda.client._api.flow import Attempt, Emit, Flow, Outcome
from airflow_provider_secoda.client._api.key import Key
from airflow_provider_secoda.client._api.limits import Limits
from airflow_provider_secoda.client._http.exchange import RequestStats, RetryPolicy, exchange
from airflow_provider_secoda.client._http.httpx_transport import AsyncTransport
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from typing_extensions import Self

R = TypeVar("R")
_Finished: TypeAlias = "tuple[Attempt, Outcome]"


class AsyncSecodaClient:
    """Run rules against Secoda without blocking; for one event loop, and for any number of tasks in it.

    :param api_key: sent as ``Authorization: Bearer …`` to ``base_url`` and nowhere else
    :param base_url: as :func:`~.regions.resolve_base_url` gives it; ``https://api.secoda.co`` when left out
    :param timeout: seconds to wait for a connection and for each piece of an answer
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    :param proxy: URL of a proxy for all requests; without it the environment's proxies count
    :param policy: how often and how patiently a request is repeated
    :param user_agent: sent as ``User-Agent``
    :param limits: the most that one answer may be, in bytes, in depth and in seconds
    :param max_connections: how many requests may be under way, of all tasks together; those beyond wait
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
        user_agent: str = "airflow-provider-secoda",
        limits: Limits | None = None,
        max_connections: int = 8,
    ) -> None:
        key = Key.of(api_key)
        del api_key  # some error reporters show local variables
        if key is None:
            raise SecodaConfigurationError("the API key is empty or holds signs that no key has: set `password`")
        if max_connections < 1:
            raise SecodaConfigurationError(f"`max_connections` must be at least 1, not {max_connections}")
        self.base_url = resolve_base_url(host=base_url)
        self.stats = RequestStats()
        self._key = key
        self._policy = policy or RetryPolicy()
        self._rng = random.Random()  # noqa: S311 - jitter, no secret
        self._transport = AsyncTransport(
            self.base_url,
            key,
            timeout=timeout,
            verify=verify,
            proxy=proxy,
            user_agent=user_agent,
            limits=limits or Limits(),
            max_connections=max_connections,
        )

    def __repr__(self) -> str:
        return f"AsyncSecodaClient({getattr(self, 'base_url', None)!r})"  # None while it is being made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the client opens new ones when it is used again."""
        await self._transport.aclose()

    async def value(self, flow: Flow[R], *, concurrency: int = 1, policy: RetryPolicy | None = None) -> R:
        """Run a rule that emits nothing; return its value.

        :param policy: for this run, instead of the client's
        """
        result: list[R] = []

        def keep() -> Flow[None]:
            result.append((yield from flow))

        async for _ in self.run(keep(), concurrency=concurrency, policy=policy):
            pass
        return result[0]

    async def run(
        self, flow: Flow[Any], *, concurrency: int = 1, policy: RetryPolicy | None = None
    ) -> AsyncGenerator[Any, None]:
        """Run a rule; yield what it emits.

        Who stops early closes it (``contextlib.aclosing``): then what is under way is cancelled and awaited.

        :param policy: for this run, instead of the client's
        """
        wire = exchange(
            flow,
            base_url=self.base_url,
            policy=policy or self._policy,
            concurrency=concurrency,
            stats=self.stats,
            rng=self._rng,
        )
        crew = _Crew(self._transport)
        try:
            step = next(wire)
            while True:
                if isinstance(step, Emit):
                    yield step.value
                    step = next(wire)
                else:
                    step = wire.send(await crew.serve(step))
        except StopIteration:
            return
        except SecodaError as error:
            error.args = tuple(self._key.scrub_text(str(arg)) for arg in error.args)
            raise
        finally:
            try:
                await crew.stop()
            finally:
                wire.close()


class _Crew:
    """Tasks that send attempts after their pauses, one each."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._under_way: set[asyncio.Task[_Finished]] = set()
        self._landed: asyncio.Queue[asyncio.Task[_Finished]] = asyncio.Queue()

    async def serve(self, attempts: Sequence[Attempt]) -> _Finished:
        """Start attempts; return the next one that has finished, be it one of these or an earlier one."""
        if len(attempts) == 1 and not self._under_way:
            return await self._send(attempts[0])  # nothing to do side by side, so no need of a task
        for attempt in attempts:
            task = asyncio.create_task(self._send(attempt), name="secoda")
            self._under_way.add(task)
            task.add_done_callback(self._landed.put_nowait)
        task = await self._landed.get()
        self._under_way.discard(task)
        return task.result()

    async def stop(self) -> None:
        """Cancel what is under way, and wait until it has ended."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _send(self, attempt: Attempt) -> _Finished:
        if attempt.pause:
            await asyncio.sleep(attempt.pause)
        return attempt, await self._transport.send(attempt.request)
