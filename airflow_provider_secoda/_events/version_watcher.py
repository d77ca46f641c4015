"""A watcher for the versions of one resource.

An audit log that names a version of the resource only announces it; one poll of the resource's own logs decides what is
new. If the audit log cannot be read, the watcher is standalone: it polls its resource at every interval.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._events.background import FailureBackoff
from airflow_provider_secoda._events.watchers import Event, LogFields, Watcher
from airflow_provider_secoda._storable import storable, storable_result
from airflow_provider_secoda.client._api.timestamps import parse_optional_instant
from airflow_provider_secoda.client._following.known_logs import LATE
from airflow_provider_secoda.client._versions.history import Baseline, Match, VersionEntry
from airflow_provider_secoda.client._versions.poll import poll_versions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._versions.page_order import PageOrder
    from airflow_provider_secoda.hooks._shared_client import SharedClient

#: How often to poll again for an announced version that the resource does not list, with exponential backoff.
MAX_TRIES = 4
#: How many finished versions, which need no poll if a log names them again, and how many events are remembered.
_MAX_FINISHED = 256
#: Tolerance in microseconds between the clocks of one server, and for timestamps that have fewer digits than others.
_CLOCK_TOLERANCE, _ROUNDING = 60_000_000, 1_000_000
#: A poll lists every version that is older than this, in microseconds, by this machine's clock.
_HOUR = 3_600_000_000


@dataclass
class AnnouncedVersion:
    """A version that audit logs named, and that no poll has confirmed yet.

    :param at: when the first of these logs was stored; the cursor stays here
    :param logged: the latest activity that these logs record
    :param tries: the number of polls that did not list the version, or not with this activity
    """

    at: Instant
    logged: Instant
    tries: int = 0


class VersionWatcher(Watcher):
    """A watcher for the versions of one resource; with ``any_activity`` also for activity in existing versions."""

    #: Versions may be older than the log that names them.
    margin = LATE

    def __init__(self, resource_id: str, match: Match, lookback: float = 0.0) -> None:
        super().__init__(lookback)
        self.resource_id = resource_id
        self.match_mode: Match = match
        #: Whether it polls its resource at every interval, as no audit log announces versions.
        self.standalone = False
        #: Entries from this time on are new; None until it is known.
        self.new_from: Instant | None = None
        self.announced: dict[str, AnnouncedVersion] = {}
        self.backoff = FailureBackoff(f"Reading the logs of resource {resource_id}", 60.0)
        self._page_order: PageOrder | None = None
        self._finished: deque[str] = deque(maxlen=_MAX_FINISHED)
        #: The keys of the last events, as a late log may name activity that the cursor has passed.
        self._enqueued: deque[str] = deque(maxlen=_MAX_FINISHED)

    def start(self, newest: Instant, now: Instant) -> None:
        """Set the position of the watcher, unless it started standalone."""
        if not self.started:
            super().start(newest, now)
            self.new_from = self.since

    def start_standalone(self, now: Instant) -> None:
        """Set the position of the watcher without a stream; if there is no cursor, the first poll sets it."""
        self.standalone = True
        if self.loaded_cursor is not None or self.lookback > 0:
            self.start(0, now)

    def match(self, log: Log, fields: LogFields) -> bool:
        """Record a version of the resource that a log names; return whether to poll the resource."""
        version_id = fields.record.get("version_history_id")
        if not isinstance(version_id, str) or self.resource_id not in fields.resources:
            return False
        if self.match_mode == "new_version" and version_id in self._finished:
            return False
        logged = parse_optional_instant(fields.record.get("logged_at"))
        version = self.announced.setdefault(version_id, AnnouncedVersion(log.at, log.at if logged is None else logged))
        version.at, version.tries = min(version.at, log.at), 0
        if logged is not None:
            version.logged = max(version.logged, logged)
        return True

    def unfinished(self) -> list[Instant]:
        """Return the times that the cursor must not pass yet."""
        return [*super().unfinished(), *(version.at for version in self.announced.values())]

    async def poll(self, client: SharedClient, now: Instant) -> bool:
        """Read the resource's own logs once, and enqueue what is new.

        :param now: the present time by this machine's clock
        :return: whether announced versions are left, so that another poll is needed soon
        """
        announced = {id_: replace(version) for id_, version in self.announced.items()}  # more may come during the poll
        # With any_activity, an announced version that is old is distinguished from one that is not listed yet.
        match = "any_activity" if announced else self.match_mode
        since = max(0, min([self._oldest(), *(version.logged - LATE for version in announced.values())]))
        baseline = Baseline(since, match=match)
        poll = await client.value(poll_versions(self.resource_id, baseline, self._page_order), concurrency=4)
        self._page_order = poll.page_order
        events = {entry.id: self._event(entry) for entry in poll.entries}
        if self.new_from is None:
            self._start_after(events.values())
        self._enqueue_new(events, announced)
        self._record_poll(announced, {entry.id: entry.latest for entry in poll.entries})
        if self.standalone:
            self.since = max(self.since, min([now - _HOUR, *self.unfinished()]))
            self.missed_from = None
        return bool(self.announced)

    def _oldest(self) -> Instant:
        """Return the time from which on the delivered versions are known; the cursor may move it at any ``await``."""
        return 0 if self.new_from is None else max(0, self.since - LATE)

    def resource_not_found(self) -> bool:
        """Record that the resource does not exist; return whether announced versions are left."""
        self._record_poll(dict(self.announced), {})
        return bool(self.announced)

    def _event(self, entry: VersionEntry) -> Event:
        time, key = entry.created, entry.id
        if self.match_mode == "any_activity":
            time, key = max(entry.created, entry.latest), f"{entry.id}@{entry.latest}"
        return Event(time, storable(key), time, lambda: version_payload(entry.summary()))

    def _start_after(self, events: Collection[Event]) -> None:
        """Set the position after the versions that the first poll listed."""
        newest = max((event.time for event in events), default=0)
        self.started, self.new_from, self.since = True, newest + 1, newest
        self.delivered = {event.key: event.time for event in events if event.time >= newest - LATE}

    def _enqueue_new(self, events: Mapping[str, Event], announced: Mapping[str, AnnouncedVersion]) -> None:
        assert self.new_from is not None
        new_from = max(self.new_from, self._oldest())
        for id_, event in events.items():
            named = announced.get(id_)
            is_new = event.time >= new_from
            is_new = is_new or (named is not None and event.time >= named.logged - _CLOCK_TOLERANCE)
            if is_new and event.key not in self._enqueued:
                self._enqueued.append(event.key)
                at = min([event.time, *(one.at for one in announced.values())])
                self.enqueue(replace(event, at=at))

    def _record_poll(self, announced: Mapping[str, AnnouncedVersion], latest: Mapping[str, Instant]) -> None:
        """Record what a poll listed of announced versions; one is finished when it is listed, or after the last try.

        :param announced: the versions as they were announced before the poll
        :param latest: the latest activity of each version that the poll listed
        """
        for id_, before in announced.items():
            version = self.announced.get(id_)
            if version is None:  # another poll at the same time finished it
                continue
            is_listed = id_ in latest
            if self.match_mode == "any_activity":
                is_listed = is_listed and latest[id_] >= before.logged - _ROUNDING
            if not is_listed:
                version.tries += 1
            elif self.match_mode == "new_version" or version.logged == before.logged:
                version.tries = MAX_TRIES + 1
            if version.tries > MAX_TRIES:
                del self.announced[id_]
                self._finished.append(id_)


def version_payload(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of a version's event: ``kind`` (``version``), and the keys of the entry's summary."""
    return storable_result({"kind": "version", **summary})
