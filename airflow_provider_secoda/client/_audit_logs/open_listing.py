"""Open the listing: find a sort that the server honours, and read page 1 of both ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.listing import Listing
from airflow_provider_secoda.client.errors import SecodaError, SecodaRequestError, SecodaServerError
from airflow_provider_secoda.client.filters import Filter, Sort

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Page, TimestampField
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.output import WindowReport

#: A ``count`` of exactly this may be a limit of the server (another endpoint of the API has a limit of 10,000).
LIKELY_CAPS = frozenset({1_000, 10_000, 100_000, 1_000_000})
#: How often both ends are read again at most, until two reads in a row agree.
_CONFIRMATIONS = 4
#: A page with this many different timestamps is not in order by chance.
_MIN_TIMESTAMPS = 5


@dataclass(frozen=True)
class OpenedListing:
    """An opened listing.

    :param listing: sorted newest first; without a sort when the server honours none
    :param first_page: page 1 of ``listing``
    :param opposite: page 1 in the opposite order; None without a sort
    :param unordered: why the server's order is not reliable; empty when it is
    """

    listing: Listing
    first_page: Page
    opposite: Page | None = None
    unordered: str = ""


def open_listing(timestamp_field: TimestampField, filter_: Filter | None, report: WindowReport) -> Flow[OpenedListing]:
    """Find a sort that the server honours, and read page 1 newest first *and* oldest first.

    Only both pages together show whether the server honours the sort or ignores it; they also show where the history
    begins. A ``tie_breaker`` is tried first. It is left out when the server refuses it or sorts wrongly with it.
    """
    unordered = ""
    for tie_breaker in (True, False):
        listing = Listing(timestamp_field, filter_, report, Sort(timestamp_field, "desc", tie_breaker))
        ends = yield from listing.read_both_ends()
        refused = next((end for end in ends if isinstance(end, SecodaRequestError | SecodaServerError)), None)
        if refused is not None:
            unordered = f"the server refuses to sort by {timestamp_field} ({refused})"
            continue
        newest, oldest = _raise_errors(ends)
        listing = _with_counts(listing, newest)
        short = next(
            (page for page in (newest, oldest) if page.total_pages <= 1 and 0 < len(page.logs) < page.count), None
        )
        if short is None and max(newest.total_pages, oldest.total_pages) <= 1 and set(newest.ids) == set(oldest.ids):
            # One page holds the complete listing, so its order does not matter as long as it stays one page.
            return OpenedListing(replace(listing, order_shown=False), newest, oldest)
        if not listing.in_order(newest.logs) or not listing.reversed().in_order(oldest.logs):
            unordered = f"the server does not sort by {timestamp_field}"
        elif short is not None:
            unordered = f"the only page has {len(short.logs)} logs, but `count` is {short.count}"
        elif min(newest.total_pages, oldest.total_pages) > 1 and len(newest.logs) != len(oldest.logs):
            unordered = f"page 1 has {len(newest.logs)} logs newest first, but {len(oldest.logs)} oldest first"
        elif _are_opposite(newest, oldest) and (confirmed := (yield from _confirm(listing, newest, oldest))):
            return OpenedListing(listing, *confirmed)
        else:
            unordered = f"the server returns the same logs first for both directions of a sort by {timestamp_field}"
    listing = Listing(timestamp_field, filter_, report)
    first_page = yield from listing.read_page(1)
    return OpenedListing(_with_counts(listing, first_page), first_page, unordered=unordered)


def _with_counts(listing: Listing, first_page: Page) -> Listing:
    """Record what the first page says of the listing; return the listing with the care that its count demands."""
    listing.report.count, listing.report.total_pages = first_page.count, first_page.total_pages
    return replace(listing, count_may_be_capped=first_page.count in LIKELY_CAPS)


def _raise_errors(outcomes: list[Page | SecodaError]) -> list[Page]:
    pages: list[Page] = []
    for outcome in outcomes:
        if isinstance(outcome, SecodaError):
            raise outcome
        pages.append(outcome)
    return pages


def _are_opposite(newest: Page, oldest: Page) -> bool:
    """Return whether two first pages can be the two ends of a listing of several pages."""
    if not newest.logs or not oldest.logs:
        return False  # an empty first page does not show the order
    if newest.logs[0].at <= oldest.logs[0].at:
        return False
    disjoint = min(newest.count, oldest.count) >= len(newest.logs) + len(oldest.logs)
    return not disjoint or not set(newest.ids) & set(oldest.ids)


def _confirm(listing: Listing, newest: Page, oldest: Page) -> Flow[tuple[Page, Page] | None]:
    """Return two first pages that are the two ends of one listing, as the last answers show them, or None.

    A page with one timestamp does not show an order, and a page with few may be in order by chance. Two such pages
    also differ when the listing is in any other order and changed between the two answers. So both are read again
    until two reads in a row agree: a change that moved the listing on does not move it back.
    """
    pair = (newest, oldest)
    if all(len({log.at for log in page.logs}) >= _MIN_TIMESTAMPS for page in pair):
        return pair
    for _ in range(_CONFIRMATIONS):
        newest, oldest = _raise_errors((yield from listing.read_both_ends()))
        again = (newest, oldest)
        before, after = ([(page.count, *(log.at for log in page.logs)) for page in both] for both in (pair, again))
        # The ids may differ: a server may reorder logs of one timestamp in each answer. The counts of the two ends may
        # not: an outdated replica also shows other logs first.
        if before == after and newest.count == oldest.count:
            return again
        if not _are_opposite(*again) or any(len(a.logs) != len(b.logs) for a, b in zip(pair, again, strict=True)):
            return None
        pair = again
    return None
