"""Checks that pages of a listing fit together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.output import ids_not_unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._audit_logs.listing import Listing


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


def make_snapshot(listing: Listing, pages: tuple[Page, ...], logs: Iterable[Log], *, at_end: bool = False) -> Snapshot:
    """Return a snapshot of pages that fit together; record the logs that have two places on one of them."""
    for page in pages:
        if len(set(page.ids)) < len(page.logs):
            for id_, places in Counter(page.ids).items():
                if places > 1:
                    listing.report.record_listed_twice(id_, page.number)
    return Snapshot(pages, tuple({log.id: log for log in logs}.values()), at_end)


def same_places(before: Sequence[Log], after: Sequence[Log]) -> bool:
    """Return whether two reads of a page show the same logs in the same places.

    A server may reorder logs of equal timestamps from one answer to the next. So the ids may differ within one
    timestamp, but the timestamps must agree place by place, and at least two of them must differ, so that a shift
    would show. The first and the last timestamp of the page may continue on the neighbouring pages, so other logs of
    these may be shown; all other logs must be the same.
    """
    times = [log.at for log in before]
    if times != [log.at for log in after]:
        return False
    if [log.id for log in before] == [log.id for log in after]:
        return True
    if times[0] == times[-1]:
        return False
    edges = {times[0], times[-1]}
    inner = [{(log.at, log.id) for log in logs if log.at not in edges} for logs in (before, after)]
    return inner[0] == inner[1]


def repeats(before: Page, after: Page) -> bool:
    """Return whether a page shows what the page before it shows, so that the listing ends between them.

    Some servers return their last page for every number after it. Pages of one timestamp may be equal in any listing.
    """
    begins, ends = before.logs[0].at, before.logs[-1].at
    return begins == after.logs[0].at != ends and same_places(before.logs, after.logs)


def check_page_order(listing: Listing, pages: Iterable[Page]) -> None:
    """Check that each page is in order and shows each log with one content.

    One answer is one instant, so a change of the listing does not explain a violation. A page may show a log twice:
    then the log has two places in the listing, and nothing is missing.
    """
    for page in pages:
        if not listing.order_shown and page.total_pages > 1:
            raise UnreliableOrderError("the listing grew from one page to several, so its order was never seen")
        if not listing.in_order(page.logs):
            raise UnreliableOrderError(f"page {page.number} is out of order")
        listed_twice = len(set(page.ids)) < len(page.logs)
        if listed_twice and (different := find_different_content([page])):
            raise ids_not_unique(*different)


def check_only_page(page: Page) -> None:
    """Check that the only page of a listing has as many logs as ``count`` says, each with one content."""
    if len(page.logs) != page.count:
        raise UnreliableOrderError(f"the only page has {len(page.logs)} logs, but `count` is {page.count}")
    if different := find_different_content([page]):
        raise ids_not_unique(*different)


def find_different_content(pages: Iterable[Page]) -> tuple[Log, Instant, int, int] | None:
    """Return a log that has the id of another log, the timestamp of that one, and the numbers of their pages."""
    shown: dict[str, tuple[Log, int]] = {}
    for page in pages:
        for log in page.logs:
            first, number = shown.setdefault(log.id, (log, page.number))
            if first.raw != log.raw:
                return log, first.at, number, page.number
    return None


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


def overlap(upper: Page, lower: Page) -> int:
    """Return how many logs at the end of the upper page are also the first logs of the lower page.

    Logs of one timestamp alone do not count as an overlap: a server that reorders them shows this without any change.
    Neither do all logs of two equal pages if ``count`` is the same: a server may repeat its last page.
    """
    if upper.ids == lower.ids and upper.count == lower.count:
        return 0
    for index, log in enumerate(lower.logs):
        if log == upper.logs[-1]:
            size = index + 1
            fits = upper.logs[-size:] == lower.logs[:size] and lower.logs[0].at != log.at
            return size if fits else 0
    return 0
