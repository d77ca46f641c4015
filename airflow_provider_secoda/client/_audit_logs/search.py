"""Find the page on which a window begins, over page numbers: guess, and bisect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.consistency import OrderError
from airflow_provider_secoda.client._audit_logs.listing import Report, View, read_pages

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Page
    from airflow_provider_secoda.client._api.flow import Flow

#: Guesses from the logs' spread over time, before plain bisection takes over.
_GUESSES = 4


def find_first(
    view: View, first: Page, low: int, report: Report, far: int | None = None
) -> Flow[tuple[int, dict[int, Page]]]:
    """Find the page from which to read on, given the depth at which the window begins.

    That is the last page known to begin before the window (its witness), or page 1. The next page to look at is
    guessed from how the logs spread over time, which finds a window in even history in two or three requests; each
    guess that does not halve what is left is followed by a bisection, and after a few only these go on. So it costs at
    most ``log2(total pages) + 5`` requests, however long the history is and however uneven. While the listing moves
    the answer may be off by what moved: a reader still checks the witness on what it reads.

    :param far: the depth of the listing's last log, when it is known
    :return: the page number, and the pages that were read on the way
    :raises OrderError: when a page is longer than page 1, which then lacks logs
    """
    known = {1: first}
    if _reaches(view, first, low) or first.total_pages <= 1:
        return 1, known
    before, after, guesses = 1, first.total_pages + 1, _GUESSES
    near = view.position(first.logs[-1].at)
    guess = True
    while after - before > 1:
        gap = after - before
        middle = (before + after) // 2
        if guess and guesses and far is not None and far > near:
            guesses -= 1
            middle = min(max(before + round(gap * (low - near) / (far - near)), before + 1), after - 1)
        page = yield from _probe(view, middle, report, known)
        if page is not None and len(page.logs) > len(first.logs):
            raise OrderError(f"page {middle} holds {len(page.logs)} logs where page 1 holds {len(first.logs)}")
        if page is None:
            after, far = middle, None
        elif _reaches(view, page, low):
            after, far = middle, view.position(page.logs[0].at)
        else:
            before, near = middle, view.position(page.logs[-1].at)
        guess = not guess or (after - before) * 2 <= gap
    page = known.get(after)
    if page is not None and view.position(page.logs[0].at) < low:
        return after, known
    return before, known


def _probe(view: View, number: int, report: Report, known: dict[int, Page]) -> Flow[Page | None]:
    (page,) = yield from read_pages(view, [number], report)
    if page is not None:
        known[number] = page
    return page


def _reaches(view: View, page: Page, low: int) -> bool:
    """Return whether a page goes at least as deep as the window's beginning."""
    return bool(page.logs) and view.position(page.logs[-1].at) >= low
