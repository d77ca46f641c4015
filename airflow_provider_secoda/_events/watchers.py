"""One watcher of a stream: what it is owed, what it was given, and what of that is safe.

What a watcher yields is safe when Airflow has stored it, which the triggerer tells later (:mod:`.stream`). Until then
the cursor stays behind it, so that a triggerer that dies delivers it again: at least once, never not at all.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._events.cursors import MAX_DELIVERED, Cursor, CursorStore
from airflow_provider_secoda._events.payloads import describe_log
from airflow_provider_secoda.client._audit_logs.follow import LATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_secoda._events.log_fields import LogFields
    from airflow_provider_secoda._events.predicates import Predicates
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant

log = logging.getLogger(__name__)

#: A watcher that is owed more is offered no more: what it misses is read again, when there is room.
MAX_PENDING = 1_000


@dataclass(frozen=True, slots=True)
class Item:
    """Something to deliver.

    :param at: where the cursor stays until it is delivered
    :param key: by which repeats are told
    :param time: its own time: until the cursor has passed it the key is remembered
    :param payload: makes the payload, when it is its turn
    """

    at: Instant
    key: str
    time: Instant
    payload: Callable[[], dict[str, Any]]


class Watcher:
    """What all watchers have in common.

    :param shelf: where the cursor is kept; None for nowhere
    :param lookback: seconds before its start from which on it delivers, where no cursor was kept
    """

    #: Keys are remembered until the cursor is so far beyond them, in microseconds.
    margin = 0

    def __init__(self, shelf: CursorStore | None = None, lookback: float = 0.0) -> None:
        self.shelf = shelf or None
        self.lookback = lookback
        #: Whether the cursor was looked for, and what was found.
        self.loaded = self.shelf is None
        self.found: Cursor | None = None
        #: Whether it has gone.
        self.left = False
        #: Whether it has a position; then what is done with, and, while it is not up to date, from where to read on.
        self.placed = False
        self.since: Instant = 0
        self.behind: Instant | None = None
        self.pending: deque[Item] = deque()
        self.unconfirmed: deque[tuple[int, Item]] = deque()
        self.delivered: dict[str, Instant] = {}
        #: How many may be delivered at the next tick, and the last tick that was heard.
        self.grant = 0
        self.tick = 0
        #: What is on the shelf, when it is renewed anyhow (by the event loop's clock), and whether it must be soon.
        self.saved: Cursor | None = None
        self.renew_at = 0.0
        self.dirty = True
        self._held: set[str] = set()

    def place(self, newest: Instant, now: Instant) -> None:
        """Give the watcher its position, once that of the stream is known."""
        self.placed = True
        if self.found is not None:
            self.since, self.delivered = self.found.since, dict(self.found.delivered)
            self.saved, self.dirty = self.found, False
        elif self.lookback > 0:
            self.since = max(0, now - round(self.lookback * 1_000_000))
        else:
            self.since = newest + 1
        self.behind = self.since if self.since <= newest else None
        self.found = None

    def offer(self, log: Log, facts: LogFields) -> bool:
        """Look at a log that was stored; keep what is of interest. Return whether to look at the resource's own."""
        raise NotImplementedError

    def owe(self, item: Item) -> None:
        """Put something in line to be delivered, unless it is there, or was."""
        if item.key not in self.delivered and item.key not in self._held:
            self._held.add(item.key)
            self.pending.append(item)

    def take(self, tick: int) -> Iterator[dict[str, Any]]:
        """Yield the payloads of what is to be delivered at a tick."""
        self.tick = tick
        while self.grant > 0 and self.pending:
            self.grant -= 1
            item = self.pending.popleft()
            self.unconfirmed.append((tick, item))
            yield _payload(item)
        self.grant = 0

    def confirm(self, tick: int) -> None:
        """Take note that what was delivered up to a tick is stored."""
        while self.unconfirmed and self.unconfirmed[0][0] <= tick:
            _, item = self.unconfirmed.popleft()
            self._held.discard(item.key)
            self.delivered[item.key] = item.time
            self.dirty = True

    def waiting(self) -> list[Instant]:
        """Return where the cursor must stay because of what is not done yet."""
        return [item.at for item in self.pending] + [item.at for _, item in self.unconfirmed]

    def cursor(self, position: Instant) -> Cursor:
        """Return how far this watcher has come, and forget what is older.

        :param position: up to where everything was offered to those that are up to date
        """
        offered = position if self.behind is None else self.behind
        bound = min([offered, *self.waiting()])
        since = min(bound, offered - LATE)
        if len(self.delivered) > MAX_DELIVERED:
            since = max(since, min(bound, sorted(self.delivered.values())[-MAX_DELIVERED] - self.margin))
        self.since = max(self.since, since)
        self.delivered = {key: at for key, at in self.delivered.items() if at >= self.since - self.margin}
        return Cursor(self.since, dict(self.delivered))


class LogWatcher(Watcher):
    """A watcher for audit logs.

    :param predicates: which logs; those that the server left out are none of its business
    """

    def __init__(self, predicates: Predicates, shelf: CursorStore | None = None, lookback: float = 0.0) -> None:
        super().__init__(shelf, lookback)
        self.predicates = predicates

    def offer(self, log: Log, facts: LogFields) -> bool:
        """Put a log that matches in line."""
        if self.predicates.match(facts):
            self.owe(Item(log.at, log.id, log.at, partial(describe_log, log.raw)))
        return False


def _payload(item: Item) -> dict[str, Any]:
    try:
        return item.payload()
    except (ValueError, RecursionError) as error:
        # What cannot be read must not end the trigger, which would meet it again; its id tells where to look it up.
        log.warning("%r cannot be read (%s): its event has its id only", item.key, error)
        return {"id": item.key, "record": None}
