"""Read pages of a listing that has no reliable order, in an order in which few logs are missed while it changes.

How few decides only how many passes are necessary; the proof does not depend on it. Most listings without a sort are in
the order of arrival, in one of the two directions: logs arrive at one end, the *head*, and expire at the other end, the
*tail*. A log moves to another page only when logs arrive or expire in front of it:

* Newest first, arrivals move logs to later pages. Pages that are read in rising order, one after the other, may show a
  log twice, but miss none. Oldest first, expiries move logs to earlier pages, and the order of reading is the opposite.
* In parallel, a log can move from a page that was not read yet to one that was read. So a pass reads *blocks* of pages
  in parallel, and the pages of each block one after the other. A block continues in the next one until it reaches what
  that one had shown.
* The block at the tail is the first one, because its logs may expire soon, and the block at the head the last one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.audit_log_page import Page
from airflow_provider_secoda.client._api.flow import Call, Flow, answered, several
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_secoda.client._audit_logs.listing import Listing
    from airflow_provider_secoda.client._audit_logs.unordered.seen_logs import SeenLogs

#: How many pages a block has at most. Smaller blocks overlap more often; larger ones take longer, so more logs move.
MAX_BLOCK = 16
#: How often the head is read at most until an answer shows nothing new.
MAX_HEAD_READS = 150


@dataclass(frozen=True)
class _Place:
    """A page to read, and the range of the pages of its block."""

    number: int
    block: range


class Pages:
    """Reads pages of the listing and records what they show.

    :param first_page: page 1
    :param max_pages: how many pages the listing may have
    """

    def __init__(self, listing: Listing, seen: SeenLogs, first_page: Page, *, concurrency: int, max_pages: int) -> None:
        self._listing, self._seen = listing, seen
        self._concurrency, self._max_pages = concurrency, max_pages
        self._record(first_page)
        logs = first_page.logs
        #: Whether pages are read in rising order, which is best newest first.
        self._rising = not logs or logs[0].at >= logs[-1].at

    # --- a pass over all pages

    def read_pass(self) -> Flow[int]:
        """Read all pages; return the number of the first page that the server did not show, or 0."""
        self._seen.begin_pass()
        step, missing = self._seen.step, 0
        places = deque(self._blocks())
        in_flight: dict[Call, _Place] = {}
        counts: set[int] = set()
        lowest_total = self._total
        while places or in_flight:
            start: dict[Call, _Place] = {}
            while places and len(in_flight) + len(start) < self._concurrency:
                place = places.popleft()
                start[self._listing.call(place.number)] = place
            in_flight.update(start)
            call, outcome = answered((yield list(start)))
            if call not in in_flight:
                continue  # read ahead by an earlier flow, and not needed
            place = in_flight.pop(call)
            page = self._accept(outcome, place.number)
            following = _Place(place.number + (1 if self._rising else -1), place.block)
            if page is not None:
                counts.add(page.count)
                known = self._add(page, step)
                lowest_total = min(lowest_total, self._total)
            else:
                known, missing = True, min(missing or place.number, place.number)
            within = following.number in place.block
            # In a listing that does not change, no block has to continue in the next one.
            further = within or (len(counts) > 1 and not known)
            if further and following.number >= 1 and (following.number <= self._total or not self._rising):
                places.appendleft(following)
        return missing if missing <= lowest_total else 0

    def _blocks(self) -> list[_Place]:
        """Return where to begin: the block at the tail first, which is a short one."""
        total = self._total
        size = min(MAX_BLOCK, -(-total // self._concurrency))
        edges = [0, *range(-(-size // 4), total, size), total]
        ranges = [range(first + 1, end + 1) for first, end in pairwise(edges)]
        if self._rising:
            ranges = [range(total + 1 - block[-1], total + 2 - block[0]) for block in ranges]
        return [_Place(block[0 if self._rising else -1], block) for block in ranges]

    def _add(self, page: Page, since: int) -> bool:
        """Record a page; return whether its last log, in the order of reading, was seen before since a step."""
        known = not page.logs or self._seen.shows(page.logs[-1 if self._rising else 0], since)
        self._record(page)
        if page.total_pages > self._max_pages:
            raise SecodaIncompleteError(
                f"the listing grew to more than {self._max_pages} pages during the read. Run the task again later"
            )
        return known

    def _record(self, page: Page) -> None:
        self._seen.add(page)
        self.latest = page
        self._total = max(1, page.total_pages) if page.count else 1  # a server may say 0

    # --- the moment between two passes

    def find_moment(self) -> Flow[None]:
        """Read the head until an answer shows nothing new, and then the tail before its logs expire.

        So every log that the answer counts was seen before it, and will probably be seen after it.

        :raises SecodaIncompleteError: when the listing changes too fast
        """
        candidate: tuple[int, int, int] | None = None
        for attempt in range(MAX_HEAD_READS):
            known = self._seen.places
            head = yield from self.catch_up()
            if head is None:
                continue
            # As many of the logs that were seen as are not in the listing any more.
            gone = self._seen.places - head.count
            if candidate is not None and candidate[2] == gone:
                self._seen.add_moment(*candidate[:2])
                return
            candidate = None
            # The tail is not read each time, in case the listing changes in the same rhythm: at every third request.
            if self._seen.places > known or attempt % 3 == 2:  # noqa: PLR2004
                continue
            step = self._seen.step
            tail = yield from self._read_tail()
            if tail is None:
                continue
            gone_later = self._seen.places - tail.count
            if gone_later == gone:
                self._seen.add_moment(step, head.count)
                return
            if gone_later < gone:  # logs have arrived since; the next read of the head shows whether others are gone
                candidate = step, head.count, gone
        raise SecodaIncompleteError(
            f"logs arrived or expired between any two of {MAX_HEAD_READS} responses (`count` {self.latest.count}), so "
            "counting cannot prove that no log is missing, and the server cannot sort the listing. Run the task again "
            "when the workspace is less busy, or use a `filter` that matches fewer logs"
        )

    def catch_up(self) -> Flow[Page | None]:
        """Read the head, and further pages as long as they show only logs that were not seen before.

        :return: the page at the head; None when the listing changed, so that another page is there now
        """
        number = head = 1 if self._rising else self._total
        first: Page | None = None
        while 1 <= number <= self._total:
            ((page, known),) = yield from self._read([number])
            if page is None:
                self._total = max(1, number - 1)
                return None
            first = first or page
            if known:
                break
            number += 1 if self._rising else -1
        return first if self._rising or head == self._total else None

    def _read_tail(self) -> Flow[Page | None]:
        """Read two pages at the tail; return the last one, or None when one of them is not shown."""
        total = self._total
        numbers = (total, total - 1) if self._rising else (1, 2)
        answers: list[Page | None] = []
        step = max(1, min(self._concurrency, len(numbers)))
        for first in range(0, len(numbers), step):
            some = [number for number in numbers[first : first + step] if 1 <= number <= total]
            if some:
                answers += [page for page, _ in (yield from self._read(some))]
        return None if None in answers else answers[0]

    def _read(self, numbers: Sequence[int]) -> Flow[list[tuple[Page | None, bool]]]:
        """Read pages in one step; return each, and whether its last log, in the order of reading, was seen before."""
        self._seen.step += 1
        outcomes = yield from several([self._listing.call(number) for number in numbers])
        answers: list[tuple[Page | None, bool]] = []
        for number, outcome in zip(numbers, outcomes, strict=True):
            page = self._accept(outcome, number)
            answers.append((page, page is None or self._add(page, 0)))
        return answers

    def _accept(self, outcome: Any, number: int) -> Page | None:
        """Return a page, which is empty if the listing is; None when the server does not show it."""
        empty = isinstance(outcome, Page) and not outcome.count
        return outcome if empty else self._listing.accept(outcome, number)
