"""Read consecutive pages so that they fit together as if the server had returned all of them at one instant.

The listing changes while it is read: logs arrive at its head or late in its middle, old logs expire at its end, and
each change moves the logs on all pages behind it by one place. A *page range*, which is a sequence of consecutive pages
requested in parallel, fits together when

1. the first and the last page, read again after all the others, show the same logs in the same places;
2. no log is on two of the pages, unless :mod:`.ties` shows that the server does not keep the order of its tie, or lists
   it twice;
3. the logs are in order from page to page, and every page except the last page of the listing is full;
4. ``count`` is the same in all these responses, and in all others since the oldest was requested.

In short: by (4) logs only move towards the last page, as others arrive and expire. When they do so between the reads of
two consecutive pages, a log is on both, which (2) excludes; by (1) they did not between the reads of the first and of
the last page. So no log is missing between two pages.
``docs/explanation/how_a_window_is_read.md`` has the proof.

While ``count`` falls, or when it may be capped, a deletion may move logs the other way: all pages are read once more
after that, and must be the same again. When ``count`` changes in the other direction, replicas that disagree have
responded, and the page range is not accepted. A deletion and an arrival between the same two responses leave ``count``
as it was: this is not detected, as it would take two reads of every page, always.

Where the listing changes too fast for this, two pages are read in turn instead (:mod:`.page_pairs`): they fit together
when the end of one is the beginning of the other, or when both are the same twice in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_secoda.client._api.flow import Call, Flow, answered
from airflow_provider_secoda.client._audit_logs.consistency import (
    Snapshot,
    UnreliableOrderError,
    check_only_page,
    check_page_order,
    check_page_sizes,
    make_snapshot,
    overlap,
    repeats,
    same_places,
)
from airflow_provider_secoda.client._audit_logs.gaps import cover_gaps, cover_moved_gaps, not_covered
from airflow_provider_secoda.client._audit_logs.search import TurnError, check_direction
from airflow_provider_secoda.client._audit_logs.ties import complete_ties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._audit_logs.listing import Listing


def read_snapshot(
    listing: Listing,
    first: int,
    end: int,
    *,
    max_pages: int,
    concurrency: int,
    known: Mapping[int, Page],
    page_size: int,
    since: int | None = None,
) -> Flow[Snapshot | None]:
    """Read pages from ``first`` on, up to the end of the window, of the listing, or ``max_pages`` pages.

    :param end: the position at which the window ends
    :param known: pages that were read before, by number; they are not requested again if they still fit
    :param page_size: how many logs a full page has
    :param since: how many answers had arrived before those that show how the listing moves; None: do not turn
    :return: None when the listing changed, so that the caller can try again with fewer pages
    :raises TurnError: when the opposite order is better
    :raises UnreliableOrderError: when the order is wrong although nothing changed
    """
    by_number = yield from _read_page_range(listing, first, end, max_pages, concurrency, known, since)
    if not by_number:
        return None
    pages: Sequence[Page] = [by_number[number] for number in sorted(by_number)]
    while len(pages) > 1 and repeats(*pages[-2:]):
        del by_number[pages[-1].number]  # the listing ends before it
        pages = pages[:-1]
    if pages[-1].number == 1 and pages[-1].total_pages <= 1:
        # One answer holds the complete listing: its order does not matter, and nothing can change within it.
        check_only_page(pages[0])
        in_order = tuple(sorted(pages[0].logs, key=lambda log: listing.position(log.at)))
        return make_snapshot(listing, (pages[0],), in_order, at_end=True)
    check_page_order(listing, pages)
    if len(pages) == 1 and listing.position(pages[0].logs[-1].at) >= end:
        check_page_sizes(pages, page_size, at_end=pages[0].number >= pages[0].total_pages)
        return make_snapshot(listing, (pages[0],), pages[0].logs)  # one answer is one instant
    next_missing = _next_page_missing(listing, pages, end, max_pages)
    fitting = yield from _find_fitting(listing, pages, page_size, next_missing=next_missing, since=since)
    if fitting is None:
        listing.report.record_rereads(len(pages), "pages changed")
        return None
    pages, between = fitting.pages, fitting.between
    at_end = next_missing or pages[-1].number >= pages[-1].total_pages
    check_page_sizes(pages, page_size, at_end=at_end)
    logs: Sequence[Log] | None = [log for page in pages for log in page.logs]
    if fitting.confirmed:
        if not listing.in_order([log for page in pages for log in page.logs]):
            raise UnreliableOrderError(f"pages {pages[0].number} to {pages[-1].number} are out of order")
        logs = yield from complete_ties(
            # Where count may be capped, every page was read again, and showed the same ids.
            listing,
            by_number,
            end,
            page_size=page_size,
            at_end=at_end,
            same_ids=listing.count_may_be_capped,
        )
    if logs is None:
        return None
    if between:
        logs = sorted([*logs, *between], key=lambda log: listing.position(log.at))
    return make_snapshot(listing, tuple(pages), logs, at_end=at_end)


class _Fitting(NamedTuple):
    """Pages that fit together.

    :param between: logs between them that other pages showed
    :param confirmed: whether they fit together because they were the same again, so a tie may still lack logs
    """

    pages: Sequence[Page]
    between: Sequence[Log]
    confirmed: bool


def _find_fitting(
    listing: Listing, pages: Sequence[Page], page_size: int, *, next_missing: bool, since: int | None
) -> Flow[_Fitting | None]:
    """Return the pages, if they fit together; otherwise the first of them that do.

    :param next_missing: whether the server did not show the page after the last
    :param since: None: do not turn, but use only the first pages
    :return: None when only the first page is left
    :raises TurnError: when the opposite order is better
    """
    at_end = next_missing or pages[-1].number >= pages[-1].total_pages
    covered = {} if at_end else (yield from cover_gaps(listing, pages, page_size))
    part = not_covered(pages, covered)
    last = pages[-1]
    if part:
        # Pages that overlap show that the listing has moved, so its pages are not the same again.
        moved = any(overlap(*pages[index : index + 2]) for index in covered)
        confirmed = None if moved else (yield from _confirm(listing, part, next_missing=next_missing))
        if confirmed is None:
            covered = {} if at_end else (yield from cover_moved_gaps(listing, pages, covered, page_size))
            first = pages[: next(number for number in range(1, len(pages) + 1) if number - 1 not in covered)]
            if len(first) < len(pages) and since is not None and listing.oldest_first:
                # Pages of the opposite order end at other logs. If logs move fast in both orders, only pairs overlap.
                pairs = moved and not listing.reversed().moves_harmfully(since)
                raise TurnError("pages changed", busy=True, pairs=pairs)
            if len(first) == 1:
                return None
            pages, part, last = first, (), first[-1]
        elif confirmed.number == last.number:
            last = confirmed
    between = [log for index in range(len(pages) - 1) for log in covered.get(index, ())]
    return _Fitting((*pages[:-1], last), between, bool(part))


def _confirm(listing: Listing, pages: Sequence[Page], *, next_missing: bool) -> Flow[Page | None]:
    """Read the first and the last page again, and the others, too, where ``count`` demands it.

    :param next_missing: whether the server did not show the page after the last; it is requested again, too
    :return: the last page as it is now; None when a page changed
    """
    if next_missing:
        (page,) = yield from listing.read_pages([pages[-1].number + 1])
        if page is not None and not repeats(pages[-1], page):
            return None  # the page that was missing exists now
    by_number = {page.number: page for page in pages}
    ends = sorted({pages[0].number, pages[-1].number})
    calm = not listing.count_may_be_capped and not listing.count_changed(pages)
    # When all pages are to be read again, the first page arrives before the last is requested, and the last before
    # those between them: then a change that is undone later is noticed.
    again: list[Page] = []
    for numbers in [ends] if calm else [[number] for number in ends]:
        for page in (yield from listing.read_pages(numbers)):
            if page is None or not same_places(by_number[page.number].logs, page.logs):
                return None
            again.append(page)
    if listing.count_went_both_ways(pages):
        return None
    if calm and not listing.count_changed(pages):
        return again[-1]
    # If ``count`` has changed only now, the ends were requested in parallel, so the last page is read once more. So is
    # the first page, unless it had arrived before all others were requested.
    first = [] if listing.arrived_first(pages[0], pages[1:]) else ends[:1]
    last = ends[-1:] if calm and ends[-1:] != first else []
    numbers = first + [page.number for page in pages[1:-1]] + last
    listing.report.record_rereads(len(numbers), "`count` changed, or may be limited")
    again += [page for page in (yield from listing.read_pages(numbers)) if page is not None]
    # Where logs of one timestamp are on two pages, a deletion looks like a server that reorders them. Only ``count``
    # differs, so the ids must be the same as well.
    same = len(again) == len(ends) + len(numbers) and all(page.ids == by_number[page.number].ids for page in again)
    latest = max((page for page in again if page.number == ends[-1]), key=lambda page: page.sequence)
    return latest if same and not listing.count_went_both_ways(pages) else None


def _read_page_range(
    listing: Listing,
    first: int,
    end: int,
    max_pages: int,
    concurrency: int,
    known: Mapping[int, Page],
    since: int | None,
) -> Flow[dict[int, Page]]:
    """Read pages in parallel from ``first`` on, not further ahead than the timestamps suggest."""
    found = {number: page for number, page in known.items() if first <= number < first + max_pages}
    in_flight: dict[Call, int] = {}
    last = min([first + max_pages - 1, *(_last_needed(listing, found, number, first, end) for number in found)])
    while True:
        check_direction(listing, since, found.values())
        wanted = [number for number in range(first, last + 1) if number not in found]
        if not wanted:
            # Pages after the last one are not needed; answers that are still in flight are not awaited.
            return {number: found[number] for number in range(first, last + 1)}
        requested = set(in_flight.values())
        highest = max(found, default=first)
        ahead = _pages_ahead(listing, found.get(highest), end, concurrency)
        free = concurrency - len(in_flight)
        start = [n for n in wanted if n not in requested and n <= highest + ahead][: max(0, free)]
        calls = {listing.call(number): number for number in start}
        in_flight.update(calls)
        call, outcome = answered((yield list(calls)))
        if call not in in_flight:
            continue  # read ahead for an earlier page range, and not needed
        number = in_flight.pop(call)
        accepted = listing.accept(outcome, number)
        if accepted is None:
            last = min(last, number - 1)
        else:
            found[number] = accepted
            last = min(last, _last_needed(listing, found, number, first, end))


def _last_needed(listing: Listing, found: Mapping[int, Page], number: int, first: int, end: int) -> int:
    """Return the number of the last page that is needed, as far as one page and those next to it show."""
    page = found[number]
    reached_end = listing.position(page.logs[-1].at) >= end
    last = number if reached_end else max(first, number, page.total_pages)
    for later in (number, number + 1):
        if later - 1 in found and later in found and repeats(found[later - 1], found[later]):
            last = min(last, later)
    return last


def _pages_ahead(listing: Listing, page: Page | None, end: int, concurrency: int) -> int:
    """Estimate how many pages after a page the window goes on, from the time that the page covers."""
    if page is None:
        return 1
    first, last = listing.position(page.logs[0].at), listing.position(page.logs[-1].at)
    if last <= first:
        return concurrency
    return max(1, min(concurrency, -((last - end) // (last - first))))


def _next_page_missing(listing: Listing, pages: Sequence[Page], end: int, max_pages: int) -> bool:
    """Return whether the pages end early: the server does not show the next page, though the listing announces it.

    It may show the last page in its place.
    """
    last = pages[-1]
    reached_end = listing.position(last.logs[-1].at) >= end or len(pages) >= max_pages
    return not reached_end and last.number < last.total_pages
