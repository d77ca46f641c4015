"""Read two neighbouring pages in turn until they are proven to meet.

This gets through a listing that moves with nearly every request, where a longer stretch of pages never holds still.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.consistency import (
    Snapshot,
    check_even,
    check_order,
    complete_ties,
    counts_are_monotonic,
    same_place,
)
from airflow_provider_secoda.client._audit_logs.listing import Report, View, read_pages
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.flow import Flow

#: Reads of two neighbours before giving up on them.
MAX_PAIR_READS = 24


def read_page_pair(view: View, first: int, until: int, *, size: int, report: Report) -> Flow[Snapshot | None]:
    """Read a page and its neighbour in turn until two answers in a row are proven to meet.

    This gets through a listing that moves with nearly every request, in either direction.

    :return: the two pages as one; the first alone, where no second is needed or shown; None when not even that is
    :raises SecodaIncompleteError: when the two never settle
    """
    history: deque[Page] = deque(maxlen=8)
    hidden = 0
    for turn in range(MAX_PAIR_READS):
        # Reading one page twice now and then breaks step with a server that moves at every second request.
        number = first if turn % 2 == 0 or turn % 7 == 6 else first + 1  # noqa: PLR2004
        (page,) = yield from read_pages(view, [number], report)
        if page is None:
            if number == first:
                return None
            history.clear()
            hidden += 1
            continue
        check_order(view, [page])
        check_even([page], size, ended=page.number >= page.total_pages)
        ended = first >= page.total_pages or hidden > 1
        if page.number == first and (ended or view.position(page.logs[-1].at) >= until):
            return Snapshot((page,), page.logs, ended=ended)  # one answer is one instant
        history.append(page)
        met = _meet(view, list(history))
        if met is not None:
            upper, lower, overlap = met
            ended = lower.number >= lower.total_pages
            logs: Sequence[Log] | None = (*upper.logs, *lower.logs[overlap:])
            if not overlap:
                run = {upper.number: upper, lower.number: lower}
                logs = yield from complete_ties(view, run, until, ended=ended, report=report)
            if logs is not None and view.ordered(logs):
                report.repeats_dropped += overlap
                check_even((upper, lower), size, ended=ended)
                return Snapshot((upper, lower), tuple(logs), ended=ended)
        report.rereads += turn > 1
    raise SecodaIncompleteError(
        f"pages {first} and {first + 1} never settled in {MAX_PAIR_READS} reads: the listing moves too fast, or the "
        "server answers from copies that disagree"
    )


def _meet(view: View, history: list[Page]) -> tuple[Page, Page, int] | None:
    """Return an upper and a lower page out of the last reads that are proven to meet, and how far they overlap."""
    newest = history[-1]
    for other in reversed(history[:-1]):
        if other.number != newest.number:
            upper, lower = sorted((other, newest), key=lambda page: page.number)
            overlap = _overlap(upper, lower)
            if overlap:
                return upper, lower, overlap
    # Both the same twice in turn; thrice, where a change was seen shortly before, as a copy may lag.
    for turns in (history[-4:], history[-6:]):
        ours, others = turns[1::2], turns[0::2]
        if (
            [page.number == newest.number for page in turns] == [False, True] * (len(turns) // 2)
            and len(turns) >= 4  # noqa: PLR2004
            and all(same_place(newest.logs, page.logs) for page in ours)
            and all(same_place(others[-1].logs, page.logs) for page in others)
            and counts_are_monotonic(view, turns)
            and (len({page.count for page in turns}) == 1 or len({page.ids for page in turns}) == 2)  # noqa: PLR2004
            and (len(turns) > 4 or len(history) == 4)  # noqa: PLR2004
        ):
            upper, lower = sorted((others[-1], newest), key=lambda page: page.number)
            return upper, lower, 0
    return None


def _overlap(upper: Page, lower: Page) -> int:
    """Return how many logs at the end of the upper page are those at the beginning of the lower one.

    Logs of one timestamp alone are no overlap: a server that shuffles ties shows such without any having moved.
    """
    last = upper.logs[-1].id
    for index, log in enumerate(lower.logs):
        if log.id == last:
            size = index + 1
            meets = upper.ids[-size:] == lower.ids[:size] and lower.logs[0].at != log.at
            return size if meets else 0
    return 0
