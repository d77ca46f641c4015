"""Find the page on which a window begins: interpolate, then bisect over the page numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.consistency import UnreliableOrderError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.listing import Listing

#: How often the next page is interpolated before the search only bisects.
_INTERPOLATIONS = 4


def find_first_page(
    listing: Listing, first_page: Page, start: int, last_position: int | None = None
) -> Flow[tuple[int, dict[int, Page]]]:
    """Find the page from which to read a window.

    That is the last page known to begin before the window, or page 1: its first log shows that no log of the window
    is on an earlier page. The next page to read is interpolated from the positions of the logs, which finds a window
    in an evenly spread history in two or three requests. An interpolation that does not halve what is left is followed
    by a bisection, and after a few interpolations only bisections follow. So the search needs at most
    ``log2(total pages) + 5`` requests, however long and uneven the history is. When the listing changes during the
    search, the result may be wrong by as many logs as arrived or expired; the reader of the pages checks the first log
    again.

    :param start: the position at which the window begins
    :param last_position: the position of the last log in the listing, when it is known
    :return: the page number, and the pages that were read, by number
    :raises UnreliableOrderError: when a page has more logs than page 1, so page 1 lacks logs
    """
    known = {1: first_page}
    if _reaches(listing, first_page, start) or first_page.total_pages <= 1:
        return 1, known
    before, after, interpolations = 1, first_page.total_pages + 1, _INTERPOLATIONS
    before_position, after_position = listing.position(first_page.logs[-1].at), last_position
    interpolate = True
    while after - before > 1:
        gap = after - before
        number = (before + after) // 2
        if interpolate and interpolations and after_position is not None and after_position > before_position:
            interpolations -= 1
            share = (start - before_position) / (after_position - before_position)
            number = min(max(before + round(gap * share), before + 1), after - 1)
        (page,) = yield from listing.read_pages([number])
        if page is None:
            after, after_position = number, None
        else:
            known[number] = page
            if len(page.logs) > len(first_page.logs):
                raise UnreliableOrderError(
                    f"page {number} has {len(page.logs)} logs, but page 1 has {len(first_page.logs)}"
                )
            if _reaches(listing, page, start):
                after, after_position = number, listing.position(page.logs[0].at)
            else:
                before, before_position = number, listing.position(page.logs[-1].at)
        interpolate = not interpolate or (after - before) * 2 <= gap
    page = known.get(after)
    if page is not None and listing.position(page.logs[0].at) < start:
        return after, known
    return before, known


def _reaches(listing: Listing, page: Page, start: int) -> bool:
    """Return whether the last log of a page is at the window's beginning or after it."""
    return bool(page.logs) and listing.position(page.logs[-1].at) >= start
