"""Read a listing whose order is not reliable: all pages, until it is proven that no log was missed.

The proof is counting. A log that was seen before a moment and again after it was in the listing at that moment. When as
many logs were seen both before and after one answer as its ``count``, they are the complete listing of the moment at
which the server counted, in any order of the pages and with any changes of the listing. The logs in that answer do not
matter: a server may count before or after it reads them. A log that one page shows twice counts twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.audit_log_page import Log, Page
from airflow_provider_secoda.client._api.flow import Call, Flow, answered, several
from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client._audit_logs.consistency import find_different_content
from airflow_provider_secoda.client._audit_logs.output import VerifiedPages, ids_not_unique
from airflow_provider_secoda.client.errors import SecodaIncompleteError
from airflow_provider_secoda.client.filters import Sort

if TYPE_CHECKING:
    from airflow_provider_secoda.client._audit_logs.listing import Listing
    from airflow_provider_secoda.client._audit_logs.output import WindowReport

MAX_PASSES = 6
#: Another endpoint of the API returns at most this many results over all its pages (catalog, API reference).
KNOWN_CAP = 10_000


class _SeenLogs:
    """In which passes over the pages each log was seen, and the logs of the window.

    :param report: where logs are recorded that a page shows twice
    """

    def __init__(self, start: Instant, end: Instant, report: WindowReport) -> None:
        self.start, self.end = start, end
        self._report = report
        #: The first and the last pass in which a log was seen so often on one page.
        self.first_pass: dict[tuple[str, int], int] = {}
        self.last_pass: dict[tuple[str, int], int] = {}
        #: The timestamp of each log, the page on which it was last seen, and in which pass.
        self.shown: dict[str, tuple[Instant, int, int]] = {}
        #: A log that was on two pages in the last pass, and the pages.
        self.on_two_pages: tuple[int, str, int, int] | None = None
        self.window: dict[str, Log] = {}
        self.oldest: Instant | None = None
        self.newest: Instant | None = None
        #: For each pass: ``count`` of the answer after it, and the ids of its pages.
        self.counts: list[int] = []
        self.pages: list[dict[int, int]] = []

    def add(self, page: Page, pass_number: int) -> None:
        self._add_places(page, pass_number)
        for log in page.logs:
            at, number, seen_in = self.shown.get(log.id, (log.at, page.number, pass_number))
            if at != log.at:
                # The log may have been missing from the listing in between, but the proof requires that it was not.
                raise ids_not_unique(log, at, number, page.number)
            if number != page.number and seen_in == pass_number:
                self.on_two_pages = pass_number, log.id, min(number, page.number), max(number, page.number)
            self.shown[log.id] = log.at, page.number, pass_number
            if self.oldest is None or log.at < self.oldest:
                self.oldest = log.at
            if self.newest is None or log.at > self.newest:
                self.newest = log.at
            if self.in_window(log):
                self.window.setdefault(log.id, log)

    def _add_places(self, page: Page, pass_number: int) -> None:
        if different := find_different_content([page]):
            raise ids_not_unique(*different)
        if len(self.pages) <= pass_number:
            self.pages.append({})
        self.pages[pass_number][page.number] = hash(page.ids)
        for id_, times in Counter(page.ids).items():
            if times > 1:
                self._report.record_listed_twice(id_, page.number)
            for place in range(times):
                self.first_pass.setdefault((id_, place), pass_number)
                self.last_pass[id_, place] = pass_number

    def in_window(self, log: Log) -> bool:
        return self.start <= log.at < self.end

    def is_complete(self) -> bool:
        """Return whether at the moment of one of the counts every log of the listing is known."""
        return any(
            sum(1 for place, first in self.first_pass.items() if first <= number < self.last_pass[place]) == count
            for number, count in enumerate(self.counts[:-1])
        )

    def is_unchanged(self) -> bool:
        """Return whether the last three passes returned the same pages: a further one would, too."""
        last = list(zip(self.pages, self.counts, strict=True))[-3:]
        return len(last) == 3 and last[0] == last[1] == last[2]  # noqa: PLR2004


def read_everything(
    listing: Listing, window: tuple[Instant, Instant], first_page: Page, *, concurrency: int
) -> Flow[tuple[list[Log], Instant | None]]:
    """Read all pages at least twice; return the logs of the window, and the timestamp of the oldest log of all.

    :param listing: without a sort
    :param window: half-open ``[start, end)``
    :param first_page: the first page that the read has seen, maybe sorted
    :raises SecodaIncompleteError: when no pass was proven complete, or the listing is truncated
    """
    seen, missing = _SeenLogs(*window, listing.report), 0
    for pass_number in range(MAX_PASSES):
        # In parallel while nothing changes; otherwise one by one, so that an arrival at the head can only repeat logs.
        parallel = concurrency if pass_number < 2 else 1  # noqa: PLR2004
        missing_before = missing
        missing = yield from _read_pass(listing, seen, pass_number, parallel, first_page.total_pages)
        if missing and missing_before:  # once may be a page whose logs expired just then
            raise SecodaIncompleteError(
                f"page {missing} of {first_page.total_pages} is empty or refused, so the listing is truncated there, "
                "and the server cannot sort it. Use a `filter` that matches fewer logs"
            )
        # Logs that arrived during the pass are seen before the next answer, of which only the count is used.
        seen.add((yield from listing.read_page(1)), pass_number)
        answer = yield from listing.read_page(1)
        seen.counts.append(answer.count)
        if seen.is_complete():
            break
        if seen.is_unchanged():
            raise _never_complete(seen, pass_number + 1, answer)
        listing.report.rereads += pass_number > 0
    else:
        raise _never_complete(seen, MAX_PASSES, answer)
    if answer.count == KNOWN_CAP:
        raise SecodaIncompleteError(
            f"the listing has exactly {KNOWN_CAP} logs, a known limit of the API, and the server cannot sort it: there "
            "may be more logs. Use a `filter` that matches fewer logs"
        )
    if any(id_ not in seen.shown for id_ in first_page.ids):
        raise SecodaIncompleteError(
            "the listing is truncated: sorted, it showed logs that it does not show without a sort. Use a `filter` "
            "that matches fewer logs"
        )
    yield from _check_both_ends(listing, seen, answer.count, first_page)
    listing.report.history_from, listing.report.history_to = seen.oldest, seen.newest
    if seen.oldest is not None and seen.newest is not None:
        verified = VerifiedPages(None, 1, answer.total_pages, seen.oldest, seen.newest, answer.count)
        listing.report.verified_pages.append(verified)
    return list(seen.window.values()), seen.oldest


def _never_complete(seen: _SeenLogs, passes: int, answer: Page) -> SecodaIncompleteError:
    twice = ""
    if seen.on_two_pages and seen.on_two_pages[0] == passes - 1:
        _, id_, first, other = seen.on_two_pages
        twice = f"; log {id_!r} was on the pages {first} and {other}"
    return SecodaIncompleteError(
        f"{passes} reads of all pages ({answer.total_pages} pages, `count` {answer.count}) returned "
        f"{len(seen.shown)} different logs{twice}: the listing changed, or its order depends on the page, or it lists "
        "logs more than once. Run the task again, with `concurrency=1`, or use a `filter` that matches fewer logs"
    )


def _check_both_ends(listing: Listing, seen: _SeenLogs, count: int, first_page: Page) -> Flow[None]:
    """Request page 1 in both orders, in case the server sorts partly: logs not seen before show a truncated listing.

    When ``count`` may be capped, all pages are requested in both orders.

    :raises SecodaIncompleteError: when the listing is truncated
    """
    sorts: list[Sort] = [Sort(listing.timestamp_field, "asc"), Sort(listing.timestamp_field, "desc")]
    capped = listing.count_may_be_capped
    for sort, number in product(sorts, range(1, first_page.total_pages + 1 if capped else 2)):
        (page,) = yield from several([replace(listing, sort=sort).call(number)])
        if not isinstance(page, Page):
            continue  # the server refuses to sort
        if number == 1 and page.count and not page.logs:
            raise SecodaIncompleteError(
                f"sorted by {listing.timestamp_field} ({sort.order}) the listing counts {page.count} logs, but page 1 "
                "is empty: it is truncated at logs that it does not show. Use a `filter` that matches fewer logs"
            )
        if page.count != count:
            # Only a truncated listing has another count when it is sorted; but the count may have changed since.
            again = yield from listing.read_page(1)
            if again.count != page.count:
                raise SecodaIncompleteError(
                    f"`count` is {page.count} sorted by {listing.timestamp_field}, but {again.count} without a sort: "
                    "the listing is truncated. Use a `filter` that matches fewer logs"
                )
        unseen = [log for log in page.logs if log.id not in (seen.window if seen.in_window(log) else seen.shown)]
        if len(unseen) < len(page.logs) and not (capped and page.count <= first_page.count):
            # On a page with logs that were seen, logs newer than all of them have only just arrived. Those of the
            # window belong to the result. But when `count` may be capped and did not grow, they were there before.
            seen.window |= {log.id: log for log in unseen if seen.in_window(log)}
            unseen = [log for log in unseen if log.at <= (seen.newest or 0)]
        if unseen:
            raise SecodaIncompleteError(
                f"the listing is truncated: sorted by {listing.timestamp_field} it shows logs that its "
                f"{first_page.total_pages} pages do not show, for example one of {format_instant(unseen[0].at)}. Use a "
                "`filter` that matches fewer logs"
            )


def _read_pass(listing: Listing, seen: _SeenLogs, pass_number: int, parallel: int, total_pages: int) -> Flow[int]:
    """Read page 1 to the last page; return the number of the first page that the server did not show, or 0.

    :param parallel: how many requests may be in flight
    :param total_pages: how many pages the listing had at first
    """
    total, following, missing = 1, 1, 0
    max_pages = 2 * total_pages + 16
    in_flight: dict[Call, int] = {}
    while following <= total or in_flight:
        start: dict[Call, int] = {}
        while following <= total and len(in_flight) + len(start) < parallel:
            start[listing.call(following)] = following
            following += 1
        in_flight.update(start)
        call, outcome = answered((yield list(start)))
        number = in_flight.pop(call, None)
        if number is None:
            continue  # read ahead by an earlier flow, and not needed
        page = listing.accept(outcome, number)
        if page is None:
            if isinstance(outcome, Page) and outcome.count == 0:
                continue
            missing = min(missing or number, number)
        else:
            total = page.total_pages
            seen.add(page, pass_number)
        if following > max_pages:
            raise SecodaIncompleteError(
                f"the listing grew from {total_pages} to more than {max_pages} pages during the read. Run the task "
                "again later"
            )
    return missing if missing <= total else 0
