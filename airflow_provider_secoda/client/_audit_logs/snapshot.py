"""Read neighbouring pages so that they fit together as if they had been read in one instant.

A listing moves while it is read: logs arrive at its head or late in its middle, old ones expire at its tail, and each
shifts what every later page shows. Pages read side by side are believed only when

1. the first and the last of them, read again after all the others, show the same logs in the same places,
2. no log stands in two of them,
3. their order holds from page to page, and every page but the listing's last is full.

Why this suffices. Let ``s(k)`` be the shift under which page ``k`` was read. Two neighbours with ``s(k) < s(k+1)``
show a log twice, which (2) excludes; so the shifts fall or stay from the first page to the last. By (1) both ends were
read under one shift; so all of them are equal, and nothing fell between two pages. It holds for arrivals anywhere and
expiries behind the last page at once, when ``count`` stays what it was. ``count`` may fall meanwhile (logs expire
behind the window; then every page is read twice); where it grows, copies that disagree have answered, and nothing is
believed. (Read oldest first, it may grow and must not fall.) A log that vanishes *between* the two ends shows in
``count`` alone: where that may stand at a cap, every page is read twice, too. (When another log arrives between the
same two answers even ``count`` shows nothing. That is not promised: it would take to read every page twice, always.)

Where the listing moves faster than that, two pages at a time are read in turn: neighbours are proven either by an
overlap (the end of one is the beginning of the next) or by both being the same twice in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import Call, Flow, answered
from airflow_provider_secoda.client._audit_logs.consistency import (
    OrderError,
    Snapshot,
    check_even,
    check_order,
    check_whole,
    complete_ties,
    counts_are_monotonic,
    same_place,
)
from airflow_provider_secoda.client._audit_logs.listing import Report, View, read_pages, settle_outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Page


def take(
    view: View,
    first: int,
    until: int,
    *,
    width: int,
    concurrency: int,
    known: Mapping[int, Page],
    size: int,
    report: Report,
) -> Flow[Snapshot | None]:
    """Read from page ``first`` until a log at depth ``until`` or deeper shows, ``width`` pages or the end.

    :param known: pages that were read before and need no second reading, if they still fit
    :param size: how many logs a full page holds
    :return: None when the listing moved, so that the caller can try again with fewer pages
    :raises OrderError: when the order is not kept although nothing moved
    """
    run = yield from _collect(view, first, until, width, concurrency, known, report)
    if not run:
        return None
    pages = [run[number] for number in sorted(run)]
    if pages[-1].number == 1 and pages[-1].total_pages <= 1:
        # One answer holds the whole listing: whatever its order, nothing can have moved under it.
        check_whole(pages[0])
        return Snapshot((pages[0],), tuple(sorted(pages[0].logs, key=lambda log: view.position(log.at))), ended=True)
    check_order(view, pages)
    if len(pages) == 1 and view.position(pages[0].logs[-1].at) >= until:
        check_even(pages, size, ended=pages[0].number >= pages[0].total_pages)
        return Snapshot((pages[0],), pages[0].logs)  # one answer is one instant
    cut = _cut_short(view, pages, until, width)
    last = yield from _read_again(view, pages, report, cut=cut)
    if last is None:
        report.rereads += len(pages)
        return None
    ended = cut or last.number >= last.total_pages
    check_even(pages, size, ended=ended)
    logs = yield from complete_ties(view, run, until, ended=ended, report=report)
    if logs is None:
        return None
    if not view.ordered(logs):
        raise OrderError(f"pages {pages[0].number} to {pages[-1].number} are out of order")
    return Snapshot((*pages[:-1], last), tuple(logs), ended)


def _read_again(view: View, pages: Sequence[Page], report: Report, *, cut: bool) -> Flow[Page | None]:
    """Read both ends again, and all between them where ``count`` changed; return the last page, or None if one moved.

    :param cut: whether the page after the last was not shown, which is asked for again, too
    """
    run = {page.number: page for page in pages}
    ends = sorted({pages[0].number, pages[-1].number})
    again = yield from read_pages(view, [*ends, pages[-1].number + 1] if cut else ends, report)
    if cut and again.pop() is not None:
        return None  # the page that was not shown is there now
    fresh = [page for page in again if page is not None]
    if len(fresh) < len(ends) or not _unmoved(run, fresh) or not counts_are_monotonic(view, (*pages, *fresh)):
        return None
    if report.count_may_be_capped or len({page.count for page in (*pages, *fresh)}) > 1:
        rest = [page.number for page in pages[1:-1]]
        report.rereads += len(rest)
        more = yield from read_pages(view, rest, report)
        between = [page for page in more if page is not None]
        if not counts_are_monotonic(view, (*pages, *fresh, *between)):
            return None
        # In a tie that goes on over a page's edge a deletion looks like the server's shuffling, but for the count.
        if len(between) < len(rest) or any(page.ids != run[page.number].ids for page in (*fresh, *between)):
            return None
    return fresh[-1]


def _unmoved(run: Mapping[int, Page], again: Iterable[Page]) -> bool:
    return all(same_place(run[page.number].logs, page.logs) for page in again)


def _collect(
    view: View,
    first: int,
    until: int,
    width: int,
    concurrency: int,
    known: Mapping[int, Page],
    report: Report,
) -> Flow[dict[int, Page]]:
    """Read pages side by side from ``first`` on, reading no further ahead than the logs' density suggests."""
    found = {number: page for number, page in known.items() if first <= number < first + width}
    asked: dict[Call, int] = {}
    hidden: set[int] = set()
    while True:
        stop = min([first + width - 1, *(number - 1 for number in hidden)])
        for number, page in found.items():
            beyond = view.position(page.logs[-1].at) >= until
            stop = min(stop, number if beyond else max(first, number, page.total_pages))
        wanted = [n for n in range(first, stop + 1) if n not in found]
        if not wanted:
            # What lies beyond the stop was read ahead in vain; what is still under way is not waited for.
            return {n: found[n] for n in range(first, stop + 1)}
        under_way = set(asked.values())
        deepest = max(found, default=first)
        ahead = _ahead(view, found.get(deepest), until, concurrency)
        free = concurrency - len(asked)
        start = [n for n in wanted if n not in under_way and n <= deepest + ahead][: max(0, free)]
        calls = {view.call(number): number for number in start}
        asked.update(calls)
        call, outcome = answered((yield list(calls)))
        if call not in asked:
            continue  # read ahead in vain by an earlier stretch
        came = asked.pop(call)
        fresh = settle_outcome(outcome, came, report)
        if fresh is None:
            hidden.add(came)
        else:
            found[came] = fresh


def _ahead(view: View, page: Page | None, until: int, concurrency: int) -> int:
    """Guess how many pages beyond a page the window goes on, from how much time that page spans."""
    if page is None:
        return 1
    newest, oldest = view.position(page.logs[0].at), view.position(page.logs[-1].at)
    if oldest <= newest:
        return concurrency
    return max(1, min(concurrency, -((oldest - until) // (oldest - newest))))


def _cut_short(view: View, pages: Sequence[Page], until: int, width: int) -> bool:
    last = pages[-1]
    reached = view.position(last.logs[-1].at) >= until or len(pages) >= width
    return not reached and last.number < last.total_pages
