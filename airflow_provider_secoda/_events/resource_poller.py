"""When which resource is looked at: after a wake-up at once; where nothing wakes, every interval, evenly spread."""

from __future__ import annotations

import asyncio
import heapq
import time
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING

from airflow_provider_secoda._events.failure_backoff import FailureBackoff
from airflow_provider_secoda._events.tasks import end, pause
from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaConfigurationError,
    SecodaNotFoundError,
    SecodaRedirectError,
    SecodaResponseError,
    SecodaRetriableError,
    SecodaTLSError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_secoda._events.version_watcher import VersionWatcher
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.hooks._shared_client import SharedClient

#: How many resources are looked at at once.
_AT_ONCE = 4
#: What the look at one resource says of all of them.
_CONCERNS_ALL = (
    SecodaAuthenticationError,
    SecodaConfigurationError,
    SecodaRedirectError,
    SecodaTLSError,
    SecodaRetriableError,
)


def now_instant() -> Instant:
    """Return the present time by this machine's clock, in microseconds."""
    return time.time_ns() // 1_000


class ResourcePoller:
    """The looks at single resources that a stream's watchers need.

    :param what: the stream, in words
    :param poke_interval: seconds between two looks at a resource that nothing else tells of
    :param delivered: called when there may be something to deliver
    """

    def __init__(self, what: str, poke_interval: float, delivered: Callable[[], None]) -> None:
        self.poke_interval = poke_interval
        #: Whether every watcher looks for itself, as the audit log cannot be read.
        self.alone = False
        self._delivered = delivered
        self._due: dict[VersionWatcher, float] = {}
        self._queue: list[tuple[float, int, VersionWatcher]] = []
        self._numbers = count()
        self._changed = asyncio.Event()
        self._trouble = FailureBackoff(f"{what}: the logs of resources cannot be read", max(1.0, poke_interval))
        self._closed_until = 0.0

    def wake(self, watcher: VersionWatcher, delay: float = 0.0) -> None:
        """Look at a watcher's resource, after a delay in seconds; earlier, if that was planned."""
        due = asyncio.get_running_loop().time() + delay
        if not watcher.left and due < self._due.get(watcher, float("inf")):
            self._due[watcher] = due
            heapq.heappush(self._queue, (due, next(self._numbers), watcher))
            self._changed.set()

    def take_turn(self, watcher: VersionWatcher) -> None:
        """Look at a watcher's resource within the next interval, at a moment that is its own in every interval."""
        digest = blake2b(watcher.resource_id.encode("utf-8", "surrogatepass"), digest_size=4).digest()
        turn = self.poke_interval * int.from_bytes(digest, "big") / 2**32
        self.wake(watcher, (turn - asyncio.get_running_loop().time()) % self.poke_interval)

    async def run(self, client: SharedClient) -> None:
        """Look at what is due, for ever."""
        workers = [asyncio.create_task(self._work(client), name="secoda-look") for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:
            await end(workers)

    async def _work(self, client: SharedClient) -> None:
        while True:
            watcher = await self._next()
            try:
                if self._trouble.key_in_doubt:
                    await client.reread()
                again = await watcher.look(client, now_instant(), alone=self.alone)
            except Exception as error:  # noqa: BLE001 - whatever it is, the triggerer would start it anew at once
                self._failed(watcher, error)
                continue
            self._trouble.succeed()
            watcher.trouble.succeed()
            if again:
                tries = min(wake.tries for wake in watcher.wakes.values())
                self.wake(watcher, self.poke_interval * 2.0 ** (tries - 1) if tries else 0.0)
            elif self.alone:
                await asyncio.sleep(0)  # or its turn might be this very moment
                self.take_turn(watcher)
            self._delivered()

    async def _next(self) -> VersionWatcher:
        """Return the next watcher, when it is due."""
        loop = asyncio.get_running_loop()
        while True:
            while self._queue and self._due.get(self._queue[0][2]) != self._queue[0][0]:
                heapq.heappop(self._queue)  # was planned for an earlier moment since
            delay = max(self._queue[0][0], self._closed_until) - loop.time() if self._queue else None
            if delay is not None and delay <= 0:
                _, _, watcher = heapq.heappop(self._queue)
                del self._due[watcher]
                if not watcher.left:
                    return watcher
                continue
            self._changed.clear()
            await pause(self._changed, delay)

    def _failed(self, watcher: VersionWatcher, error: Exception) -> None:
        """Plan a watcher's next look after one that failed; close the way for all where all would fail."""
        foreign = type(error).__module__.startswith("airflow.")  # there is no connection, or no way to it
        if foreign or (isinstance(error, _CONCERNS_ALL) and not isinstance(error, SecodaResponseError)):
            delay = self._trouble.fail(error)
            self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + delay)
            self.wake(watcher, delay)
            return
        delay = watcher.trouble.fail(error)
        if self.alone or not isinstance(error, SecodaNotFoundError) or watcher.missed():
            self.wake(watcher, max(delay, self.poke_interval))
