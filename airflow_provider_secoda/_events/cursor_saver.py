"""Load the cursors of a stream's watchers, and save them: soon after deliveries, and else seldom."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from airflow_provider_secoda._events.tasks import pause

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_secoda._events.audit_log_poller import AuditLogPoller
    from airflow_provider_secoda._events.watchers import Watcher

log = logging.getLogger(__name__)

#: Seconds after which the cursor of a watcher that delivers nothing is renewed, so that a restart reads little.
_RENEWED = 600.0
#: Seconds between two rounds when nothing calls for one, and of rest after one that does.
_ROUND, _REST = 30.0, 0.2
#: So many failures in a row end a round; the longest pause in seconds before a store that failed is tried again.
_ENOUGH, _LONGEST = 3, 300.0


class CursorSaver:
    """What moves cursors between watchers and Airflow's state store.

    :param what: the stream, in words
    :param watchers: those of the stream
    :param follow: tells how far the stream has come
    """

    def __init__(self, what: str, watchers: Collection[Watcher], follow: AuditLogPoller) -> None:
        #: Set when there may be something to do.
        self.hurry = asyncio.Event()
        self._what = what
        self._watchers = watchers
        self._follow = follow
        #: How often the store of a watcher failed in a row, and when it is tried again.
        self._failing: dict[Watcher, tuple[int, float]] = {}

    async def run(self) -> None:
        """Load and save, for ever."""
        while True:
            self.hurry.clear()
            await self._go_round()
            await asyncio.sleep(_REST)
            soonest = min((due for _, due in self._failing.values()), default=_NEVER)
            await pause(self.hurry, min(_ROUND, soonest - self._now()))

    async def _go_round(self) -> None:
        in_a_row = 0
        for watcher in list(self._watchers):
            if in_a_row >= _ENOUGH or self._now() < self._failing.get(watcher, (0, 0.0))[1]:
                continue
            try:
                used = await self._serve(watcher)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._failed(watcher, error)
                in_a_row += 1
            else:
                in_a_row = 0 if used else in_a_row
                if used:
                    self._forget_failure(watcher)
        for watcher in [watcher for watcher in self._failing if watcher.left]:
            self._forget_failure(watcher)

    async def _serve(self, watcher: Watcher) -> bool:
        """Load or save a watcher's cursor, if need be; return whether the store was used."""
        if not watcher.loaded and watcher.shelf is not None:
            watcher.found = await watcher.shelf.load()
            watcher.loaded, watcher.renew_at = True, self._later()
            self._follow.hurry.set()
            return True
        if not watcher.placed or not (watcher.dirty or self._now() >= watcher.renew_at):
            return False
        cursor = watcher.cursor(self._follow.position)
        saving = watcher.shelf is not None and cursor != watcher.saved
        watcher.dirty = False  # from here on it may be so again
        try:
            if saving and watcher.shelf is not None:
                await watcher.shelf.save(cursor)
        except BaseException:
            watcher.dirty = True
            raise
        watcher.saved, watcher.renew_at = cursor, self._later()
        return saving

    def _later(self) -> float:
        return self._now() + _RENEWED * random.uniform(1.0, 2.0)  # noqa: S311 - so that not all come at once

    def _failed(self, watcher: Watcher, error: Exception) -> None:
        if not self._failing:
            log.warning(
                "%s: the state store of an asset cannot be used (%s: %s); it is tried again and again",
                self._what,
                type(error).__name__,
                error,
            )
        failures = self._failing.get(watcher, (0, 0.0))[0] + 1
        self._failing[watcher] = (failures, self._now() + min(_LONGEST, 2.0 ** min(failures - 1, 16)))

    def _forget_failure(self, watcher: Watcher) -> None:
        if self._failing.pop(watcher, None) and not self._failing:
            log.info("%s: the state stores of its assets work again", self._what)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


_NEVER = float("inf")
