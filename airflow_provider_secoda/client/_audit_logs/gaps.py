"""Prove that no log is missing between two neighbouring pages, from what a third page shows.

A page shows all logs between its first and its last timestamp, as they were at one instant. So a log that is in the
listing all the time is on *every* page that has timestamps on both sides of its own. Where a third page has timestamps
on both sides of the gap between two pages, it shows all logs in that gap, however the listing changed between the three
answers. Pages in the opposite order often do, and so do pages of a listing that has moved: they end at other logs.
``docs/explanation/how_a_window_is_read.md`` ("Why pages fit together", claim 3) has the proof.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.consistency import find_different_content, overlap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._audit_logs.listing import Listing


def find_covered_gaps(listing: Listing, pages: Sequence[Page], page_size: int) -> dict[int, Sequence[Log]]:
    """Return the gaps in which no log is missing, by the index of the page before the gap.

    With the logs in them and at their ends.

    :param pages: consecutive pages, which need not show the listing of one instant
    :param page_size: how many logs a full page has
    """
    others = [page for page in listing.recent if len(page.logs) == page_size]
    covering: dict[int, list[Page]] = {}
    for index, (before, after) in enumerate(pairwise(pages)):
        last, first = before.logs[-1].at, after.logs[0].at
        if listing.position(last) > listing.position(first):
            if overlap(before, after):
                covering[index] = []
        elif found := [page for page in others if _covers(page, min(last, first), max(last, first))]:
            covering[index] = found
    if not covering or find_different_content(pages):
        return {}  # nearly always; or a log was edited
    known = {log.id: log.raw for page in pages for log in page.logs}
    covered: dict[int, Sequence[Log]] = {}
    for index, found in covering.items():
        logs = _logs_between(pages[index], pages[index + 1], found, known) if found else ()
        if logs is not None:
            covered[index] = logs
    return covered


def _logs_between(
    before: Page, after: Page, covering: Sequence[Page], known: Mapping[str, bytes]
) -> Sequence[Log] | None:
    """Return the logs in a gap and at its ends; None where each of the pages that cover it contradicts others.

    :param known: the logs of all pages, by their ids
    """
    first, last = sorted((before.logs[-1].at, after.logs[0].at))
    for page in covering:
        if _is_sorted(page) and _agree(page, before) and _agree(page, after):
            logs = [log for log in page.logs if first <= log.at <= last]
            if all(known.get(log.id, log.raw) == log.raw for log in logs):
                return logs
    return None


def cover_gaps(listing: Listing, pages: Sequence[Page], page_size: int) -> Flow[dict[int, Sequence[Log]]]:
    """Return the gaps in which no log is missing; if it is all but one, request a page for that one."""
    covered = find_covered_gaps(listing, pages, page_size)
    others = [page for index, page in enumerate(pages[:-1]) if index not in covered]
    if not covered or len(others) != 1 or listing.count_may_be_capped:
        return covered
    # In the opposite order, these are the places in front of the logs that follow the gap.
    behind = max(0, others[0].count - others[0].number * page_size)
    yield from listing.reversed().read_pages([behind // page_size + 1])
    return find_covered_gaps(listing, pages, page_size)


def cover_moved_gaps(
    listing: Listing, pages: Sequence[Page], covered: Mapping[int, Sequence[Log]], page_size: int
) -> Flow[dict[int, Sequence[Log]]]:
    """Return the gaps in which no log is missing, after one page next to each of the others was read again.

    It shows other places of the listing than before: newest first, arrivals move the logs in front of it to it.
    """
    side = 0 if listing.oldest_first else 1
    again = [pages[index + side].number for index in range(len(pages) - 1) if index not in covered]
    listing.report.record_rereads(len(again), "pages changed")
    yield from listing.read_pages(again)
    return find_covered_gaps(listing, pages, page_size)


def not_covered(pages: Sequence[Page], covered: Mapping[int, Sequence[Log]]) -> Sequence[Page]:
    """Return the pages from before the first gap that is not covered to after the last one.

    All pages where a log is on two of them, because it may be in a tie that :mod:`.ties` has to complete.
    """
    if not covered:
        return pages
    gaps = [index for index in range(len(pages) - 1) if index not in covered]
    if not gaps:
        return ()
    ids = [id_ for page in pages for id_ in page.ids]
    return pages[gaps[0] : gaps[-1] + 2] if len(set(ids)) == len(ids) else pages


def _covers(page: Page, first: Instant, last: Instant) -> bool:
    """Return whether a page has timestamps on both sides of a gap, so that it shows all ties at its ends."""
    oldest, newest = _ends(page)
    return oldest < first and last < newest


def _agree(page: Page, other: Page) -> bool:
    """Return whether each of two pages shows all logs of the other one that are between its own ends."""
    return _shows(page, other) and _shows(other, page)


def _shows(page: Page, other: Page) -> bool:
    oldest, newest = _ends(page)
    shown = {(log.id, log.raw) for log in page.logs}
    return all((log.id, log.raw) in shown for log in other.logs if oldest < log.at < newest)


def _ends(page: Page) -> tuple[Instant, Instant]:
    """Return the timestamps of the oldest and of the newest log of a page that is sorted."""
    first, last = page.logs[0].at, page.logs[-1].at
    return min(first, last), max(first, last)


def _is_sorted(page: Page) -> bool:
    times = [log.at for log in page.logs]
    return sorted(times) in (times, times[::-1])
