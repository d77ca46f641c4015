"""A watcher of a stream: the events that it has to deliver, those that it delivered, and those that are stored.

An event is safe when Airflow has stored it, which the triggerer confirms later (:mod:`.stream`). Until then the cursor
stays before the event. A triggerer that dies therefore delivers the event again: at least once, never not at all.
"""

from __future__ import annotations

import json
import logging
import random
from collections import deque
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._events.cursors import MAX_DELIVERED, Cursor, CursorStore
from airflow_provider_secoda._storable import storable, storable_result
from airflow_provider_secoda.client._api.fields import participant
from airflow_provider_secoda.client._api.json_checks import load
from airflow_provider_secoda.client._following.known_logs import LATE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant

log = logging.getLogger(__name__)

#: How many events a watcher queues. What it misses then is read again when it has capacity.
MAX_PENDING = 1_000
#: Seconds after which the cursor of a watcher without events is saved again, so that a restart reads little.
_SAVE_AGAIN = 600.0


@dataclass(frozen=True)
class LogFields:
    """The fields of an audit log that watchers read, as the API sent them: any of them may be of another type."""

    record: Mapping[str, Any]

    @cached_property
    def resources(self) -> set[str]:
        """The ids of all resources that the log names."""
        related = self.record.get("related_resource_ids")
        ids = (self.record.get("resource_id"), self.record.get("parent_id"))
        return {id_ for id_ in (*ids, *(related if isinstance(related, list) else ())) if isinstance(id_, str)}


def read_log_fields(log: Log) -> LogFields:
    """Return the fields of a log; none of them for a log that is not valid JSON."""
    try:
        # No field is an integer, and Python refuses to parse very long integers, but not to parse them as floats.
        return LogFields(json.loads(log.raw, parse_int=float))
    except (ValueError, RecursionError):
        return LogFields({})


@dataclass(frozen=True, slots=True)
class Event:
    """An event to deliver.

    :param at: the cursor stays here until the event is stored
    :param key: identifies repeats
    :param time: the event's own time; the key is remembered until the cursor has passed it
    :param payload: called when the event is delivered
    """

    at: Instant
    key: str
    time: Instant
    payload: Callable[[], dict[str, Any]]


