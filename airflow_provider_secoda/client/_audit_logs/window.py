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
from airflow_provider_secoda.client._audit_logs.listing_end import check_listing_end, compare_with_opposite
from airflow_provider_secoda.client._audit_logs.open_listing import OpenedListing, open_listing
from airflow_provider_secoda.client._audit_logs.output import EmittedLogs, WindowReport
from airflow_provider_secoda.client._audit_logs.read_direction import DirectionResult, read_in_direction
from airflow_provider_secoda.client._audit_logs.unordered import read_everything
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Page, TimestampField
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.listing import Listing
    from airflow_provider_secoda.client.filters import Filter

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
        first_page, opposite = self._opened.first_page, self._opened.opposite
        if opposite is not None and opposite.logs:
            self._set_oldest(opposite.logs[0].at)
        if first_page.logs:
            self._report.history_to = first_page.logs[0].at
        self._report.sort = None if self._listing.sort is None else self._listing.sort.text
        listing, rest = self._listing, (self._query.start, self._query.end)
        # A late log at the end makes a complete listing appear truncated; read once more before believing it.
        for last_attempt in (False, True):
            last_position = None if self._oldest is None else listing.position(self._oldest)
            result = yield from self._read_from(listing, first_page, rest, last_position)
            if result.complete:
                break
            end = yield from check_listing_end(listing, result)
            if end.opposite is not None:
                self._set_oldest(end.opposite.logs[0].at)
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
            page = yield from replace(listing, filter=None).reversed().read_page(1)
            self._set_oldest(page.logs[0].at if page.logs else None)
        self._warn_of_missing_history()

    def _read_from(
        self, listing: Listing, first_page: Page, window: tuple[Instant, Instant], last_position: int | None = None
    ) -> Flow[DirectionResult]:
        return read_in_direction(
            listing,
            first_page,
            window,
            self._emitted,
            concurrency=self._query.concurrency,
            last_position=last_position,
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
        if end.truncated and end.opposite is not None:
            return end.opposite
        raise SecodaIncompleteError(
            f"the listing is truncated ({reason}), and in the opposite order it begins with logs that it showed "
            "already: the server shows the oldest logs in neither order. Use a `filter` that matches fewer logs"
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


def format_window(start: Instant, end: Instant) -> str:
    """Return a half-open window as text."""
    return f"[{format_instant(start)}, {format_instant(end)})"
