"""Schedule the polls of single resources: at once after an announcement; standalone watchers at every interval."""

from __future__ import annotations

import asyncio
import math
import time
from hashlib import blake2b
from typing import TYPE_CHECKING

from airflow_provider_secoda._events.background import FailureBackoff, is_airflow_error
from airflow_provider_secoda.client._http.retry import Backoff
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

#: How many resources are polled at the same time.
CONCURRENCY = 4
#: Errors that polls of the other resources would have, too.
_COMMON_ERRORS = (
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
    """Poll the resources of a stream's version watchers.

    :param poke_interval: seconds between two polls of a standalone watcher
    :param polled: called after each poll, as there may be something to deliver
    """

    def __init__(self, stream: str, poke_interval: float, polled: Callable[[], None]) -> None:
        self._poke_interval = poke_interval
        self._polled = polled
        #: Watchers that are due, and the timers that make them due; a timer is kept until the poll begins.
        self._due: asyncio.Queue[VersionWatcher] = asyncio.Queue()
        self._timers: dict[VersionWatcher, asyncio.TimerHandle] = {}
        self._backoff = FailureBackoff(f"{stream}: polling resources", max(1.0, poke_interval))
        self._paused_until = 0.0
        # For versions that are announced, but not listed yet; the number of tries is limited.
        self._retries = Backoff(poke_interval, math.inf)

    def schedule(self, watcher: VersionWatcher, delay: float = 0.0) -> None:
        """Poll a watcher's resource after a delay in seconds, unless an earlier poll is scheduled."""
        loop = asyncio.get_running_loop()
        due, timer = loop.time() + delay, self._timers.get(watcher)
        if watcher.closed or (timer is not None and timer.when() <= due):
            return
        if timer is not None:
            timer.cancel()
        self._timers[watcher] = loop.call_at(due, self._due.put_nowait, watcher)

    def schedule_within_interval(self, watcher: VersionWatcher) -> None:
        """Poll a watcher's resource within the next interval, at an offset that depends on the resource's id.

        So the polls of many standalone watchers are spread evenly over the interval.
        """
        digest = blake2b(watcher.resource_id.encode("utf-8", "surrogatepass"), digest_size=4).digest()
        offset = self._poke_interval * int.from_bytes(digest, "big") / 2**32
        self.schedule(watcher, (offset - asyncio.get_running_loop().time()) % self._poke_interval)

    async def run(self, client: SharedClient) -> None:
        """Poll one resource at a time until cancelled; :data:`CONCURRENCY` tasks run this."""
        while True:
            watcher = await self._next()
            try:
                if self._backoff.needs_reread:
                    await client.reread()
                again = await watcher.poll(client, now_instant())
            except Exception as error:  # noqa: BLE001 - an error would end all watchers, and Airflow restarts them at once
                self._reschedule_failed(watcher, error)
                continue
            self._backoff.succeed()
            watcher.backoff.succeed()
            if again:
                tries = min(version.tries for version in watcher.announced.values())
                self.schedule(watcher, self._retries.delay(tries) if tries else 0.0)
            elif watcher.standalone:
                await asyncio.sleep(0)  # otherwise the watcher's offset might be the present moment
                self.schedule_within_interval(watcher)
            self._polled()

    async def _next(self) -> VersionWatcher:
        """Return the next watcher when it is due and polls are not paused."""
        loop = asyncio.get_running_loop()
        while True:
            watcher = await self._due.get()
            if loop.time() < self._paused_until:
                self._timers[watcher] = loop.call_at(self._paused_until, self._due.put_nowait, watcher)
            elif self._timers.pop(watcher, None) is not None and not watcher.closed:
                return watcher

    def _reschedule_failed(self, watcher: VersionWatcher, error: Exception) -> None:
        """Schedule a watcher's next poll after a failure; pause all polls if all of them would fail."""
        common = isinstance(error, _COMMON_ERRORS) and not isinstance(error, SecodaResponseError)
        if common or is_airflow_error(error):
            delay = self._backoff.fail(error)
            self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + delay)
            self.schedule(watcher, delay)
            return
        delay = watcher.backoff.fail(error)
        if watcher.standalone or not isinstance(error, SecodaNotFoundError) or watcher.resource_not_found():
            self.schedule(watcher, max(delay, self._poke_interval))
