"""Follow the head of the audit log: at each poll, return the logs that were stored since the last one, each once.

The log is followed by ``created_at``, newest first. A log that arrives late has an old ``logged_at``, but its
``created_at`` is assumed to be the time when it was stored. (The API documents the three timestamps, not this.) With
several writers and long transactions, even that time may be in the past when the log becomes visible. So late logs are
found in two ways:

* Every poll reads down to 30 s before the newest known log. A log there is new if its id is.
* Some polls, called *sweeps* here, read down to 15 minutes before the newest log of the last sweep: the first poll;
  every poll whose page 1 reaches that far; one in ten minutes where ``count`` is not what the logs seen explain (where
  logs expire all the time, it never is); one in half an hour in any case, because an expiry may hide a late log from
  ``count``.

When nothing happens, a poll is **one request**: page 1. It suffices when it is in order and shows a log older than the
time down to which the poll reads, or is the complete listing: one answer is one instant. What it does not show is read
like a window (``_audit_logs/read_direction.py``, ``_audit_logs/window.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.audit_log_page import Log, Page
from airflow_provider_secoda.client._audit_logs.consistency import (
    UnreliableOrderError,
    check_only_page,
    check_page_order,
)
from airflow_provider_secoda.client._audit_logs.listing import Listing
from airflow_provider_secoda.client._audit_logs.open_listing import open_listing
from airflow_provider_secoda.client._audit_logs.output import EmittedLogs, TooManyLogsError, WindowReport, collect_logs
from airflow_provider_secoda.client._audit_logs.read_direction import read_in_direction
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._following.known_logs import LATE, KnownLogs
from airflow_provider_secoda.client.errors import (
    SecodaError,
    SecodaIncompleteError,
    SecodaRequestError,
    SecodaServerError,
)

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client.filters import Filter

#: How many logs, and how many bytes of logs, are held in memory at most.
MAX_LOGS, MAX_BYTES = 10_000, 32 << 20
#: Where to begin in a listing without order, in microseconds before now; the last timestamp there is.
UNORDERED_BEGIN, END_OF_TIME = 3_600_000_000, 253_402_300_799_999_999
#: After this many incomplete polls in a row page 1 has to do.
MAX_INCOMPLETE = 5
CONCURRENCY = 4


@dataclass(frozen=True)
class PollResult:
    """What one poll found.

    :param logs: the new logs, oldest first
    :param gap: set when there are too many new logs to be held: they begin at this timestamp and have to be read with
        :func:`read_span`. Then ``logs`` is empty, and the follower goes on from the newest log
    :param unread: why only page 1 was read; logs that are stored late, before :attr:`KnownLogs.horizon`, are not
        found then
    """

    logs: tuple[Log, ...] = ()
    gap: Instant | None = None
    unread: str = ""


@dataclass
class AuditLogFollower:
    """Follows the end of the audit log from the first :meth:`poll` on, which returns no logs.

    A poll that fails changes nothing: the next one returns what it would have returned.

    :param filter: applied by the server
    """

    filter: Filter | None = None
    #: Why all pages have to be read at each poll; empty where the listing has an order.
    unordered: str = ""
    #: How many pages the last poll read.
    pages: int = 0
    #: The logs that earlier polls returned or saw; None before the first poll.
    known: KnownLogs | None = None
    _listing: Listing | None = None
    #: Whether the order was seen on a listing of several pages; one page does not show it.
    _order_shown: bool = False
    _failed: bool = False
    #: Why the last polls failed, if their reads were incomplete.
    _incomplete: tuple[str, ...] = ()

    def poll(self, now: Instant) -> Flow[PollResult]:
        """Return the new logs.

        :param now: the present time, about: it decides when to sweep, and where to begin in a listing without order
        :raises SecodaIncompleteError: when it cannot be proven that no log is missing
        """
        report = WindowReport()
        try:
            result = yield from self._poll(now, report)
        except SecodaError as error:
            self._incomplete = (*self._incomplete, str(error)) if isinstance(error, SecodaIncompleteError) else ()
            # After an error the server may be a different one, so its order has to be seen again.
            self._order_shown, self._failed = False, True
            if isinstance(error, SecodaRequestError | SecodaServerError):
                self._listing = None
            raise
        finally:
            self.pages = report.pages
        self._incomplete = ()
        return result

    def _poll(self, now: Instant, report: WindowReport) -> Flow[PollResult]:
        listing, page, reason = self._listing, None, ""
        if listing is not None:
            # The answers and pages are of another poll: logs that have arrived since are not on them.
            listing = replace(listing, report=report, count_may_be_capped=False, answers=[], recent=[])
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
                return (yield from self._poll_ordered(now, page, listing))
        except UnreliableOrderError as error:
            reason, self._listing = str(error), None
        return (yield from self._poll_unordered(now, reason, report))

    def _poll_ordered(self, now: Instant, page: Page, listing: Listing) -> Flow[PollResult]:
        """Read from page 1 on, as far as needed."""
        self.unordered = ""
        complete = page.total_pages <= 1 or not page.logs
        if complete:
            check_only_page(page)
        else:
            check_page_order(listing, [page])
        read_from = 0 if complete else page.logs[-1].at + 1  # its last timestamp may go on on page 2
        known, logs = self.known, list(page.logs)
        start = known.start(now) if known else max([0, *(log.at - LATE for log in logs[:1])])
        if read_from > start and len(self._incomplete) < MAX_INCOMPLETE:
            logs, read_from = yield from self._read_older(page, listing, start)
        if known is None or read_from > start:
            return self._begin(now, logs, page.count, read_from)
        return PollResult(known.find_new(now, logs, page.count, read_from))

    def _read_older(self, page: Page, listing: Listing, start: Instant) -> Flow[tuple[list[Log], Instant]]:
        """Read the logs from a timestamp on, of which page 1 does not show all; return what :meth:`_hold` returns."""
        end, logs = page.logs[0].at + 1, list[Log]()
        flow = read_in_direction(listing, page, (start, end), EmittedLogs(), concurrency=CONCURRENCY)
        try:
            result = yield from collect_logs(flow, logs, MAX_LOGS, MAX_BYTES)
        except TooManyLogsError:
            return logs, min(log.at for log in logs) + 1
        if result.complete:
            return logs, start
        return (yield from self._hold(start, end, listing.report))  # the other end shows whether it is truncated

    def _poll_unordered(self, now: Instant, reason: str, report: WindowReport) -> Flow[PollResult]:
        """Read the complete listing, because it has no order."""
        start = self.known.sweep_start if self.known else max(0, now - UNORDERED_BEGIN)
        logs, read_from = yield from self._hold(start, END_OF_TIME, report)
        self.unordered = reason if report.order == "everything" else ""
        if self.known is None or read_from > start:
            newest = report.history_to or 0  # maybe from before the start; then there are no logs between them
            return self._begin(now, logs, report.count, read_from if logs else newest + 1, newest)
        return PollResult(self.known.find_new(now, logs, report.count, read_from))

    def _begin(self, now: Instant, logs: list[Log], count: int, read_from: Instant, newest: Instant = 0) -> PollResult:
        """Take logs as known, at the beginning and when there are too many new ones to be held."""
        gap = None if self.known is None else self.known.sweep_start
        self.known = KnownLogs(now, logs, count, read_from, newest)
        return PollResult(gap=gap, unread=self._incomplete[-1] if len(self._incomplete) >= MAX_INCOMPLETE else "")

    def _hold(self, start: Instant, end: Instant, report: WindowReport) -> Flow[tuple[list[Log], Instant]]:
        """Read a span; return its logs, and from which timestamp on these are all: its start, if they are not too many.

        Otherwise these are the newest ones, and of the oldest timestamp among them some may be missing.
        """
        logs: list[Log] = []
        try:
            yield from read_span(start, end, self.filter, logs, report)
        except TooManyLogsError:
            newest_first = report.order in {"newest_first", "everything"}  # otherwise newer ones are missing
            return logs, (min if newest_first else max)(log.at for log in logs) + 1
        return logs, start


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
