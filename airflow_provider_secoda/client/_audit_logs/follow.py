"""AuditLogPoller the head of the audit log: what was stored since the last look, each log once.

The log is followed by ``created_at``, newest first. A log that arrives late carries an old ``logged_at``, but its
``created_at`` is taken to be the moment at which it was stored (it is not documented; the three timestamps are).
Several writers and long transactions make even that moment old by the time the log shows, so two nets are spread:

* every look goes down to a floor 30 s below the newest log known; what is new there is told by its id;
* now and then one goes down to 15 minutes below where the last such look began: at once where page 1 reaches that far;
  at every tenth look where ``count`` is not what the logs seen explain (it never is where logs expire all the time);
  at every sixtieth in any case, as an expiry may hide a late log from the count.

A quiet look is **one request**: page 1. It is believed when it is in order and shows a log from below the floor, or is
the whole listing: one answer is one instant. What it does not show is read with the care of a window (:mod:`.side`,
:mod:`.window`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_secoda.client._api.audit_log_page import Log, Page
from airflow_provider_secoda.client._api.flow import Emit, Flow, once
from airflow_provider_secoda.client._audit_logs.consistency import OrderError, check_order
from airflow_provider_secoda.client._audit_logs.listing import Report, View, open_listing
from airflow_provider_secoda.client._audit_logs.read_direction import EmittedLogs, WindowQuery, read_in_direction
from airflow_provider_secoda.client._audit_logs.window import read_window
from airflow_provider_secoda.client.errors import (
    SecodaError,
    SecodaIncompleteError,
    SecodaRequestError,
    SecodaServerError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client.filters import Filter

R = TypeVar("R")

#: How far below the newest log every look goes, in microseconds.
OVERLAP = 30_000_000
#: How late a log may be stored and still be found, in microseconds.
LATE = 900_000_000
#: How many looks lie between two that go down so far, when the count gives reason to, and in any case.
SWEEP_EVERY, SWEEP_ANYHOW = 10, 60
#: So many ids are remembered in any case, and at most so many; beyond that the nets reach less far.
KEEP_SEEN, MAX_SEEN = 5_000, 20_000
#: At most so many logs, or bytes of them, are held at once.
MAX_LOGS, MAX_BYTES = 10_000, 32 << 20
#: Where to begin in a listing without order, in microseconds before now; and the last moment there is.
UNORDERED_BEGIN, END_OF_TIME = 3_600_000_000, 253_402_300_799_999_999


class TooManyError(Exception):
    """A read brought more logs than are to be held at once."""


@dataclass(frozen=True)
class Look:
    """What one look brought.

    :param news: the logs that were not there before, oldest first
    :param gap: when so much is new that it has to be read piece by piece: the moment from which on; then ``news`` is
        empty, and the tail goes on from the newest log
    """

    news: tuple[Log, ...] = ()
    gap: Instant | None = None


@dataclass
class Tail:
    """The end of the audit log, followed from the first :meth:`look` on; that one brings nothing.

    A look that fails changes nothing: the next one brings what it would have brought. The server applies ``filter``.
    """

    filter: Filter | None = None
    #: The newest ``created_at`` that was seen; None before the first look, 0 in a listing without logs.
    newest: Instant | None = None
    #: Why the listing has to be read whole at each look; empty where it has an order.
    unordered: str = ""
    #: How many pages the last look read.
    pages: int = 0
    _view: View | None = None
    #: Whether the order was shown on a listing of several pages: one page has any order.
    _shown: bool = False
    _failed: bool = False
    #: From here on every log that ever showed is in ``_seen``: one that is not is new.
    _horizon: Instant = 0
    _seen: dict[str, Instant] = field(default_factory=dict)
    _count: int = 0
    #: The newest log when a look last went down all the way, how many looks ago, and whether another is wanted.
    _swept: Instant = 0
    _looks: int = 0
    _alarmed: bool = False

    def look(self, now: Instant) -> Flow[Look]:
        """Return what is new.

        :param now: about the present time; used only to begin in a listing without order
        :raises SecodaIncompleteError: when it cannot be proven that nothing is missing
        """
        report = Report()
        try:
            return (yield from self._look(now, report))
        except SecodaError as error:
            # The server may be another one when it is back: its order is shown anew.
            self._shown, self._failed = False, True
            if isinstance(error, SecodaRequestError | SecodaServerError):
                self._view = None
            raise
        finally:
            self.pages = report.pages

    def _look(self, now: Instant, report: Report) -> Flow[Look]:
        page, reason = None, ""
        if self._view is not None or self._failed:
            call = (self._view or View("created_at", self.filter)).call(1)
            # After a failure one request, sent once, finds out whether the way is free again.
            page = yield from once(replace(call, attempts=1) if self._failed else call)
            report.pages += 1
            self._failed = False
        if page is None or self._view is None or (page.total_pages > 1 and not self._shown):
            opened = yield from open_listing("created_at", self.filter, report)
            self._view, page, reason = opened.view, opened.newest, opened.reason
            self._shown = page.total_pages > 1
        if page.count and not page.logs:
            raise SecodaIncompleteError(f"the audit log counts {page.count} logs, but its first page shows none")
        try:
            if self._view is not None:
                return (yield from self._look_from(page, self._view, report))
        except OrderError as error:
            reason, self._view = str(error), None
        return (yield from self._look_at_all(now, reason, report))

    def _look_from(self, page: Page, view: View, report: Report) -> Flow[Look]:
        """Look from page 1 down."""
        self.unordered = ""
        whole = page.total_pages <= 1 or not page.logs
        if whole and len(set(page.ids)) != page.count:
            raise OrderError(f"the only page holds {len(set(page.ids))} logs, but {page.count} are counted")
        if not whole:
            check_order(view, [page])
        reached = 0 if whole else page.logs[-1].at + 1  # a tie may go on behind the page's edge
        if self.newest is None:
            return self._begin(page, reached)
        start, deep = max(self._horizon, self.newest - OVERLAP), self._deep()
        if self._looks >= (SWEEP_EVERY if self._alarmed else SWEEP_ANYHOW):
            start = min(start, deep)
        logs: Iterable[Log] = page.logs
        if reached > start:
            try:
                logs, reached = (yield from self._read_down(page, view, start, report)), start
            except TooManyError:
                return self._begin(page, reached, gap=start)
        return self._take(logs, page.count, swept=reached <= deep)

    def _read_down(self, page: Page, view: View, start: Instant, report: Report) -> Flow[list[Log]]:
        """Read what page 1 does not show, down to a moment."""
        query = WindowQuery(start, page.logs[0].at + 1, "created_at", self.filter)
        logs: list[Log] = []
        side = yield from _gather(read_in_direction(view, page, query, EmittedLogs(), report), logs)
        if not side.complete:  # the listing ends above: that it is no cut takes more than one end to see
            logs.clear()
            yield from _gather(read_window(query, report), logs)
        return logs

    def _look_at_all(self, now: Instant, reason: str, report: Report) -> Flow[Look]:
        """Look through the whole listing, where its order cannot be had."""
        begin = self.newest is None
        start = max(0, now - UNORDERED_BEGIN) if begin else self._deep()
        logs: list[Log] = []
        try:
            yield from _gather(read_window(WindowQuery(start, END_OF_TIME, "created_at", self.filter), report), logs)
            reached, full = start, False
        except TooManyError:  # of what is held, newest first, all but the oldest tie is whole
            reached, full = min(log.at for log in logs) + 1, True
        self.unordered = reason if report.order == "everything" else ""
        if begin or full:
            page = Page(1, tuple(logs), report.count, report.total_pages)
            return self._begin(page, reached, least=start, gap=None if begin else start)
        return self._take(logs, report.count, swept=True)

    def _deep(self) -> Instant:
        """Return down to where a look goes that looks for late logs, too, unless too many lie there to be held."""
        assert self.newest is not None
        deep = max(self._horizon, self._swept - LATE)
        many = sum(at >= deep for at in self._seen.values()) > MAX_LOGS // 2
        return max(self._horizon, self.newest - OVERLAP) if many else deep

    def _begin(self, page: Page, reached: Instant, *, least: Instant = 0, gap: Instant | None = None) -> Look:
        """Take what is there as known, all of it from ``reached`` on."""
        self.newest = max((log.at for log in page.logs), default=least)
        self._swept, self._looks, self._alarmed, self._count = self.newest, 0, False, page.count
        self._horizon = reached
        self._seen = {log.id: log.at for log in page.logs}
        self._forget()
        return Look(gap=gap)

    def _take(self, logs: Iterable[Log], count: int, *, swept: bool) -> Look:
        """Tell the new logs from those known, and remember them."""
        assert self.newest is not None
        shown = {log.id: log for log in logs if log.at >= self._horizon}
        news = [log for id_, log in shown.items() if id_ not in self._seen]
        # A copy of the listing that lags shows less than was known: nothing is lost, as its news are in the next one.
        self._alarmed |= count != self._count + len(news)
        self._count = count
        self.newest = max([self.newest, *(log.at for log in news)])
        self._seen |= {log.id: log.at for log in news}
        self._looks += 1
        if swept:
            self._swept, self._looks, self._alarmed = self.newest, 0, False
        self._forget()
        return Look(tuple(sorted(news, key=lambda log: (log.at, log.id))))

    def _forget(self) -> None:
        """Raise the horizon where there are too many ids above it, and drop those below."""
        if len(self._seen) > KEEP_SEEN:
            moments = sorted(self._seen.values())
            self._horizon = max(self._horizon, min(moments[-KEEP_SEEN], self._swept - LATE))
            if len(self._seen) > MAX_SEEN:
                self._horizon = max(self._horizon, moments[-MAX_SEEN])
            self._seen = {id_: at for id_, at in self._seen.items() if at >= self._horizon}


def read_span(start: Instant, end: Instant, filter_: Filter | None, logs: list[Log], report: Report) -> Flow[None]:
    """Read what was stored in ``[start, end)``.

    :param logs: filled while reading, in no particular order; after an error it holds what could be read
    :raises TooManyError: when there is more than is to be held at once; a shorter span may do
    :raises SecodaIncompleteError: when it cannot be proven that nothing is missing
    """
    yield from _gather(read_window(WindowQuery(start, end, "created_at", filter_), report), logs)


def _gather(flow: Flow[R], logs: list[Log]) -> Flow[R]:
    """Keep what a flow emits, as long as it is not too much."""
    size, answer = 0, None
    try:
        while True:
            step = flow.send(answer)
            if isinstance(step, Emit):
                logs += step.value
                size += sum(len(log.raw) for log in step.value)
                if len(logs) > MAX_LOGS or size > MAX_BYTES:
                    raise TooManyError
                answer = None
            else:
                answer = yield step
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
