"""How far a watcher has come, and where this is stored: in the state store of the watcher's assets (Airflow 3.3).

Events from before ``since`` are done. Of the later ones, those that are listed in ``delivered`` are done. So a watcher
that starts again reads from ``since`` on and fires for what is not listed. This includes logs that were stored with an
older time than logs that had been read before.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._compat import read_state, write_state
from airflow_provider_secoda._events.background import wait_for_event
from airflow_provider_secoda._persisted import CURSOR_KEY_PREFIX
from airflow_provider_secoda.client._api.timestamps import format_instant, parse_instant
from airflow_provider_secoda.client._http.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_secoda._events.watchers import Watcher
    from airflow_provider_secoda.client._api.timestamps import Instant

log = logging.getLogger(__name__)

#: How many keys a cursor lists at most; a cursor that would need more is moved forward instead.
MAX_DELIVERED = 2_000
#: Seconds until a call of a state store times out.
_TIMEOUT = 30.0
#: Seconds from one round over the watchers to the next, and between two rounds that are requested.
_ROUND, _REST = 30.0, 0.2
#: A round ends after this many consecutive failures.
_MAX_FAILURES = 3
_BACKOFF = Backoff(first=1.0, longest=300.0)


@dataclass(frozen=True)
class Cursor:
    """How far a watcher has come.

    :param since: everything that was stored earlier is done
    :param delivered: the keys of the events that were delivered since then, each with its own time
    """

    since: Instant
    delivered: Mapping[str, Instant] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "since": format_instant(self.since),
            "delivered": {key: format_instant(at) for key, at in sorted(self.delivered.items())},
        }

    @classmethod
    def from_json(cls, value: Any) -> Cursor | None:
        """Return the cursor, or None if the value is not a cursor."""
        try:
            delivered = {str(key): parse_instant(at) for key, at in value["delivered"].items()}
            return cls(parse_instant(value["since"]), delivered)
        except (TypeError, ValueError, LookupError, AttributeError):
            return None


class CursorStore:
    """The cursor of one watcher in the state stores of its assets.

    Airflow runs one trigger for identical watchers of several assets, and each of these assets gets every event. The
    cursor is stored with each asset. The latest one is valid, because a cursor is written only when all the assets
    have the events that it covers.

    :param accessors: what the triggerer sets as ``asset_state_store``
    :param name: what is watched, without the interval: the same after a restart
    """

    def __init__(self, accessors: Any, name: Mapping[str, Any]) -> None:
        digest = blake2b(json.dumps(name, sort_keys=True).encode(), digest_size=12).hexdigest()
        self.key = f"{CURSOR_KEY_PREFIX}{digest}"
        # Airflow has no public way to get the store of each asset without knowing the assets.
        registries = [getattr(accessors, attribute, None) or {} for attribute in ("_by_name", "_by_uri")]
        by_asset = [store for registry in registries for store in registry.values()]
        self._stores = [accessors] if accessors is not None and not by_asset else by_asset

    def __bool__(self) -> bool:
        """Return whether there is a store."""
        return bool(self._stores)

    async def load(self) -> Cursor | None:
        """Return the cursor, or None if none was saved yet."""
        found = [
            Cursor.from_json(await asyncio.wait_for(read_state(store, self.key), _TIMEOUT)) for store in self._stores
        ]
        return max((cursor for cursor in found if cursor), key=lambda cursor: cursor.since, default=None)

    async def save(self, cursor: Cursor) -> None:
        """Save the cursor."""
        for store in self._stores:
            await asyncio.wait_for(write_state(store, self.key, cursor.to_json()), _TIMEOUT)


@dataclass(eq=False)
class CursorSaver:
    """Load the cursors of a stream's watchers, and save them: soon after deliveries, otherwise rarely.

    :param swept: returns the time up to which the stream found all logs, except those that are stored late
    :param store_used: called after a cursor was loaded or saved
    """

    stream: str
    watchers: Mapping[Watcher, CursorStore | None]
    swept: Callable[[], Instant]
    store_used: Callable[[], None]
    #: Set when there may be a cursor to load or to save.
    wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    #: For each watcher whose store failed: the number of consecutive failures, and when to try again.
    _failing: dict[Watcher, tuple[int, float]] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Load and save until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            self.wake.clear()
            await self._sync_all()
            await asyncio.sleep(_REST)
            next_retry = min((retry_at for _, retry_at in self._failing.values()), default=math.inf)
            await wait_for_event(self.wake, min(_ROUND, next_retry - now()))

    async def _sync_all(self) -> None:
        now = asyncio.get_running_loop().time
        was_failing, consecutive_failures = bool(self._failing), 0
        self._failing = {watcher: retry for watcher, retry in self._failing.items() if not watcher.closed}
        for watcher, store in list(self.watchers.items()):
            failures, retry_at = self._failing.get(watcher, (0, 0.0))
            if consecutive_failures >= _MAX_FAILURES or now() < retry_at:
                continue
            try:
                used = await watcher.sync_cursor(store, self.swept(), now())
            except Exception as error:  # noqa: BLE001 - a state store may raise any error; it is retried
                consecutive_failures += 1
                if not (was_failing or self._failing):
                    log.warning(
                        "%s: the state store of an asset failed (%s: %s). Retrying with exponential backoff, at most "
                        "every %.0f min",
                        self.stream,
                        type(error).__name__,
                        error,
                        _BACKOFF.longest / 60,
                    )
                self._failing[watcher] = (failures + 1, now() + _BACKOFF.delay(failures + 1))
            else:
                if used:
                    consecutive_failures = 0
                    self.store_used()
                    self._failing.pop(watcher, None)
        if was_failing and not self._failing:
            log.info("%s: the state stores of its assets work again", self.stream)
