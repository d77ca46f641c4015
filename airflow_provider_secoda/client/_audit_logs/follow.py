"""Follow the head of the audit log: at each poll, return the logs that were stored since the last one, each once.

The log is followed by ``created_at``, newest first. A log that arrives late has an old ``logged_at``, but its
``created_at`` is assumed to be the time when it was stored. (The API documents the three timestamps, not this.) With
several writers and long transactions, even that time may be in the past when the log becomes visible. So late logs are
found in two ways:

* Every poll reads down to 30 s before the newest known log. A log there is new if its id is.
* Some polls, called *sweeps* here, read down to 15 minutes before the newest log of the last sweep: every poll whose
  page 1 reaches that far; every tenth poll where ``count`` is not what the logs seen explain (where logs expire all the
  time, it never is); every sixtieth poll in any case, because an expiry may hide a late log from ``count``.

When nothing happens, a poll is **one request**: page 1. It suffices when it is in order and shows a log older than the
time down to which the poll reads, or is the complete listing: one answer is one instant. What it does not show is read
like a window (:mod:`.read_direction`, :mod:`.window`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.audit_log_page import Log, Page
from airflow_provider_secoda.client._audit_logs.consistency import UnreliableOrderError, check_page_order
from airflow_provider_secoda.client._audit_logs.listing import Listing
from airflow_provider_secoda.client._audit_logs.open_listing import open_listing
from airflow_provider_secoda.client._audit_logs.output import EmittedLogs, TooManyLogsError, WindowReport, collect_logs
from airflow_provider_secoda.client._audit_logs.read_direction import read_in_direction
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client.errors import (
    SecodaError,
    SecodaIncompleteError,
    SecodaRequestError,
    SecodaServerError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client.filters import Filter

#: How far before the newest log every poll reads, in microseconds.
OVERLAP = 30_000_000
#: How late a log may be stored and still be found, in microseconds.
LATE = 900_000_000
#: How many polls are between two sweeps, when ``count`` gives reason for one, and in any case.
SWEEP_EVERY, SWEEP_ANYHOW = 10, 60
#: How many ids are remembered in any case, and at most; with more ids, late logs are found less far back.
KEEP_SEEN, MAX_SEEN = 5_000, 20_000
#: How many logs, and how many bytes of logs, are held in memory at most.
MAX_LOGS, MAX_BYTES = 10_000, 32 << 20
#: Where to begin in a listing without order, in microseconds before now; the last timestamp there is.
UNORDERED_BEGIN, END_OF_TIME = 3_600_000_000, 253_402_300_799_999_999
CONCURRENCY = 4


@dataclass(frozen=True)
class PollResult:
    """What one poll found.

    :param logs: the new logs, oldest first
    :param gap: set when there are too many new logs to be held: they begin at this timestamp and have to be read with
        :func:`read_span`. Then ``logs`` is empty, and the follower goes on from the newest log
    """

    logs: tuple[Log, ...] = ()
    gap: Instant | None = None


@dataclass
class AuditLogFollower:
    """Follows the end of the audit log from the first :meth:`poll` on, which returns no logs.

    A poll that fails changes nothing: the next one returns what it would have returned.

    :param filter: applied by the server
    """

    filter: Filter | None = None
    #: The newest ``created_at`` seen; None before the first poll, 0 in a listing without logs.
    newest: Instant | None = None
    #: Why all pages have to be read at each poll; empty where the listing has an order.
    unordered: str = ""
    #: How many pages the last poll read.
    pages: int = 0
    _listing: Listing | None = None
    #: Whether the order was seen on a listing of several pages; one page does not show it.
    _order_shown: bool = False
    _failed: bool = False
    #: From this timestamp on every log that was ever returned is in ``_seen``, so a log that is not there is new.
    _horizon: Instant = 0
    _seen: dict[str, Instant] = field(default_factory=dict)
    _count: int = 0
    #: The newest log at the last sweep, how many polls ago that was, and whether ``count`` gives reason for another.
    _swept: Instant = 0
    _polls: int = 0
    _unexplained: bool = False

    def poll(self, now: Instant) -> Flow[PollResult]:
        """Return the new logs.

        :param now: the present time, about; used only to begin in a listing without order
        :raises SecodaIncompleteError: when it cannot be proven that no log is missing
        """
        report = WindowReport()
        try:
            return (yield from self._poll(now, report))
        except SecodaError as error:
            # After an error the server may be a different one, so its order has to be seen again.
            self._order_shown, self._failed = False, True
            if isinstance(error, SecodaRequestError | SecodaServerError):
                self._listing = None
            raise
        finally:
            self.pages = report.pages

    def _poll(self, now: Instant, report: WindowReport) -> Flow[PollResult]:
        listing, page, reason = self._listing, None, ""
        if listing is not None:
            listing = replace(listing, report=report, count_may_be_capped=False, counts=[])  # those are of another poll
        if listing is not None or self._failed:
            # After a failure one request, sent once, finds out whether the server answers again.
            unsorted = Listing("created_at", self.filter, report)
            page = yield from (listing or unsorted).read_page(1, attempts=1 if self._failed else None)
            self._failed = False
        if page is None or listing is None or (page.total_pages > 1 and not self._order_shown):
            opened = yield from open_listing("created_at", self.filter, report)
            page, reason = opened.first_page, opened.unordered
            listing = None if reason else opened.listing
            self._order_shown = page.total_pages > 1
        self._listing = listing
        if page.count and not page.logs:
            raise SecodaIncompleteError(
                f"the audit log counts {page.count} logs, but its first page shows none. It is polled again"
            )
        try:
            if listing is not None:
                return (yield from self._poll_ordered(page, listing))
        except UnreliableOrderError as error:
            reason, self._listing = str(error), None
        return (yield from self._poll_unordered(now, reason, report))

    def _poll_ordered(self, page: Page, listing: Listing) -> Flow[PollResult]:
        """Read from page 1 on, as far as needed."""
        self.unordered = ""
        complete = page.total_pages <= 1 or not page.logs
        if complete and len(set(page.ids)) != page.count:
            raise UnreliableOrderError(f"the only page has {len(set(page.ids))} logs, but `count` is {page.count}")
        if not complete:
            check_page_order(listing, [page])
        read_from = 0 if complete else page.logs[-1].at + 1  # its last timestamp may go on on page 2
        if self.newest is None:
            return self._begin(page.logs, page.count, read_from)
        start, sweep_start = max(self._horizon, self.newest - OVERLAP), self._sweep_start()
        if self._polls >= (SWEEP_EVERY if self._unexplained else SWEEP_ANYHOW):
            start = min(start, sweep_start)
        logs: Iterable[Log] = page.logs
        if read_from > start:
            try:
                logs, read_from = (yield from self._read_older(page, listing, start)), start
            except TooManyLogsError:
                return self._begin(page.logs, page.count, read_from, gap=start)
        return self._find_new(logs, page.count, swept=read_from <= sweep_start)

    def _read_older(self, page: Page, listing: Listing, start: Instant) -> Flow[list[Log]]:
        """Read the logs from a timestamp on, of which page 1 does not show all."""
        end, logs = page.logs[0].at + 1, list[Log]()
        flow = read_in_direction(listing, page, (start, end), EmittedLogs(), concurrency=CONCURRENCY)
        result = yield from collect_logs(flow, logs, MAX_LOGS, MAX_BYTES)
        if not result.complete:  # the listing ended first; the other end shows whether it is truncated
            logs.clear()
            yield from read_span(start, end, self.filter, logs, listing.report)
        return logs

    def _poll_unordered(self, now: Instant, reason: str, report: WindowReport) -> Flow[PollResult]:
        """Read the complete listing, because it has no order."""
        begin = self.newest is None
        start = max(0, now - UNORDERED_BEGIN) if begin else self._sweep_start()
        logs: list[Log] = []
        try:
            yield from read_span(start, END_OF_TIME, self.filter, logs, report)
            read_from, too_many = start, False
        except TooManyLogsError:  # held are the newest; of the oldest timestamp among them logs may be missing
            read_from, too_many = min(log.at for log in logs) + 1, True
        self.unordered = reason if report.order == "everything" else ""
        if begin or too_many:
            return self._begin(logs, report.count, read_from, least=start, gap=None if begin else start)
        return self._find_new(logs, report.count, swept=True)

    def _sweep_start(self) -> Instant:
        """Return down to which timestamp a sweep reads, unless too many logs are there to be held in memory."""
        assert self.newest is not None
        start = max(self._horizon, self._swept - LATE)
        too_many = sum(at >= start for at in self._seen.values()) > MAX_LOGS // 2
        return max(self._horizon, self.newest - OVERLAP) if too_many else start

    def _begin(
        self, logs: Iterable[Log], count: int, read_from: Instant, *, least: Instant = 0, gap: Instant | None = None
    ) -> PollResult:
        """Take logs as known; from ``read_from`` on these are all of them."""
        self._seen = {log.id: log.at for log in logs}
        self.newest = max(self._seen.values(), default=least)
        self._swept, self._polls, self._unexplained, self._count = self.newest, 0, False, count
        self._horizon = read_from
        self._forget()
        return PollResult(gap=gap)

    def _find_new(self, logs: Iterable[Log], count: int, *, swept: bool) -> PollResult:
        """Return the logs that are not known, and remember them."""
        assert self.newest is not None
        shown = {log.id: log for log in logs if log.at >= self._horizon}
        new = [log for id_, log in shown.items() if id_ not in self._seen]
        # An outdated replica shows less than is known. Nothing is lost: the next poll returns its new logs.
        self._unexplained |= count != self._count + len(new)
        self._count = count
        self.newest = max([self.newest, *(log.at for log in new)])
        self._seen |= {log.id: log.at for log in new}
        self._polls += 1
        if swept:
            self._swept, self._polls, self._unexplained = self.newest, 0, False
        self._forget()
        return PollResult(tuple(sorted(new, key=lambda log: (log.at, log.id))))

    def _forget(self) -> None:
        """Raise the horizon when too many ids are remembered, and drop the ids of older logs."""
        if len(self._seen) > KEEP_SEEN:
            times = sorted(self._seen.values())
            self._horizon = max(self._horizon, min(times[-KEEP_SEEN], self._swept - LATE))
            if len(self._seen) > MAX_SEEN:
                self._horizon = max(self._horizon, times[-MAX_SEEN])
            self._seen = {id_: at for id_, at in self._seen.items() if at >= self._horizon}


def read_span(
    start: Instant, end: Instant, filter_: Filter | None, logs: list[Log], report: WindowReport
) -> Flow[None]:
    """Read the logs stored in ``[start, end)``.

    :param logs: filled during the read, in no particular order; after an error it has what could be read
    :raises TooManyLogsError: when there are more logs than are to be held in memory; read a shorter span
    :raises SecodaIncompleteError: when it cannot be proven that no log is missing
    """
    query = WindowQuery(start, end, "created_at", filter_, CONCURRENCY)
    yield from collect_logs(read_window(query, report), logs, MAX_LOGS, MAX_BYTES)
