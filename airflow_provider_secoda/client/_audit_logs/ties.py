"""Complete the logs of one timestamp that are on several pages, on a server that does not keep their order.

A *tie* is a group of logs with one timestamp. Without a tie breaker a server may return a tie in another order in each
answer, or in another order on each page and the same at each try, as PostgreSQL does with LIMIT and OFFSET. Then one of
its logs is on two pages and another one on none. A log that is listed twice is on two pages as well.
``docs/explanation/how_a_window_is_read.md`` ("Ties, and logs that are listed twice") has the proof of what this does.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client._audit_logs.consistency import find_different_content, same_places
from airflow_provider_secoda.client._audit_logs.output import ids_not_unique
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.listing import Listing

#: How often the pages of a tie are read before giving up: at most, and when each answer is the same.
MAX_TIE_READS, MAX_SAME_READS = 24, 3


def complete_ties(
    listing: Listing, by_number: Mapping[int, Page], end: int, *, page_size: int, at_end: bool, same_ids: bool
) -> Flow[list[Log] | None]:
    """Return the logs of a page range; None when a log is on two pages because the listing changed.

    :param end: the position at which the window ends
    :param page_size: how many logs a full page has
    :param at_end: whether the listing ends with these pages
    :param same_ids: whether each of these pages was read more than once and always showed the same ids
    :raises SecodaIncompleteError: when a tie cannot be completed
    """
    pages = [by_number[number] for number in sorted(by_number)]
    logs = [log for page in pages for log in page.logs]
    if len({log.id for log in logs}) == len(logs):
        return logs  # nearly always
    ties = _Ties(listing, pages, page_size, same_ids=same_ids)
    if not ties.split:
        return logs
    # Ties that may go on outside the page range are not emitted from it, so they need not be complete.
    needed = {at for at in ties.split if listing.position(at) < end}
    needed -= {ties.logs[0].at} if min(by_number) > 1 else set()
    needed -= set() if at_end else {ties.logs[-1].at}
    if not (yield from ties.complete(needed)):
        return None
    ties.record_listed_twice()
    # Pages in the opposite order also show logs that are on none of these pages.
    shown = (log for log in ties.seen.values() if log.at in ties.places)
    return sorted(shown, key=lambda log: (listing.position(log.at), log.id))


class _Ties:
    """The ties of a page range of which a log is on two pages.

    The number of places that have a timestamp says how many logs the tie has. A log that one answer shows twice has two
    of these places. The pages are read again until every place has a log. If they are the same again, the tie is read
    in the opposite order, in which the pages end at other logs.
    """

    def __init__(self, listing: Listing, pages: Sequence[Page], page_size: int, *, same_ids: bool) -> None:
        self._listing, self._pages, self._page_size, self._same_ids = listing, pages, page_size, same_ids
        self.logs = [log for page in pages for log in page.logs]
        self.seen: dict[str, Log] = {}
        self._places_of: dict[str, int] = {}
        #: How many places each tie has, and how many of them have a log that was seen.
        self.places, self._found = Counter(log.at for log in self.logs), Counter[Instant]()
        self._add(pages)
        self.split = {at for at, places in self.places.items() if self._found[at] < places}
        #: The last answers with logs of these ties or logs next to them, by number; also in the opposite order.
        self._answers = self._with_neighbours(pages)
        self._opposite: dict[int, Page] = {}

    def _add(self, pages: Iterable[Page]) -> None:
        for page in pages:
            for log in page.logs:
                self.seen.setdefault(log.id, log)
            for id_, places in Counter(page.ids).items():
                more = places - self._places_of.get(id_, 0)
                if more > 0:
                    self._places_of[id_] = places
                    self._found[self.seen[id_].at] += more

    def record_listed_twice(self) -> None:
        """Record the logs of which the two places are on two pages in one order, and on one page in the other."""
        for page in self._pages:
            for id_ in page.ids:
                if self._places_of[id_] > 1:
                    self._listing.report.record_listed_twice(id_, page.number)

    def complete(self, needed: Collection[Instant]) -> Flow[bool]:
        """Read the ties again until those that are needed are complete; return whether the pages are unchanged.

        The last read is a check only: what it shows for the first time may have arrived just then.

        :raises SecodaIncompleteError: when they cannot be completed
        """
        self._listing.report.repeats_dropped += sum(self.places[at] - self._found[at] for at in self.split)
        same = 0
        for _ in range(MAX_TIE_READS):
            incomplete = self._incomplete(needed)
            before = [*self._answers.values(), *self._opposite.values()]
            if not (yield from self._is_unchanged()) or any(self._found[at] > self.places[at] for at in needed):
                return False
            if not incomplete:
                return True
            answers = [*self._answers.values(), *self._opposite.values()]
            earlier, different = find_different_content(before), find_different_content(answers)
            if earlier and different and earlier[0].id == different[0].id:  # once may be an edit between two answers
                raise ids_not_unique(*different)
            same = same + 1 if [page.ids for page in answers] == [page.ids for page in before] else 0
            if same == MAX_SAME_READS:
                break
            if same == 1:
                yield from self._read_opposite(incomplete)
        raise self._never_complete(min(incomplete))

    def _incomplete(self, ties: Iterable[Instant]) -> set[Instant]:
        return {at for at in ties if self._found[at] < self.places[at]}

    def _with_neighbours(self, pages: Sequence[Page]) -> dict[int, Page]:
        """Return the pages of the ties, each with its neighbour where a tie begins or ends at the edge of a page.

        Only they show that a tie did not become longer or shorter.
        """
        near = {page.number for page in pages if any(log.at in self.split for log in page.logs)}
        near |= {page.number + 1 for page in pages if page.logs[-1].at in self.split}
        near |= {page.number - 1 for page in pages if page.logs[0].at in self.split}
        return {page.number: page for page in pages if page.number in near}

    def _is_unchanged(self) -> Flow[bool]:
        """Read all pages of the ties again, those in the opposite order last; return whether nothing moved.

        A server may reorder a tie in each answer, so ids may differ. But when ``count`` may be capped, it does not show
        that one log replaced another. So ids that were the same twice may not change, and none may while pages of both
        orders are compared.
        """
        same_ids = self._listing.count_may_be_capped and (self._same_ids or bool(self._opposite))
        for listing, answers in ((self._listing, self._answers), (self._listing.reversed(), self._opposite)):
            again = yield from listing.read_pages(list(answers))
            self._listing.report.record_rereads(len(again), "logs of one timestamp are on several pages")
            for before, after in zip(list(answers.values()), again, strict=True):
                if after is None or not same_places(before.logs, after.logs):
                    return False
                if same_ids and before.ids != after.ids:
                    return False
                answers[after.number] = after
            self._add(answers.values())
        return not self._listing.count_changed(self._pages)

    def _read_opposite(self, ties: Iterable[Instant]) -> Flow[None]:
        """Read ties in the opposite order, on the pages where ``count`` says that they are.

        A page that does not show them is not used.
        """
        count, numbers = self._pages[0].count, set[int]()
        for at in ties:
            index = next(index for index, log in enumerate(self.logs) if log.at == at)
            after = (self._pages[0].number - 1) * self._page_size + index + self.places[at]
            first = (count - after) // self._page_size + 1
            last = (count - after + self.places[at] - 1) // self._page_size + 1
            numbers |= set(range(max(1, first), last + 1))
        numbers -= self._opposite.keys()
        for page in (yield from self._listing.reversed().read_pages(sorted(numbers))):
            if page is not None and any(log.at in self.split for log in page.logs):
                self._opposite[page.number] = page
        self._add(self._opposite.values())

    def _never_complete(self, at: Instant) -> SecodaIncompleteError:
        """Return the error for a tie, with a log of it that was on two pages."""
        pages: dict[str, list[int]] = {}
        for page in self._pages:
            for log in page.logs:
                pages.setdefault(log.id, []).append(page.number)
        twice = next(log.id for log in self.logs if log.at == at and len(set(pages[log.id])) > 1)
        numbers = " and ".join(map(str, pages[twice]))
        return SecodaIncompleteError(
            f"the listing has {self.places[at]} logs of {format_instant(at)}, but repeated reads in both orders "
            f"returned only {self._found[at]} different ones; log {twice!r} is on the pages {numbers}. Either the "
            "server returns logs of one timestamp in an order that depends on the page, or it lists this log more than "
            "once. Use a narrower `filter`, or run the task again when more logs have arrived: then pages begin at "
            "other logs"
        )
