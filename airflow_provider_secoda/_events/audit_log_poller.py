"""Look at the audit log every interval, offer what is new to all watchers, and let those who are behind catch up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from airflow_provider_secoda._events.catch_up import CatchUp
from airflow_provider_secoda._events.failure_backoff import FailureBackoff
from airflow_provider_secoda._events.log_fields import read_log_fields
from airflow_provider_secoda._events.resource_poller import ResourcePoller, now_instant
from airflow_provider_secoda._events.tasks import pause
from airflow_provider_secoda._events.version_watcher import VersionWatcher
from airflow_provider_secoda._events.watchers import MAX_PENDING
from airflow_provider_secoda.client._audit_logs.follow import Tail
from airflow_provider_secoda.client.errors import SecodaIncompleteError, SecodaPermissionError
from airflow_provider_secoda.client.filters import Filter
from airflow_provider_secoda.hooks._metrics import record_log_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from airflow_provider_secoda._events.watchers import Watcher
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.hooks._shared_client import SharedClient

log = logging.getLogger(__name__)

#: Seconds between two looks that new watchers ask for, at least.
_SOON = 1.0
#: Seconds without a cursor being loaded after which those not loaded yet are not waited for.
_PATIENCE = 5.0
#: Where the whole listing has to be read at each look: seconds of pause for each page, and the longest pause.
_PER_PAGE, _LONGEST = 2.0, 3_600.0
#: Logs that are offered before others have their turn in the event loop.
_BATCH = 50
#: Watchers that are no further apart than so, in microseconds, catch up together.
_TOGETHER = 6 * 3_600_000_000
_NEVER = float("inf")
#: How often in a row the listing may be incomplete before watchers look for themselves.
_INCOMPLETE = 3


class AuditLogPoller:
    """The following of one audit log.

    :param what: the stream, in words
    :param filter_text: a filter that the server applies
    :param poke_interval: seconds between two looks
    :param watchers: those of the stream
    :param looks: the looks at single resources
    :param delivered: called when there may be something to deliver
    """

    def __init__(
        self,
        what: str,
        filter_text: str | None,
        poke_interval: float,
        watchers: Collection[Watcher],
        looks: ResourcePoller,
        delivered: Callable[[], None],
    ) -> None:
        #: Set when there may be something to do.
        self.hurry = asyncio.Event()
        self._what = what
        self._poke_interval = poke_interval
        self._watchers = watchers
        self._looks = looks
        self._delivered = delivered
        filter_ = Filter.parse(filter_text)
        self._tail = Tail(filter_)
        self._past = CatchUp(filter_)
        self._trouble = FailureBackoff(f"{what}: the audit log cannot be read", poke_interval)
        self._fault = FailureBackoff(f"{what}: a fault of this provider", 60.0)
        self._past_trouble = FailureBackoff(f"{what}: what was missed cannot be read", poke_interval)
        self._looked = self._due = self._past_due = float("-inf")
        self._unloaded, self._unloaded_since = 0, 0.0
        self._said_unordered = False

    @property
    def position(self) -> Instant:
        """Up to where everything was offered to the watchers that are up to date."""
        return self._tail.newest or 0

    async def run(self, client: SharedClient) -> None:
        """AuditLogPoller, for ever."""
        while True:
            self.hurry.clear()
            try:
                await self._step(client)
                self._fault.succeed()
            except Exception as error:  # noqa: BLE001 - whatever it is, the triggerer would start it anew at once
                await asyncio.sleep(self._fault.fail(error))

    async def _step(self, client: SharedClient) -> None:
        """Do what is due, or wait until something is."""
        now = asyncio.get_running_loop().time()
        if self._looks.alone:
            self._look_alone()
        loading = self._loading(now)
        lagging = [] if loading or self._trouble.failures else self._lagging()
        due, past_due = self._due_with_new(loading=loading), self._past_due if lagging else _NEVER
        if now >= due:
            await self._look(client)
        elif now >= past_due:
            await self._catch_up(client, lagging)
        else:
            await pause(self.hurry, min(due, past_due, now + _SOON if loading else _NEVER) - now)

    def _loading(self, now: float) -> bool:
        """Return whether cursors are being loaded: those who come together, as after a restart, are served together."""
        count = sum(not watcher.loaded for watcher in self._watchers)
        if count != self._unloaded:
            self._unloaded, self._unloaded_since = count, now
        return count > 0 and now - self._unloaded_since < _PATIENCE

    def _due_with_new(self, *, loading: bool) -> float:
        """Return when to look next: soon, where there are new watchers, as their time begins now."""
        if loading:
            return self._due if self._tail.newest is not None else _NEVER
        waiting = any(watcher.loaded and not watcher.placed for watcher in self._watchers)
        return min(self._due, self._looked + _SOON) if waiting and not self._trouble.failures else self._due

    async def _look(self, client: SharedClient) -> None:
        """Look once, offer what is new, and place the watchers that are."""
        loop = asyncio.get_running_loop()
        try:
            if self._trouble.key_in_doubt:
                await client.reread()
            look = await client.value(self._tail.look(now_instant()), concurrency=4)
        except Exception as error:  # noqa: BLE001 - whatever it is, the triggerer would start it anew at once
            self._looked = loop.time()
            self._due = self._looked + self._failed(error)
            return
        self._looked = loop.time()
        self._due = self._looked + self._pause()
        self._trouble.succeed()
        record_log_metrics(look.news, client.secoda_conn_id)
        placed = [watcher for watcher in self._watchers if watcher.placed]
        if look.gap is not None:
            for watcher in placed:
                if watcher.behind is None:
                    watcher.behind = max(look.gap, watcher.since)
        if self._looks.alone:
            self._look_together()
        await self._offer(look.news, placed)
        for watcher in self._watchers:
            if watcher.loaded and not watcher.placed:
                watcher.place(self.position, now_instant())
        self._delivered()

    async def _offer(self, logs: Sequence[Log], watchers: Sequence[Watcher], *, past: bool = False) -> set[Watcher]:
        """Offer logs, oldest first.

        :param past: whether they are for those who are behind; else these read them later, but for late ones that lie
            where they have been already
        :return: the watchers that had no room for all of them, and are behind from there on
        """
        full: set[Watcher] = set()
        for first in range(0, len(logs), _BATCH):
            batch = [(log, read_log_fields(log)) for log in logs[first : first + _BATCH]]
            for watcher in watchers:
                for log, facts in batch:
                    if watcher in full or not (watcher.behind is None or (log.at < watcher.behind) != past):
                        continue
                    if len(watcher.pending) >= MAX_PENDING:
                        watcher.behind = log.at
                        full.add(watcher)
                    elif watcher.offer(log, facts) and isinstance(watcher, VersionWatcher):
                        self._looks.wake(watcher)
            await asyncio.sleep(0)
        return full

    def _lagging(self) -> list[Watcher]:
        """Return the watchers that are behind and have room: of those far apart, those that are furthest on."""
        lagging = {
            watcher: watcher.behind
            for watcher in self._watchers
            if watcher.behind is not None and len(watcher.pending) < MAX_PENDING
        }
        nearest = max(lagging.values(), default=0)
        return [watcher for watcher, behind in lagging.items() if behind >= nearest - _TOGETHER]

    async def _catch_up(self, client: SharedClient, lagging: Sequence[Watcher]) -> None:
        """Read a piece of the past for all who are behind there."""
        end = self.position + 1
        start = min(watcher.behind for watcher in lagging if watcher.behind is not None)
        try:
            logs, until = await self._past.read(client, start, end) if start < end else ([], end)
        except Exception as error:  # noqa: BLE001 - whatever it is, the triggerer would start it anew at once
            self._past_due = asyncio.get_running_loop().time() + self._past_trouble.fail(error)
            return
        self._past_trouble.succeed()
        record_log_metrics(logs, client.secoda_conn_id)
        full = await self._offer(logs, lagging, past=True)
        for watcher in lagging:
            if watcher not in full and watcher.behind is not None and watcher.behind < until:
                watcher.behind = None if until >= end else until
        if full:
            self._past.narrow()
        self._delivered()

    def _failed(self, error: Exception) -> float:
        alone = isinstance(error, SecodaPermissionError)
        advice = ""
        if alone:
            advice = (
                "Watchers for versions look at their resources one by one meanwhile, watchers for audit logs wait: let "
                "a workspace admin make the key"
            )
        delay = self._trouble.fail(error, advice=advice)
        if alone or (isinstance(error, SecodaIncompleteError) and self._trouble.failures >= _INCOMPLETE):
            self._look_alone()
        return delay

    def _look_alone(self) -> None:
        """Have the watchers for versions look for themselves, all that do not yet."""
        self._looks.alone = True
        for watcher in self._versions():
            if watcher.loaded and not watcher.alone:
                watcher.place_alone(now_instant())
                self._looks.take_turn(watcher)

    def _look_together(self) -> None:
        """Have them look for themselves once more, for what happened before the look that all share again."""
        self._looks.alone = False
        for watcher in self._versions():
            if watcher.alone:
                watcher.alone = False
                self._looks.take_turn(watcher)

    def _versions(self) -> list[VersionWatcher]:
        return [watcher for watcher in self._watchers if isinstance(watcher, VersionWatcher)]

    def _pause(self) -> float:
        if not self._tail.unordered:
            self._said_unordered = False
            return self._poke_interval
        delay = max(self._poke_interval, min(_LONGEST, _PER_PAGE * self._tail.pages))
        if not self._said_unordered:
            self._said_unordered = True
            log.warning(
                "%s: the audit log's order cannot be relied on (%s): all of it is read at every look, %d pages now, so "
                "the next look is in %.0f s",
                self._what,
                self._tail.unordered,
                self._tail.pages,
                delay,
            )
        return delay
