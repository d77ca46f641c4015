"""Checks that pages of a listing fit together, and what to do with logs of one timestamp on several pages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.listing import Listing

#: How often the pages with logs of one timestamp are read before giving up.
MAX_TIE_READS = 24


class UnreliableOrderError(Exception):
    """The listing is not in the requested order, or its pages have uneven lengths: all of it must be read."""


@dataclass(frozen=True)
class Snapshot:
    """Consecutive pages that fit together.

    :param logs: the logs on these pages, each once, in the order of the listing
    :param at_end: whether the server shows no page after the last of these
    """

    pages: tuple[Page, ...]
    logs: tuple[Log, ...]
    at_end: bool = False


def counts_are_monotonic(listing: Listing, pages: Iterable[Page]) -> bool:
    """Return whether ``count`` changed in the harmless direction only, in all answers since the oldest of these pages.

    Newest first, ``count`` falls when logs expire behind the pages that are read; oldest first, it grows when logs
    arrive there. When it changes in the other direction, logs before these pages changed, or replicas that disagree
    have answered. Answers that show other pages count, too: a page may be much older than the others, when the search
    has read it, and a deletion may have been made up for by an arrival since.
    """
    counts = listing.counts_since(pages)
    return counts == sorted(counts, reverse=not listing.oldest_first)


def same_places(before: Sequence[Log], after: Sequence[Log]) -> bool:
    """Return whether two reads of a page show the same logs in the same places.

    A server may reorder logs of equal timestamps from one answer to the next. So the ids may differ within one
    timestamp, but the timestamps must agree place by place, and at least two of them must differ, so that a shift
    would show. The first and the last timestamp of the page may continue on the neighbouring pages, so other logs of
    these may be shown; all other logs must be the same.
    """
    if [log.id for log in before] == [log.id for log in after]:
        return True
    times = [log.at for log in before]
    if times != [log.at for log in after] or times[0] == times[-1]:
        return False
    edges = {times[0], times[-1]}
    inner = [{(log.at, log.id) for log in logs if log.at not in edges} for logs in (before, after)]
    return inner[0] == inner[1]


def check_page_order(listing: Listing, pages: Iterable[Page]) -> None:
    """Check that each page is in order and shows each log once.

    One answer is one instant, so a change of the listing does not explain a violation.
    """
    for page in pages:
        if not listing.order_shown and page.total_pages > 1:
            raise UnreliableOrderError("the listing grew from one page to several, so its order was never seen")
        if not listing.in_order(page.logs):
            raise UnreliableOrderError(f"page {page.number} is out of order")
        if len(set(page.ids)) < len(page.logs):
            raise UnreliableOrderError(f"page {page.number} shows a log twice")


def check_only_page(page: Page) -> None:
    """Check that the only page of a listing has as many different logs as ``count`` says."""
    if len(set(page.ids)) != page.count or len(page.logs) != page.count:
        raise UnreliableOrderError(
            f"the only page has {len(page.logs)} logs with {len(set(page.ids))} different ids, but `count` is "
            f"{page.count}"
        )


def check_page_sizes(pages: Sequence[Page], page_size: int, *, at_end: bool) -> None:
    """Check that every page except the last page of the listing is full, and that the last one agrees with ``count``.

    :param at_end: whether the last of the pages may be the last page of the listing
    """
    full = pages[:-1] if at_end and pages[-1].number >= pages[-1].total_pages else pages
    for page in pages:
        # No page is longer than page 1: if even the last one is, then page 1 lacks logs.
        if len(page.logs) > page_size or (page in full and len(page.logs) < page_size):
            raise UnreliableOrderError(f"page {page.number} has {len(page.logs)} logs, but page 1 has {page_size}")
    last = pages[-1]
    shown = (last.number - 1) * page_size + len(last.logs)
    if last.number == last.total_pages and shown != last.count <= last.number * page_size:
        raise UnreliableOrderError(
            f"the pages up to page {last.number}, the last, have {shown} logs, but `count` is {last.count}"
        )


def complete_ties(listing: Listing, by_number: Mapping[int, Page], end: int, *, at_end: bool) -> Flow[list[Log] | None]:
    """Return the logs of a page range, each once; None when a log is on two pages because the listing changed.

    A tie is a group of logs with one timestamp. Without a tie breaker a server may return a tie in another order in
    each answer, so that one of its logs is on two pages and another one on none. The number of places that have this
    timestamp says how many logs the tie has; its pages are read again until that many different logs were seen.
    """
    places = [log for number in sorted(by_number) for log in by_number[number].logs]
    seen: dict[str, Log] = {}
    for log in places:
        seen.setdefault(log.id, log)
    listing.report.repeats_dropped += len(places) - len(seen)
    if len(seen) == len(places):
        return places
    # How many places each timestamp has, without the timestamps that may go on outside the page range.
    expected = Counter(log.at for log in places if listing.position(log.at) < end)
    if min(by_number) > 1:
        del expected[places[0].at]
    if not at_end:
        del expected[places[-1].at]
    repeated = Counter(log.at for log in places) - Counter(log.at for log in seen.values())
    if not (yield from _server_reorders(listing, by_number, repeated.keys() - expected.keys())):
        return None
    for _ in range(MAX_TIE_READS):
        found = Counter(log.at for log in seen.values())
        incomplete = {at for at in expected if found[at] < expected[at]}
        if not incomplete:
            # More logs than places: some of them arrived or were removed between two reads.
            too_many = any(found[at] > expected[at] for at in expected)
            return None if too_many else sorted(seen.values(), key=lambda log: (listing.position(log.at), log.id))
        if not (yield from _add_logs(listing, by_number, incomplete, seen)):
            return None
    at = min(incomplete)
    raise SecodaIncompleteError(
        f"the listing has {expected[at]} logs of {format_instant(at)}, but {MAX_TIE_READS} reads returned only "
        f"{found[at]} different ones: the server returns logs of one timestamp in random order. Run the task again, or "
        "use a narrower `filter`"
    )


def _add_logs(
    listing: Listing, by_number: Mapping[int, Page], ties: Collection[Instant], seen: dict[str, Log]
) -> Flow[bool]:
    """Read the pages of some ties again and add their logs; return whether the pages are unchanged otherwise."""
    pages = yield from _read_ties(listing, by_number, ties)
    if not _same_count(listing, by_number):
        return False
    for page in pages:
        if page is None or not same_places(by_number[page.number].logs, page.logs):
            return False
        for log in page.logs:
            seen.setdefault(log.id, log)
    return True


def _server_reorders(listing: Listing, by_number: Mapping[int, Page], ties: Collection[Instant]) -> Flow[bool]:
    """Return whether the repeats in ties that may go on outside the page range come from a server that reorders them.

    How many logs such a tie has is not known, so a repeat may also mean that the listing changed. The server is
    believed to reorder ties only when the pages, read again, show the tie in another order and all else unchanged.
    """
    pages = yield from _read_ties(listing, by_number, ties)
    unchanged = all(page is not None and same_places(by_number[page.number].logs, page.logs) for page in pages)
    reordered = any(page is not None and page.ids != by_number[page.number].ids for page in pages)
    return unchanged and _same_count(listing, by_number) and (reordered or not ties)


def _read_ties(listing: Listing, by_number: Mapping[int, Page], ties: Collection[Instant]) -> Flow[list[Page | None]]:
    """Read the pages again that have logs of these timestamps."""
    numbers = [number for number, page in by_number.items() if any(log.at in ties for log in page.logs)]
    listing.report.rereads += len(numbers)
    return (yield from listing.read_pages(numbers))


def _same_count(listing: Listing, by_number: Mapping[int, Page]) -> bool:
    """Return whether ``count`` did not change since these pages: a tie is not mixed with logs that were removed."""
    return len(set(listing.counts_since(by_number.values()))) == 1
