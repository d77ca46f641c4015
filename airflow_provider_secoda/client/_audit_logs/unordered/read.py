"""Read all pages of a listing until it is proven that no log was missed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.audit_log_page import Page
from airflow_provider_secoda.client._api.flow import Flow, several
from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client._audit_logs.output import VerifiedPages
from airflow_provider_secoda.client._audit_logs.unordered.pages import MAX_HEAD_READS, Pages
from airflow_provider_secoda.client._audit_logs.unordered.seen_logs import SeenLogs
from airflow_provider_secoda.client.errors import SecodaIncompleteError
from airflow_provider_secoda.client.filters import Sort

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._audit_logs.listing import Listing

MAX_PASSES = 6
#: Another endpoint of the API returns at most this many results over all its pages (catalog, API reference).
KNOWN_CAP = 10_000


def read_everything(
    listing: Listing, window: tuple[Instant, Instant], first_page: Page, *, concurrency: int
) -> Flow[tuple[list[Log], Instant | None]]:
    """Read all pages at least twice; return the logs of the window, and the timestamp of the oldest log of all.

    :param listing: without a sort
    :param window: half-open ``[start, end)``
    :param first_page: the first page that the read has seen, maybe sorted
    :raises SecodaIncompleteError: when no pass was proven complete, or the listing is truncated
    """
    seen, missing = SeenLogs(*window, listing.report), 0
    unsorted = yield from listing.read_page(1)
    pages = Pages(listing, seen, unsorted, concurrency=concurrency, max_pages=2 * first_page.total_pages + 16)
    for number in range(1, MAX_PASSES + 1):
        missing_before = missing
        missing = yield from pages.read_pass()
        if missing and missing_before:  # once may be a page whose logs expired just then
            raise SecodaIncompleteError(
                f"page {missing} of {first_page.total_pages} is empty or refused, so the listing is truncated there, "
                "and the server cannot sort it. Use a `filter` that matches fewer logs"
            )
        if seen.is_complete():
            break
        if number == MAX_PASSES or seen.is_unchanged():
            raise _never_complete(seen, number, pages.latest)
        listing.report.record_rereads(int(number > 1), "the order is not reliable")
        if not missing:
            yield from pages.find_moment()
    # Logs that arrived since are not mistaken for logs that the listing does not show.
    yield from pages.catch_up()
    answer = pages.latest
    if answer.count == KNOWN_CAP:
        raise SecodaIncompleteError(
            f"the listing has exactly {KNOWN_CAP} logs, a known limit of the API, and the server cannot sort it: there "
            "may be more logs. Use a `filter` that matches fewer logs"
        )
    # As many of the logs as `count` fell by may have expired before page 1 was read without a sort.
    if sum(id_ not in seen.logs for id_ in first_page.ids) > max(0, first_page.count - unsorted.count):
        raise SecodaIncompleteError(
            "the listing is truncated: sorted, it showed logs that it does not show without a sort. Use a `filter` "
            "that matches fewer logs"
        )
    yield from _check_both_ends(listing, seen, pages, first_page)
    listing.report.history_from, listing.report.history_to = seen.oldest, seen.newest
    if seen.oldest is not None and seen.newest is not None:
        verified = VerifiedPages(None, 1, answer.total_pages, seen.oldest, seen.newest, answer.count)
        listing.report.verified_pages.append(verified)
    return list(seen.window.values()), seen.oldest


def _never_complete(seen: SeenLogs, passes: int, answer: Page) -> SecodaIncompleteError:
    twice = ""
    if seen.on_two_pages:
        id_, first, other = seen.on_two_pages
        twice = f"; log {id_!r} was on the pages {first} and {other}"
    return SecodaIncompleteError(
        f"{passes} reads of all pages ({answer.total_pages} pages, `count` {answer.count}) returned "
        f"{len(seen.logs)} different logs{twice}: the listing changed, or its order depends on the page, or it lists "
        "logs more than once. Run the task again, with `concurrency=1`, or use a `filter` that matches fewer logs"
    )


def _check_both_ends(listing: Listing, seen: SeenLogs, pages: Pages, first_page: Page) -> Flow[None]:
    """Request page 1 in both orders, in case the server sorts partly: logs not seen before show a truncated listing.

    When ``count`` may be capped, all pages are requested in both orders.

    :raises SecodaIncompleteError: when the listing is truncated
    """
    sorts: list[Sort] = [Sort(listing.timestamp_field, "asc"), Sort(listing.timestamp_field, "desc")]
    capped = listing.count_may_be_capped
    for sort, number in product(sorts, range(1, first_page.total_pages + 1 if capped else 2)):
        page = yield from _read_sorted(replace(listing, sort=sort), pages, number)
        if page is None:
            continue  # the server refuses to sort
        unseen = [log for log in page.logs if log.id not in (seen.window if seen.in_window(log) else seen.logs)]
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


def _read_sorted(listing: Listing, pages: Pages, number: int) -> Flow[Page | None]:
    """Request a page of a sorted listing; return None when the server refuses to sort.

    Only a truncated listing has another ``count`` when it is sorted; but ``count`` may have changed since. So the page
    is requested until ``count`` is the same in the answer without a sort before it or after it.

    :param listing: with a sort
    """
    shown: tuple[int, int] | None = None
    for _ in range(MAX_HEAD_READS):
        before = pages.latest.count
        (page,) = yield from several([listing.call(number)])
        if not isinstance(page, Page):
            return None
        if number == 1 and page.count and not page.logs:
            order = listing.sort.order if listing.sort else ""
            raise SecodaIncompleteError(
                f"sorted by {listing.timestamp_field} ({order}) the listing counts {page.count} logs, but page 1 "
                "is empty: it is truncated at logs that it does not show. Use a `filter` that matches fewer logs"
            )
        if page.count == before:
            return page
        yield from pages.catch_up()
        after = pages.latest.count
        if page.count == after:
            return page
        if shown == (page.count, after):
            break  # nothing changes any more
        shown = page.count, after
    raise SecodaIncompleteError(
        f"`count` is {page.count} sorted by {listing.timestamp_field}, but {after} without a sort: "
        "the listing is truncated. Use a `filter` that matches fewer logs"
    )
