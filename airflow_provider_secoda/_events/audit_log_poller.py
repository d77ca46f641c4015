"""Poll the audit log at every interval, and pass new logs to the watchers of a stream."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from airflow_provider_secoda._events.background import FailureBackoff, wait_for_event
from airflow_provider_secoda._events.catch_up import CatchUp, distribute, lagging
from airflow_provider_secoda._events.resource_poller import ResourcePoller, now_instant
from airflow_provider_secoda._events.version_watcher import VersionWatcher
from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.client._following.follower import AuditLogFollower
from airflow_provider_secoda.client.errors import SecodaIncompleteError, SecodaPermissionError
from airflow_provider_secoda.client.filters import Filter
from airflow_provider_secoda.hooks._metrics import record_log_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_provider_secoda._events.watchers import Watcher
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._following.follower import PollResult
    from airflow_provider_secoda.hooks._shared_client import SharedClient

log = logging.getLogger(__name__)

#: Seconds between two polls that new watchers request, at least.
_MIN_INTERVAL = 1.0
#: Seconds to wait for the next cursor while cursors are being loaded.
_LOAD_TIMEOUT = 5.0
#: If every poll has to read the complete listing: seconds of pause for each page, and the longest pause.
_PAUSE_PER_PAGE, _MAX_PAUSE = 2.0, 3_600.0
#: After this many consecutive incomplete reads, version watchers become standalone.
_MAX_INCOMPLETE = 3
_ADVICE = (
    "Until then, version watchers poll their resources one by one, and audit log watchers wait: let a workspace admin "
    "make the key"
)


class AuditLogPoller:
    """Poll one audit log.

    :param filter_text: the filter that the server applies, as JSON text
    :param polled: called after each poll, as there may be something to deliver
    """

    def __init__(
        self,
        stream: str,
        filter_text: str | None,
        poke_interval: float,
        watchers: Collection[Watcher],
        resources: ResourcePoller,
        polled: Callable[[], None],
    ) -> None:
        #: Set when there may be something to do before the next poll.
        self.wake = asyncio.Event()
        self._stream = stream
        self._poke_interval = poke_interval
        self._watchers = watchers
        self._resources = resources
        self._polled = polled
        filter_ = Filter.parse(filter_text)
        self._follower = AuditLogFollower(filter_)
        self._catch_up = CatchUp(stream, filter_, poke_interval)
        self._backoff = FailureBackoff(f"{stream}: reading the audit log", poke_interval)
        self._internal_backoff = FailureBackoff(f"{stream}: serving the watchers", 60.0)
        self._polled_at = self._due = -math.inf
        self._unloaded, self._unloaded_since = 0, 0.0
        #: Whether version watchers poll their own resources, as the audit log cannot be read.
        self._standalone = False
        self._logged_unordered = False

    @property
    def position(self) -> Instant:
        """The time of the newest log that was read; 0 while there is none."""
        return self._follower.known.newest if self._follower.known else 0

    @property
    def swept(self) -> Instant:
        """The time of the newest log at the last poll that read far enough back to find all late logs."""
        return self._follower.known.swept if self._follower.known else 0

    async def run(self, client: SharedClient) -> None:
        """Poll until cancelled."""
        while True:
            self.wake.clear()
            try:
                await self._step(client)
                self._internal_backoff.succeed()
            except Exception as error:  # noqa: BLE001 - an error would end all watchers, and Airflow restarts them at once
                await asyncio.sleep(self._internal_backoff.fail(error))

    async def _step(self, client: SharedClient) -> None:
        """Do what is due, or wait until something is due."""
        now = asyncio.get_running_loop().time()
        if self._standalone:
            self._set_standalone(True)  # also the new watchers
        loading = self._is_loading(now)
        behind = [] if loading or self._backoff.failures else lagging(self._watchers)
        poll_due = self._poll_due(loading=loading)
        catch_up_due = self._catch_up.due if behind else math.inf
        if now >= poll_due:
            await self._poll(client)
        elif now >= catch_up_due:
            await self._catch_up.run(client, behind, self.position + 1, self._poll_resource)
            self._polled()
        else:
            loading_due = now + _MIN_INTERVAL if loading else math.inf
            await wait_for_event(self.wake, min(poll_due, catch_up_due, loading_due) - now)

    def _is_loading(self, now: float) -> bool:
        """Return whether cursors are being loaded: watchers that start together, after a restart, share their reads."""
        count = sum(not watcher.loaded for watcher in self._watchers)
        if count != self._unloaded:
            self._unloaded, self._unloaded_since = count, now
        return count > 0 and now - self._unloaded_since < _LOAD_TIMEOUT

    def _poll_due(self, *, loading: bool) -> float:
        """Return when to poll next: soon if there are new watchers, as they start at the position of the next poll."""
        if loading:
            return self._due if self._follower.known is not None else math.inf
        starting = any(watcher.loaded and not watcher.started for watcher in self._watchers)
        return min(self._due, self._polled_at + _MIN_INTERVAL) if starting and not self._backoff.failures else self._due

    async def _poll(self, client: SharedClient) -> None:
        """Poll once, pass on new logs, and start new watchers."""
        loop = asyncio.get_running_loop()
        try:
            if self._backoff.needs_reread:
                await client.reread()
            result = await client.value(self._follower.poll(now_instant()), concurrency=4)
        except Exception as error:  # noqa: BLE001 - an error would end all watchers, and Airflow restarts them at once
            forbidden = isinstance(error, SecodaPermissionError)
            self._due = loop.time() + self._backoff.fail(error, advice=_ADVICE if forbidden else "")
            if forbidden or (isinstance(error, SecodaIncompleteError) and self._backoff.failures >= _MAX_INCOMPLETE):
                self._set_standalone(True)
            return
        self._polled_at = loop.time()
        self._due = self._polled_at + self._pause()
        self._backoff.succeed()
        record_log_metrics(result.logs, client.secoda_conn_id)
        await self._pass_on(result)
        self._polled()

    async def _pass_on(self, result: PollResult) -> None:
        """Pass what a poll found to the watchers, and start new ones."""
        if result.unread and self._follower.known is not None:
            log.error(
                "%s: the audit logs before %s cannot be read completely (%s): logs that appear late, with a "
                "`created_at` before that, may be missing",
                self._stream,
                format_instant(self._follower.known.horizon),
                result.unread,
            )
        started = [watcher for watcher in self._watchers if watcher.started]
        if result.gap is not None:
            for watcher in started:
                if watcher.missed_from is None or result.gap < watcher.missed_from:
                    watcher.missed_from = max(result.gap, watcher.since)
        if self._standalone:
            self._set_standalone(False)
        await distribute(result.logs, started, self._poll_resource)
        for watcher in self._watchers:
            if watcher.loaded and not watcher.started:
                watcher.start(self.position, now_instant())

    def _poll_resource(self, watcher: Watcher) -> None:
        if isinstance(watcher, VersionWatcher):
            self._resources.schedule(watcher)

    def _set_standalone(self, standalone: bool) -> None:
        """Let the version watchers poll their own resources, or return to the shared poll.

        After the return each resource is polled once more, for what happened before the shared poll.
        """
        self._standalone = standalone
        for watcher in self._watchers:
            if isinstance(watcher, VersionWatcher) and watcher.loaded and watcher.standalone != standalone:
                if standalone:
                    watcher.start_standalone(now_instant())
                watcher.standalone = standalone
                self._resources.schedule_within_interval(watcher)

    def _pause(self) -> float:
        """Return the pause in seconds after a successful poll."""
        if not self._follower.unordered:
            self._logged_unordered = False
            return self._poke_interval
        pause = max(self._poke_interval, min(_MAX_PAUSE, _PAUSE_PER_PAGE * self._follower.pages))
        if not self._logged_unordered:
            self._logged_unordered = True
            log.warning(
                "%s: the order of the audit log is not reliable (%s). Each poll reads all of its pages, now %d, so the "
                "next poll is in %.0f s",
                self._stream,
                self._follower.unordered,
                self._follower.pages,
                pause,
            )
        return pause
