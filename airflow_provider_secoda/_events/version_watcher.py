"""A watcher for the versions of one resource.

A log that names a version of the resource is a wake-up only: what is new is decided by one look at the resource's own
logs. Where the audit log may not be read, the watcher looks at every
interval instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_secoda._events.failure_backoff import FailureBackoff
from airflow_provider_secoda._events.payloads import describe_version
from airflow_provider_secoda._events.watchers import Item, Watcher
from airflow_provider_secoda._storable import read_record
from airflow_provider_secoda.client._api.timestamps import parse_instant
from airflow_provider_secoda.client._audit_logs.follow import LATE
from airflow_provider_secoda.client._versions.history import Baseline, Match, VersionEntry
from airflow_provider_secoda.client._versions.poll import poll_versions

if TYPE_CHECKING:
    from airflow_provider_secoda._events.cursors import CursorStore
    from airflow_provider_secoda._events.log_fields import LogFields
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._versions.page_order import PageOrder
    from airflow_provider_secoda.hooks._shared_client import SharedClient

#: How often a version that was named, but is not shown, is looked for again; at ever longer intervals.
MAX_TRIES = 4
#: Versions that are known not to be new any more: so many are remembered.
_MAX_SETTLED = 256
#: Clocks and roundings of one server may differ by so much, in microseconds.
_SLACK = 60_000_000
#: Some write times with fewer digits than others.
_ROUNDING = 1_000_000
#: What a look at the resource shows is all there is up to so long before it, by this machine's clock.
_HOUR = 3_600_000_000


@dataclass
class Wake:
    """A version that logs named: since when, when it was last active, and how often it was looked for in vain."""

    at: Instant
    logged: Instant
    tries: int = 0


class VersionWatcher(Watcher):
    """A watcher for the versions of one resource.

    :param resource_id: the resource
    :param match: ``new_version``, or ``any_activity`` to hear of versions that grow, too
    """

    #: Versions may be older than the log that names them.
    margin = LATE

    def __init__(self, resource_id: str, match: Match, shelf: CursorStore | None = None, lookback: float = 0.0) -> None:
        super().__init__(shelf, lookback)
        self.resource_id = resource_id
        self.match: Match = match
        #: Whether it looks for itself at every interval.
        self.alone = False
        #: Entries from here on are new; None while it is not known.
        self.origin: Instant | None = None
        self.wakes: dict[str, Wake] = {}
        self.trouble = FailureBackoff(f"Resource {resource_id}: its logs cannot be read", 60.0)
        self._page_order: PageOrder | None = None
        self._settled: dict[str, None] = {}

    def place(self, newest: Instant, now: Instant) -> None:
        """Give the watcher its position, once that of the stream is known."""
        if self.placed:  # it looked for itself until now
            return
        super().place(newest, now)
        self.origin = self.since

    def place_alone(self, now: Instant) -> None:
        """Give the watcher its position where there is no stream; without a cursor its first look does that."""
        self.alone = True
        if not self.placed and (self.found is not None or self.lookback > 0):
            self.place(0, now)

    def offer(self, log: Log, facts: LogFields) -> bool:
        """Wake up when a log names a version of the resource."""
        version_id = facts.version_history_id
        if not isinstance(version_id, str) or self.resource_id not in facts.resources:
            return False
        if self.match == "new_version" and version_id in self._settled:
            return False
        logged = facts.logged
        wake = self.wakes.setdefault(version_id, Wake(log.at, log.at if logged is None else logged))
        wake.at, wake.tries = min(wake.at, log.at), 0
        if logged is not None:
            wake.logged = max(wake.logged, logged)
        return True

    def waiting(self) -> list[Instant]:
        """Return where the cursor must stay because of what is not done yet."""
        return [*super().waiting(), *(wake.at for wake in self.wakes.values())]

    async def look(self, client: SharedClient, now: Instant, *, alone: bool) -> bool:
        """Look at the resource's own logs once, and put what is new in line.

        :param alone: whether nothing wakes this watcher, so that it looks for itself
        :return: whether there is reason to look again soon
        """
        wakes = {version_id: Wake(wake.at, wake.logged) for version_id, wake in self.wakes.items()}
        least = 0 if self.origin is None else max(0, self.since - LATE)
        # Growth is looked for, too, where a version was named: an old one that grew is told from one not shown yet.
        baseline = Baseline(
            max(0, min([least, *(wake.logged - LATE for wake in wakes.values())])),
            match="any_activity" if wakes else self.match,
        )
        poll = await client.value(poll_versions(self.resource_id, baseline, self._page_order), concurrency=4)
        self._page_order = poll.page_order
        entries = [_Shown.of(entry, self.match) for entry in poll.entries]
        if self.origin is None:
            newest = max((one.time for one in entries), default=0)
            self.placed, self.origin, self.since = True, newest + 1, newest
            self.delivered = {one.key: one.time for one in entries if one.time >= newest - LATE}
        for one in entries:
            wake = wakes.get(one.entry.id)
            if one.time >= max(self.origin, least) or (wake is not None and one.time >= wake.logged - _SLACK):
                at = min([one.time, *(other.at for other in wakes.values())])
                self.owe(Item(at, one.key, one.time, partial(_describe, one.entry)))
        shown = {one.entry.id: one.active for one in entries}
        for version_id, wake in wakes.items():
            self._settle(version_id, wake, shown.get(version_id))
        if alone:
            self.since = max(self.since, min([now - _HOUR, *self.waiting()]))
            self.behind = None
        return bool(self.wakes)

    def missed(self) -> bool:
        """Take note that the resource was not there; return whether there is reason to look again."""
        for version_id in list(self.wakes):
            self._settle(version_id, self.wakes[version_id], None)
        return bool(self.wakes)

    def _settle(self, version_id: str, asked: Wake, active: Instant | None) -> None:
        """Take note of what a look brought about a version that was named.

        :param active: the version's latest activity as it was shown; None when it was not
        """
        wake = self.wakes[version_id]
        if active is None or (self.match == "any_activity" and active < asked.logged - _ROUNDING):
            wake.tries += 1
        elif self.match == "new_version" or wake.logged == asked.logged:
            wake.tries = MAX_TRIES + 1
        if wake.tries > MAX_TRIES:
            del self.wakes[version_id]
            self._settled[version_id] = None
            if len(self._settled) > _MAX_SETTLED:
                del self._settled[next(iter(self._settled))]


class _Shown(NamedTuple):
    """An entry as a look showed it: when it became news, when it was last active, and its key."""

    entry: VersionEntry
    time: Instant
    active: Instant
    key: str

    @classmethod
    def of(cls, entry: VersionEntry, match: Match) -> _Shown:
        active = max(_active(raw) for raw in entry.raws)
        if match == "new_version":
            return cls(entry, entry.created, active, entry.id)
        return cls(entry, max(entry.created, active), active, f"{entry.id}@{active}")


def _describe(entry: VersionEntry) -> dict[str, Any]:
    return describe_version(entry.summary())


def _active(raw: bytes) -> Instant:
    try:
        return parse_instant(read_record(raw).get("latest_activity_logged_at"))
    except ValueError:
        return 0