class Watcher:
    """The common part of all watchers.

    :param lookback: seconds before the start from which on events are delivered if no cursor is saved
    """

    #: Keys are remembered until the cursor is this far beyond them, in microseconds.
    margin = 0

    def __init__(self, lookback: float) -> None:
        self.lookback = lookback
        #: Whether the watcher has left the stream.
        self.closed = False
        #: Whether it has a position: everything before ``since`` is done. While it has to catch up with the stream,
        #: ``missed_from`` is where to read on.
        self.started = False
        self.since: Instant = 0
        self.missed_from: Instant | None = None
        #: Events to deliver; delivered ones with the number of the tick, until they are stored; stored ones.
        self.pending: deque[Event] = deque()
        self.unconfirmed: deque[tuple[int, Event]] = deque()
        self.delivered: dict[str, Instant] = {}
        self._in_progress: set[str] = set()
        #: How many events may be delivered at the next tick, and the last tick that the watcher received.
        self.quota = 0
        self.last_tick = 0
        #: Whether the store was read, and what was found; what was saved last, whether it is outdated, and when to save
        #: again in any case (by the event loop's clock).
        self.loaded = False
        self.loaded_cursor: Cursor | None = None
        self._saved: Cursor | None = None
        self._changed = True
        self._save_at = 0.0

    def start(self, newest: Instant, now: Instant) -> None:
        """Set the position of the watcher, in a stream that was read up to ``newest`` (0: there was no log).

        :param now: the present time by this machine's clock
        """
        self.started = True
        if self.loaded_cursor is not None:
            self.since, self.delivered = self.loaded_cursor.since, dict(self.loaded_cursor.delivered)
            self._saved, self._changed = self.loaded_cursor, False
        elif self.lookback > 0:
            self.since = max(0, now - round(self.lookback * 1_000_000))
        else:
            # An empty audit log says nothing about the time.
            self.since = newest + 1 if newest else now
        self.missed_from = self.since if self.since <= newest else None
        self.loaded_cursor = None

    def match(self, log: Log, fields: LogFields) -> bool:
        """Process a new log; return whether the watcher has to poll its resource because of it."""
        raise NotImplementedError

    def enqueue(self, event: Event) -> None:
        """Add an event to the queue, unless it is in progress or was delivered before."""
        if event.key not in self.delivered and event.key not in self._in_progress:
            self._in_progress.add(event.key)
            self.pending.append(event)

    def drain(self, tick: int) -> Iterator[dict[str, Any]]:
        """Yield the payloads of the events to deliver at a tick: as many as the quota allows."""
        self.last_tick = tick
        while self.quota > 0 and self.pending:
            self.quota -= 1
            event = self.pending.popleft()
            self.unconfirmed.append((tick, event))
            yield _payload(event)
        self.quota = 0

    def confirm(self, tick: int) -> None:
        """Record that the events that were delivered up to a tick are stored."""
        while self.unconfirmed and self.unconfirmed[0][0] <= tick:
            _, event = self.unconfirmed.popleft()
            self._in_progress.discard(event.key)
            self.delivered[event.key] = event.time
            self._changed = True

    def unfinished(self) -> list[Instant]:
        """Return the times that the cursor must not pass yet."""
        return [event.at for event in self.pending] + [event.at for _, event in self.unconfirmed]

    def cursor(self, swept: Instant) -> Cursor:
        """Return how far this watcher has come, and forget older keys.

        Logs may be stored :data:`~.known_logs.LATE` microseconds late. So the cursor stays this far behind the last
        time at which the stream looked for such logs, as a restart must read again what was stored late since then. It
        never goes back.

        :param swept: the newest log at that time; 0 if there was none
        """
        read_until = swept if self.missed_from is None else min(swept, self.missed_from)
        limit = min([read_until, *self.unfinished()])
        since = min(limit, read_until - LATE)
        if len(self.delivered) > MAX_DELIVERED:
            since = max(since, min(limit, sorted(self.delivered.values())[-MAX_DELIVERED] - self.margin))
        self.since = max(self.since, since)
        self.delivered = {key: at for key, at in self.delivered.items() if at >= self.since - self.margin}
        return Cursor(self.since, dict(self.delivered))

    async def sync_cursor(self, store: CursorStore | None, swept: Instant, now: float) -> bool:
        """Load the cursor if it is not loaded, or save it if it is outdated; return whether the store was used.

        :param store: None if there is no store: then only older keys are forgotten
        :param now: the event loop's time
        """
        save_again_at = now + _SAVE_AGAIN * random.uniform(1.0, 2.0)  # noqa: S311 - so that not all come at once
        if not self.loaded and store is not None:
            self.loaded_cursor = await store.load()
            self.loaded, self._save_at = True, save_again_at
            return True
        if not self.started or not (self._changed or now >= self._save_at):
            return False
        cursor = self.cursor(swept)
        saving = cursor != self._saved
        self._changed = False  # it may be set again while the cursor is being saved
        try:
            if saving and store is not None:
                await store.save(cursor)
        except BaseException:
            self._changed = True
            raise
        self._saved, self._save_at = cursor, save_again_at
        return saving and store is not None


class LogWatcher(Watcher):
    """A watcher for audit logs.

    :param lists: a log matches if its value is in the list, for each field that has a list; each name is the plural of
        the field's name
    """

    def __init__(self, lists: Mapping[str, Collection[str] | None], lookback: float = 0.0) -> None:
        super().__init__(lookback)
        self._allowed = [(name.removesuffix("s"), values) for name, values in lists.items() if values is not None]

    def match(self, log: Log, fields: LogFields) -> bool:
        """Enqueue a log that matches."""
        if all(fields.record.get(name) in values for name, values in self._allowed):
            self.enqueue(Event(log.at, storable(log.id), log.at, partial(log_payload, log.raw)))
        return False


def log_payload(raw: bytes) -> dict[str, Any]:
    """Return the payload of an audit log's event: its ``id`` identifies repeats, ``record`` is the complete log."""
    record = load(raw)
    payload = {
        "kind": "audit_log",
        "id": record.get("id"),
        "logged_at": record.get("logged_at"),
        "created_at": record.get("created_at"),
        "activity_type": record.get("activity_type"),
        "performer": participant(record, "performer"),
        "resource": participant(record, "resource"),
        "record": record,
    }
    return storable_result(payload)


def _payload(event: Event) -> dict[str, Any]:
    try:
        return event.payload()
    except (ValueError, RecursionError) as error:
        # An error would end the trigger, which would meet the same record again after its restart.
        log.warning("The record of event %r cannot be parsed (%s): the event has its id only", event.key, error)
        return {"id": event.key, "record": None}
