"""Find the page on which a window begins: gallop, then bisect, over page numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_secoda.client.listing import Report, View, read_pages

if TYPE_CHECKING:
    from airflow_provider_secoda.client.messages import Flow
    from airflow_provider_secoda.client.schema import Page

_STRIDE = 4


def find_first(view: View, first: Page, low: int, report: Report) -> Flow[tuple[int, dict[int, Page]]]:
    """
    Find the page from which to read on, given the depth at which the window begins.

    That is the last page known to begin before the window (its witness), or page 1. Galloping by four and then
    bisecting costs at most ``1.5 * log2(total pages) + 2`` requests, however long the history is; while the listing
    moves the answer may be off by what moved, so a reader still checks the witness on what it reads.

    :return: the page number, and the pages that were read on the way
    """
    known = {1: first}
    if _reaches(view, first, low) or first.total_pages <= 1:
        return 1, known
    before, after = 1, 1 * _STRIDE
    while True:
        after = min(after, first.total_pages)
        page = yield from _probe(view, after, report, known)
        if page is None or _reaches(view, page, low) or after == first.total_pages:
            break
        before, after = after, after * _STRIDE
    while after - before > 1:
        middle = (before + after) // 2
        page = yield from _probe(view, middle, report, known)
        if page is None or _reaches(view, page, low):
            after = middle
        else:
            before = middle
    page = known.get(after)
    if page is not None and view.depth(page.logs[0].at) < low:
        return after, known
    return before, known


def _probe(view: View, number: int, report: Report, known: dict[int, Page]) -> Flow[Page | None]:
    (page,) = yield from read_pages(view, [number], report)
    if page is not None:
        known[number] = page
    return page


def _reaches(view: View, page: Page, low: int) -> bool:
    """Return whether a page goes at least as deep as the window's beginning."""
    return bool(page.logs) and view.depth(page.logs[-1].at) >= low
