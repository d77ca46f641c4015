"""Read a window from one end of the listing, one page range after another.

Only a position is carried from one page range to the next: every log of the window before it is emitted. So a change
of the listing between two page ranges loses nothing. Each page range begins with a log from before that position,
which shows that no log was skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.consistency import Snapshot, UnreliableOrderError
from airflow_provider_secoda.client._audit_logs.listing_end import may_repeat
from airflow_provider_secoda.client._audit_logs.page_pairs import read_page_pair
from airflow_provider_secoda.client._audit_logs.search import Landmark, TurnError, check_direction, find_first_page
from airflow_provider_secoda.client._audit_logs.snapshot import read_snapshot
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._audit_logs.listing import Listing
    from airflow_provider_secoda.client._audit_logs.output import EmittedLogs

#: How many pages a page range has at first, which is also the most, and how many bytes of logs it may hold.
MAX_PAGES, MAX_BYTES = 64, 8 << 20
#: How many pairs of pages are read before longer page ranges are tried again.
PAIRS = 8
#: How often to step back one page because logs moved to earlier pages.
MAX_STEPS_BACK = 100
#: How many page ranges in a row may emit nothing.
MAX_WITHOUT_PROGRESS = 12


@dataclass(frozen=True)
class DirectionResult:
    """How far reading from one end got: to the end of the window, or to the end of the listing."""

    #: Every log of the window before this position is emitted.
    emitted_before: int
    #: Whether all of the window is read; otherwise the listing ended first, or ``turn`` is set.
    complete: bool = False
    #: Why the rest is better read in the opposite order.
    turn: TurnError | None = None
    #: The last page of the listing, when it ended first.
    last_page: Page | None = None
    #: The logs of the last timestamp in the listing; all of them, if it is in the window. Those from ``emitted_before``
    #: on are not emitted: where the listing is truncated, more logs of this timestamp may follow.
    last_logs: tuple[Log, ...] = ()
    page_size: int = 0
    #: Whether the last page may be a repetition of an earlier one, as far as was read.
    may_repeat: bool = False


def read_in_direction(
    listing: Listing,
    first_page: Page,
    window: tuple[Instant, Instant],
    emitted: EmittedLogs,
    *,
    concurrency: int,
    landmarks: Sequence[Landmark] = (),
    may_turn: bool = False,
    pairs: bool = False,
    prove_end: bool = False,
) -> Flow[DirectionResult]:
    """Emit the logs of a window, from the first page of the listing as far as the listing goes.

    :param window: half-open ``[start, end)``
    :param landmarks: about where some logs are; makes the search faster
    :param may_turn: whether to return when the opposite order is better
    :param pairs: whether to begin with pairs of pages
    :param prove_end: whether to read more pages until they show that the end of the listing is not a repetition
    """
    emitted_before, end = listing.position_range(*window)
    if not first_page.logs:
        return DirectionResult(emitted_before, last_page=first_page)
    since = first_page.sequence - 1 if may_turn else None
    try:
        number, known = yield from find_first_page(
            listing, first_page, emitted_before, concurrency=concurrency, landmarks=landmarks, since=since
        )
        reader = PageRangeReader(listing, first_page, known, concurrency, since, pairs=pairs)
        del known
        steps_back = 0
        while True:
            snapshot = yield from reader.read(number, end)
            if snapshot is None:
                first_page = yield from listing.read_page(1)
                if not first_page.logs:
                    return DirectionResult(emitted_before, last_page=first_page)
                number, reader.known = yield from find_first_page(
                    listing, first_page, emitted_before, concurrency=concurrency, since=since
                )
                continue
            logs = snapshot.logs
            repeated = snapshot.at_end and (yield from may_repeat(listing, snapshot))
            if begins_late(listing, snapshot.pages[0], emitted_before, may_turn=may_turn) or (repeated and prove_end):
                steps_back += 1
                if steps_back > MAX_STEPS_BACK:
                    raise SecodaIncompleteError(
                        f"logs move to pages before page {number} faster than pages can be read, or more than "
                        f"{MAX_STEPS_BACK} pages at the end of the listing have one timestamp. Run the task again "
                        "when fewer logs are being deleted"
                    )
                number, reader.known = number - 1, {}
                continue
            last = listing.position(logs[-1].at)
            emit_before = min(end, last)
            listing.report.record_verified(listing.sort, snapshot.pages)
            yield from emitted.emit(listing.between(logs, emitted_before, emit_before))
            if last >= end:
                return DirectionResult(end, complete=True)
            progress, emitted_before = emit_before > emitted_before, max(emitted_before, emit_before)
            if snapshot.at_end:
                last_logs = tuple(log for log in logs if listing.position(log.at) == last)
                return DirectionResult(
                    emitted_before,
                    last_page=snapshot.pages[-1],
                    last_logs=last_logs,
                    page_size=len(first_page.logs),
                    may_repeat=repeated,
                )
            next_number, known = _next_page(listing, snapshot, number, emitted_before)
            reader.adapt(snapshot, progress=progress, moved_on=next_number > number)
            number, reader.known = next_number, known
            del snapshot, logs, known  # or two page ranges would be held in memory at once
    except TurnError as turn:
        return DirectionResult(emitted_before, turn=turn)


def begins_late(listing: Listing, page: Page, emitted_before: int, *, may_turn: bool) -> bool:
    """Return whether logs between the last position and a page range may be on an earlier page.

    :param page: the first page of the page range
    :raises TurnError: oldest first, when logs expire, or when there is no earlier page: then only the end of the
        listing in the opposite order shows whether the history begins there or the listing is truncated
    """
    if listing.position(page.logs[0].at) < emitted_before:
        return False
    if may_turn and listing.oldest_first:
        if page.number == 1:
            raise TurnError("the listing begins within the window", [page])
        raise TurnError("logs moved to earlier pages", [page], busy=True, pairs=True)
    return page.number > 1


def _next_page(listing: Listing, snapshot: Snapshot, number: int, emitted_before: int) -> tuple[int, dict[int, Page]]:
    """Return with which page the next page range begins, and the page, if it was read.

    :param number: with which page the last page range began
    """
    last = snapshot.pages[-1]
    mark = Landmark.of(listing, last)
    if mark.first < mark.last < emitted_before:
        # Many logs have arrived since the search, so there are more pages in front of the position. If there are
        # fewer than the timestamps suggest, the reader steps back.
        skipped = min(int(mark.pages_to(emitted_before)) - 1, last.total_pages - last.number)
        if skipped > 0:
            return last.number + skipped, {}
    before = [page for page in snapshot.pages if listing.position(page.logs[0].at) < emitted_before]
    if not before:
        return number, {}
    page = max(before, key=lambda page: page.number)
    return page.number, {page.number: page}


class PageRangeReader:
    """Reads page ranges: longer ones while the listing is stable, shorter ones while it changes.

    :param known: pages that were read already and can be used in the next page range, by number
    :param concurrency: how many requests may be in flight
    :param since: how many answers had arrived before those that show how the listing moves; None: do not turn
    :param pairs: whether to begin with pairs of pages
    """

    def __init__(
        self,
        listing: Listing,
        first_page: Page,
        known: dict[int, Page],
        concurrency: int,
        since: int | None = None,
        *,
        pairs: bool = False,
    ) -> None:
        self.known = known
        self._listing = listing
        self._concurrency = concurrency
        self._since = since
        self._page_size = len(first_page.logs)
        page_bytes = sum(len(log.raw) for log in first_page.logs)
        self._max_pages = max(2, min(MAX_PAGES, MAX_BYTES // page_bytes))
        #: How many pages the next page range has at most.
        self._pages = self._max_pages
        #: How many page ranges are still read as pairs.
        self._pairs = PAIRS if pairs else 0
        #: How many page ranges were not accepted, and how many of them because they were out of order.
        self._rejected = 0
        self._order_errors = 0
        self._without_progress = 0

    def read(self, number: int, end: int) -> Flow[Snapshot | None]:
        """Read the page range that begins with a page, with as many pages as the changes of the listing allow.

        :param end: the position at which the window ends
        :return: None when the first page does not exist any more
        :raises TurnError: when the opposite order is better
        """
        while True:
            check_direction(self._listing, self._since, self.known.values())
            del self._listing.recent[: -2 * self._max_pages]
            if self._pairs:
                known, self.known = self.known.get(number), {}
                return (yield from read_page_pair(self._listing, number, end, page_size=self._page_size, known=known))
            try:
                snapshot = yield from read_snapshot(
                    self._listing,
                    number,
                    end,
                    max_pages=self._pages,
                    concurrency=self._concurrency,
                    known=self.known,
                    page_size=self._page_size,
                    since=self._since,
                )
            except UnreliableOrderError:
                # Once may be an incomplete page or an outdated replica; twice is the listing.
                self._order_errors += 1
                if self._order_errors > 1:
                    raise
                snapshot = None
            self.known = {}
            if snapshot is not None:
                self._listing.forget_before(self._listing.position(snapshot.pages[-1].logs[0].at))
                self._since = None if self._since is None else len(self._listing.answers)
                return snapshot
            self._rejected += 1
            if self._pages <= 2 or self._rejected > 1:  # noqa: PLR2004
                self._pairs = PAIRS
            else:
                self._pages = max(2, self._pages // 4)

    def adapt(self, snapshot: Snapshot, *, progress: bool, moved_on: bool) -> None:
        """Choose the length of the next page range from what the last one achieved.

        :param snapshot: the last page range
        :param progress: whether it emitted logs or moved the position
        :param moved_on: whether the next page range begins with a later page
        :raises SecodaIncompleteError: when too many page ranges in a row made no progress
        """
        if self._pairs:
            # When one timestamp fills both pages, only a longer page range shows where it ends.
            left = PAIRS if len(snapshot.logs) < sum(len(page.logs) for page in snapshot.pages) else self._pairs - 1
            self._pairs = left if progress or moved_on else 0
        elif progress or moved_on:
            self._pages = min(self._pages * 2, self._max_pages)
        else:
            # When one timestamp fills the complete page range, only a longer one can emit its logs.
            self._pages *= 2
        self._without_progress = 0 if progress else self._without_progress + 1
        if self._without_progress > MAX_WITHOUT_PROGRESS:
            raise SecodaIncompleteError(
                f"{self._without_progress} reads in a row returned no new log: the listing changes as fast as it is "
                "read, or very many logs have the same timestamp. Run the task again, or use a narrower `filter`"
            )
