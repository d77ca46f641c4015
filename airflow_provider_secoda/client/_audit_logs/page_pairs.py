"""Read two neighbouring pages in turn until they are proven to fit together.

This works on a listing that changes with nearly every request, where longer page ranges are never stable.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.consistency import (
    Snapshot,
    check_page_order,
    check_page_sizes,
    make_snapshot,
    overlap,
    repeats,
    same_places,
)
from airflow_provider_secoda.client._audit_logs.ties import complete_ties
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.listing import Listing

#: How many reads of the two pages before giving up.
MAX_PAIR_READS = 24


def read_page_pair(
    listing: Listing, first: int, end: int, *, page_size: int, known: Page | None
) -> Flow[Snapshot | None]:
    """Read a page and its neighbour in turn until two of the answers are proven to fit together.

    :param end: the position at which the window ends
    :param page_size: how many logs a full page has
    :param known: the first of the two pages, as it was read before
    :return: both pages; only the first where the second is not needed or not shown; None when the first is not shown
    :raises SecodaIncompleteError: when the two pages keep changing
    """
    history: deque[Page] = deque([] if known is None else [known], maxlen=8)
    second_missing = 0
    for turn in range(len(history), MAX_PAIR_READS):
        # Reading one page twice now and then breaks the rhythm of a listing that changes at every second request.
        number = first if turn % 2 == 0 or turn % 7 == 6 else first + 1  # noqa: PLR2004
        if second_missing:  # once more at once, for the same reason, and then the first page
            number = first + 1 if second_missing == 1 else first
        (page,) = yield from listing.read_pages([number])
        if page is None:
            if number == first:
                return None
            history.clear()
            second_missing += 1
            continue
        check_page_order(listing, [page])
        check_page_sizes([page], page_size, at_end=page.number >= page.total_pages)
        at_end = first >= page.total_pages or second_missing > 1
        if page.number == first and (at_end or listing.position(page.logs[-1].at) >= end):
            return make_snapshot(listing, (page,), page.logs, at_end=at_end)  # one answer is one instant
        history.append(page)
        fitting = _find_fitting(listing, list(history))
        if fitting is not None:
            upper, lower, repeated = fitting
            if not repeated and repeats(upper, lower):
                return make_snapshot(listing, (upper,), upper.logs, at_end=True)
            at_end = lower.number >= lower.total_pages
            places = (*upper.logs, *lower.logs[repeated:])
            logs: Sequence[Log] | None = places if listing.in_order(places) else None
            if logs is not None and not repeated:
                both = {upper.number: upper, lower.number: lower}
                same_ids = len({page.ids for page in history}) == len(both)
                logs = yield from complete_ties(
                    listing, both, end, page_size=page_size, at_end=at_end, same_ids=same_ids
                )
            if logs is not None:
                listing.report.repeats_dropped += repeated
                check_page_sizes((upper, lower), page_size, at_end=at_end)
                return make_snapshot(listing, (upper, lower), logs, at_end=at_end)
        listing.report.record_rereads(int(turn > 1), "pages changed")
    raise SecodaIncompleteError(
        f"pages {first} and {first + 1} changed in each of {MAX_PAIR_READS} reads: the listing changes too fast, or "
        "replicas of the server disagree. Run the task again later"
    )


def _find_fitting(listing: Listing, history: list[Page]) -> tuple[Page, Page, int] | None:
    """Return two neighbouring pages of the last reads that fit together, and by how many logs they overlap."""
    newest = history[-1]
    for other in reversed(history[:-1]):
        if other.number != newest.number:
            upper, lower = sorted((other, newest), key=lambda page: page.number)
            size = overlap(upper, lower)
            if size:
                return upper, lower, size
    # Both the same twice in turn; three times after a recent change, because a replica may be outdated, and while
    # ``count`` changes, because logs may have moved back and forth.
    for reads in (history[-4:], history[-6:]):
        ours, others = reads[1::2], reads[0::2]
        if (
            [page.number == newest.number for page in reads] == [False, True] * (len(reads) // 2)
            and len(reads) >= 4  # noqa: PLR2004
            and all(same_places(newest.logs, page.logs) for page in ours)
            and all(same_places(others[-1].logs, page.logs) for page in others)
            and not listing.count_went_both_ways(reads)
            and (not listing.count_changed(reads) or len({page.ids for page in reads}) == 2)  # noqa: PLR2004
            and (len(reads) > 4 or (len(history) == 4 and not listing.count_changed(reads)))  # noqa: PLR2004
        ):
            upper, lower = sorted((others[-1], newest), key=lambda page: page.number)
            return upper, lower, 0
    return None
