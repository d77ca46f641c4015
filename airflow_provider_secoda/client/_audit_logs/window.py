"""Read a half-open time window from a listing of numbered pages: every log once, or an error.

How:

1. *Open* the listing: find a sort that the server honours (:mod:`.open_listing`).
2. *Find* the page on which the window begins (:mod:`.search`).
3. Read one *page range* after another, newest first; each is proven to fit together (:mod:`.read_direction`,
   :mod:`.snapshot`).
4. When the *end* of the listing comes before the end of the window, decide whether the history begins there or the
   listing is truncated (:mod:`.listing_end`).
5. When it is truncated, read the rest from the *other end*. What neither end shows is an error.
6. When the order is not reliable, read all pages *unordered* until the logs are proven complete (:mod:`.unordered`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client._audit_logs.consistency import UnreliableOrderError
from airflow_provider_secoda.client._audit_logs.listing_end import ListingEnd, check_listing_end, compare_with_opposite
from airflow_provider_secoda.client._audit_logs.open_listing import OpenedListing, open_listing
from airflow_provider_secoda.client._audit_logs.output import EmittedLogs, WindowReport
from airflow_provider_secoda.client._audit_logs.read_direction import DirectionResult, read_in_direction
from airflow_provider_secoda.client._audit_logs.search import Landmark
from airflow_provider_secoda.client._audit_logs.unordered import read_everything
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Page, TimestampField
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.listing import Listing
    from airflow_provider_secoda.client.filters import Filter

#: How often the order of reading is reversed at most.
MAX_TURNS = 3

__all__ = ["WindowQuery", "format_window", "read_window"]


@dataclass(frozen=True)
class WindowQuery:
    """A window to read: half-open ``[start, end)`` over one of the timestamps.

    :param concurrency: how many requests may be in flight
    """

    start: Instant
    end: Instant
    timestamp_field: TimestampField = "logged_at"
    filter: Filter | None = None
    concurrency: int = 4


def read_window(query: WindowQuery, report: WindowReport) -> Flow[None]:
    """Emit lists of logs until the window is complete.

    :param report: filled during the read
    :raises SecodaIncompleteError: when it cannot be proven that no log is missing
    """
    opened = yield from open_listing(query.timestamp_field, query.filter, report)
    yield from _WindowRead(query, report, opened).read()


class _WindowRead:
    """One read of a window."""

    def __init__(self, query: WindowQuery, report: WindowReport, opened: OpenedListing) -> None:
        self._query = query
        self._report = report
        self._opened = opened
        self._listing = opened.listing
        self._emitted = EmittedLogs()
        self._oldest: Instant | None = None

    def read(self) -> Flow[None]:
        unordered = self._opened.unordered
        if not unordered:
            try:
                yield from self._read_in_order()
            except UnreliableOrderError as error:
                unordered = str(error)
        if unordered:
            yield from self._read_unordered(unordered)
        self._emitted.check_unique()

    def _read_in_order(self) -> Flow[None]:
        opened, opposite = self._opened.first_page, self._opened.opposite
        if opposite is not None and opposite.logs:
            self._set_oldest(opposite.logs[0].at)
        if opened.logs:
            self._report.history_to = opened.logs[0].at
        self._report.sort = None if self._listing.sort is None else self._listing.sort.text
        rest = (self._query.start, self._query.end)
        first_page: Page | None = None
        # A late log at the end makes a complete listing appear truncated; read once more before believing it.
        for last_attempt in (False, True):
            if first_page is None:
                result, rest = yield from self._read_and_turn(rest)
            else:
                result = yield from self._read_from(self._listing, first_page, rest)
            if result.complete:
                break
            listing = self._listing
            result, rest, end = yield from self._check_end(result, rest)
            self._see_other_end(end)
            if not end.truncated:
                remaining = (log for log in result.last_logs if listing.position(log.at) >= result.emitted_before)
                yield from self._emitted.emit(remaining)
                break
            rest = listing.window_from(result.emitted_before, *rest)
            if rest[0] >= rest[1]:
                break
            if last_attempt:
                yield from self._read_from_other_end(rest, result, end.truncated)
                break
            first_page = yield from listing.read_page(1)
        if self._begins_before_history() and self._query.filter is not None:
            # The oldest log that matches the filter says nothing about the history of the workspace.
            listing = replace(self._listing, filter=None)
            page = yield from (listing if listing.oldest_first else listing.reversed()).read_page(1)
            self._set_oldest(page.logs[0].at if page.logs else None)
        self._warn_of_missing_history()

    def _check_end(
        self, result: DirectionResult, rest: tuple[Instant, Instant]
    ) -> Flow[tuple[DirectionResult, tuple[Instant, Instant], ListingEnd]]:
        """Check what the end of the listing means; read more pages where its last page may be a repetition.

        :param rest: the part of the window that was to be read
        :return: the last result, the part of the window that was to be read then, and what its end means
        """
        end = yield from check_listing_end(self._listing, result)
        if end.truncated or not result.may_repeat:
            return result, rest, end
        rest = self._listing.window_from(result.emitted_before, *rest)
        first_page = yield from self._listing.read_page(1)
        result = yield from self._read_from(self._listing, first_page, rest, prove_end=True)
        end = ListingEnd() if result.complete else (yield from check_listing_end(self._listing, result))
        return result, rest, end

    def _read_and_turn(self, rest: tuple[Instant, Instant]) -> Flow[tuple[DirectionResult, tuple[Instant, Instant]]]:
        """Read from one end of the listing; turn round when the other end is better.

        :return: the result in the last order, and the part of the window that was to be read in it
        """
        newest = first_page = self._opened.first_page
        opposite = self._opened.opposite
        pages: tuple[Page, ...] = () if opposite is None else (opposite,)
        turns, pairs = 0, False
        if opposite is not None and may_turn(self._query, self._listing, opposite):
            turns = MAX_TURNS
            if shows_end(self._query, newest):
                self._listing, self._report.order = self._listing.reversed(), "oldest_first"
                first_page, pages = opposite, (newest,)
        while True:
            listing = self._listing
            landmarks = [Landmark.of_opposite(listing, page) for page in pages if page.logs]
            result = yield from self._read_from(listing, first_page, rest, landmarks, may_turn=turns > 0, pairs=pairs)
            if result.turn is None:
                return result, rest
            turns, pairs = 0 if result.turn.busy else turns - 1, result.turn.pairs
            pages = (first_page, *result.turn.pages)
            before, rest = rest, listing.window_from(result.emitted_before, *rest)
            if self._report.turns or not listing.oldest_first:
                newest = yield from (listing.reversed() if listing.oldest_first else listing).read_page(1)
            first_page = newest
            if not listing.oldest_first:
                if not shows_end(self._query, newest):
                    turns, pages = 0, ()
                    continue
                pages = (*pages, newest)
                first_page = yield from listing.reversed().read_page(1)
            self._listing = listing.reversed()
            order = "oldest_first" if self._listing.oldest_first else "newest_first"
            self._report.turns.append(f"{order.replace('_', ' ')}: {result.turn}")
            self._report.order = order if rest == before and self._report.order != "both_ends" else "both_ends"

    def _read_from(
        self,
        listing: Listing,
        first_page: Page,
        window: tuple[Instant, Instant],
        landmarks: Sequence[Landmark] = (),
        *,
        may_turn: bool = False,
        pairs: bool = False,
        prove_end: bool = False,
    ) -> Flow[DirectionResult]:
        return read_in_direction(
            listing,
            first_page,
            window,
            self._emitted,
            concurrency=self._query.concurrency,
            landmarks=landmarks,
            may_turn=may_turn,
            pairs=pairs,
            prove_end=prove_end,
        )

    def _read_from_other_end(self, window: tuple[Instant, Instant], shown: DirectionResult, reason: str) -> Flow[None]:
        """Read the part of the window that a truncated listing does not show, in the opposite order.

        :param shown: what the listing showed before its end
        """
        self._listing = replace(self._listing, count_may_be_capped=True)
        first_page = yield from self._first_page_of_other_end(shown, reason)
        opposite = self._listing.reversed()
        self._report.order = "both_ends"
        self._report.warn(f"the listing is truncated ({reason}): the rest is read in the opposite order")
        result = yield from self._read_from(opposite, first_page, window)
        if not result.complete:
            missing = opposite.window_from(result.emitted_before, *window)
            raise SecodaIncompleteError(
                f"the listing is truncated ({reason}), and in the opposite order it ends before "
                f"{format_instant(missing[0])}: logs of {format_window(*missing)} cannot be reached. Use a `filter` "
                "that matches fewer logs; it is sent unchanged, so it may use any operator that Secoda supports"
            )

        # The page before the read may have come from an outdated replica.
        yield from self._first_page_of_other_end(shown, reason)

    def _first_page_of_other_end(self, shown: DirectionResult, reason: str) -> Flow[Page]:
        end = yield from compare_with_opposite(self._listing, shown)
        self._see_other_end(end)
        if end.truncated and end.opposite is not None:
            return end.opposite
        raise SecodaIncompleteError(
            f"the listing is truncated ({reason}), and in the opposite order it begins with logs that it showed "
            "already: the server shows the other logs in neither order. Use a `filter` that matches fewer logs"
        )

    def _read_unordered(self, reason: str) -> Flow[None]:
        first_page = self._opened.first_page
        self._report.order = "everything"
        self._report.warn(
            f"the order of the listing is not reliable ({reason}): all {first_page.total_pages} pages are read"
        )
        logs, oldest = yield from read_everything(
            replace(self._listing, sort=None, order_shown=True),
            (self._query.start, self._query.end),
            first_page,
            concurrency=self._query.concurrency,
        )
        repeats = yield from self._emitted.emit_new(sorted(logs, key=lambda log: (-log.at, log.id)))
        self._report.repeats_dropped += repeats
        self._set_oldest(oldest)
        self._warn_of_missing_history()

    def _see_other_end(self, end: ListingEnd) -> None:
        if end.opposite is not None and not self._listing.oldest_first:
            self._set_oldest(end.opposite.logs[0].at)

    def _set_oldest(self, at: Instant | None) -> None:
        """Note where the history begins."""
        self._oldest = self._report.history_from = at

    def _begins_before_history(self) -> bool:
        return self._oldest is None or self._oldest >= self._query.start

    def _warn_of_missing_history(self) -> None:
        if self._begins_before_history():
            begins = "is empty" if self._oldest is None else f"begins at {format_instant(self._oldest)}"
            self._report.warn(
                f"the listing {begins}, so it does not show what happened before that in "
                f"{format_window(self._query.start, self._query.end)}: the workspace is newer, or older logs have "
                "expired"
            )


def may_turn(query: WindowQuery, listing: Listing, oldest: Page) -> bool:
    """Return whether the window may be read in either order.

    Where the window has the oldest logs, only the end of the listing newest first shows whether it is truncated.

    :param oldest: page 1 oldest first
    """
    if listing.count_may_be_capped or not listing.order_shown or not oldest.logs:
        return False
    return oldest.logs[0].at < query.start


def shows_end(query: WindowQuery, newest: Page) -> bool:
    """Return whether a log is as new as the end of the window: otherwise more logs may arrive within the window.

    :param newest: page 1 newest first
    """
    return bool(newest.logs) and newest.logs[0].at >= query.end


def format_window(start: Instant, end: Instant) -> str:
    """Return a half-open window as text."""
    return f"[{format_instant(start)}, {format_instant(end)})"
