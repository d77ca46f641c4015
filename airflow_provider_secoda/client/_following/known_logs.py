"""Which logs a follower of the audit log knows, so that each is new once, and down to where its polls read.

Memory is bounded: where more than :data:`MAX_SWEPT` logs are stored within the time by which a log may be late, late
logs are found less far back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant

#: How far before the newest log every poll reads, in microseconds.
OVERLAP = 30_000_000
#: How late a log may be stored and still be found, in microseconds.
LATE = 900_000_000
#: The time between two sweeps in microseconds, when ``count`` gives reason for one, and in any case.
SWEEP_EVERY, SWEEP_ANYHOW = 600_000_000, 1_800_000_000
#: How many known logs a poll reads again at most.
MAX_SWEPT = 5_000
#: How many ids are remembered in any case, and at most.
KEEP_SEEN, MAX_SEEN = 5_000, 20_000


class KnownLogs:
    """The logs that a follower knows.

    :param now: the present time, about
    :param logs: the first ones
    :param count: the listing's ``count``
    :param horizon: from this timestamp on these are all logs
    :param newest: the newest timestamp in the listing, if there are no logs; 0 for an empty listing
    """

    def __init__(self, now: Instant, logs: Iterable[Log], count: int, horizon: Instant, newest: Instant = 0) -> None:
        #: From this timestamp on every log that was ever returned is in ``_seen``, so a log that is not there is new.
        self.horizon = horizon
        self._seen = {log.id: log.at for log in logs}
        #: The newest known log, and the newest one at the last sweep.
        self.newest = self.swept = max(self._seen.values(), default=newest)
        self._count = count
        #: When the last sweep was, and whether ``count`` gives reason for another.
        self._swept_at, self._unexplained = now, False
        self._forget()

    @property
    def sweep_start(self) -> Instant:
        """Down to which timestamp a sweep reads."""
        start = max(self.horizon, self.swept - LATE)
        times = sorted(at for at in self._seen.values() if at >= start)
        return start if len(times) <= MAX_SWEPT else times[-MAX_SWEPT]

    def start(self, now: Instant) -> Instant:
        """Return down to which timestamp the next poll must read."""
        passed = now - self._swept_at
        # A clock that was set back must not delay sweeps.
        if not 0 <= passed < (SWEEP_EVERY if self._unexplained else SWEEP_ANYHOW):
            return self.sweep_start
        return max(self.sweep_start, self.newest - OVERLAP)

    def find_new(self, now: Instant, logs: Iterable[Log], count: int, read_from: Instant) -> tuple[Log, ...]:
        """Return the logs that are not known, oldest first, and remember them.

        :param logs: the logs of one poll; from ``read_from`` on these are all
        """
        swept = read_from <= self.sweep_start
        shown = {log.id: log for log in logs if log.at >= self.horizon}
        new = [log for id_, log in shown.items() if id_ not in self._seen]
        # An outdated replica shows less than is known. Nothing is lost: the next poll returns its new logs.
        self._unexplained |= count != self._count + len(new)
        self._count = count
        self.newest = max([self.newest, *(log.at for log in new)])
        self._seen |= {log.id: log.at for log in new}
        if swept:
            # Not the newest known log: an outdated replica does not show what was stored until then.
            self.swept = max((log.at for log in shown.values()), default=self.swept)
            self._swept_at, self._unexplained = now, False
        self._forget()
        return tuple(sorted(new, key=lambda log: (log.at, log.id)))

    def _forget(self) -> None:
        """Raise the horizon when too many ids are remembered, and drop the ids of older logs."""
        if len(self._seen) > KEEP_SEEN:
            times = sorted(self._seen.values())
            self.horizon = max(self.horizon, min(times[-KEEP_SEEN], self.swept - LATE))
            if len(self._seen) > MAX_SEEN:
                self.horizon = max(self.horizon, times[-MAX_SEEN])
            self._seen = {id_: at for id_, at in self._seen.items() if at >= self.horizon}
