"""Decide whether the end of a listing is the beginning of the history, or whether the listing is truncated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.client._audit_logs.consistency import repeats
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.consistency import Snapshot
    from airflow_provider_secoda.client._audit_logs.listing import Listing
    from airflow_provider_secoda.client._audit_logs.read_direction import DirectionResult

_ADVICE = "Run the task again; if the error persists, contact Secoda's support"


@dataclass(frozen=True)
class ListingEnd:
    """What the end of a listing means.

    :param truncated: why the listing must have more logs than it showed; empty when its end is the end of the history
    :param opposite: page 1 in the opposite order, where it was requested; it has logs
    """

    truncated: str = ""
    opposite: Page | None = None


def may_repeat(listing: Listing, snapshot: Snapshot) -> Flow[bool]:
    """Return whether the last page of the listing may be a repetition of an earlier one, as these pages show it.

    The page before the last one shows whether it is. If both are equal and have one timestamp, only the page on which
    that timestamp begins shows how many places it has. If they show some of the same logs, the listing has moved.
    """
    first, last = snapshot.pages[0], snapshot.pages[-1]
    if first.number == 1 or last.number < last.total_pages:
        return False
    if len(snapshot.pages) > 1:
        return first.logs[0].at == last.logs[-1].at and snapshot.pages[-2].ids == last.ids
    (before,) = yield from listing.read_pages([last.number - 1])
    if before is None or before.ids == last.ids or repeats(before, last):
        return True
    # Repeated pages are not equal if the listing moved in between: some or all of the logs are others. Where nothing
    # moved, a server whose order of a tie depends on the page may show a log of it on both pages.
    moved = abs(before.count - last.count)
    return moved >= len(last.logs) or (moved > 0 and not set(before.ids).isdisjoint(last.ids))


def check_listing_end(listing: Listing, result: DirectionResult) -> Flow[ListingEnd]:
    """Compare the end of a listing with its first pages in the opposite order.

    :param result: a read that came to the end of the listing before the end of the window
    :raises SecodaIncompleteError: when the listing counts logs that it does not show
    """
    last = _last_page(result)
    if not result.last_logs:
        if last.count == 0:
            return ListingEnd()
        raise SecodaIncompleteError(f"the listing counts {last.count} logs, but page 1 is empty. {_ADVICE}")
    shown = shown_logs(result)
    if last.number < last.total_pages:
        return ListingEnd(
            f"page {last.number + 1} of {last.total_pages} is empty, refused or the same as the page before it"
        )
    end = yield from compare_with_opposite(listing, result)
    if not end.truncated and shown != last.count:
        raise SecodaIncompleteError(
            f"the listing counts {last.count} logs, but its {last.number} pages show {shown}. {_ADVICE}"
        )
    return end


def _last_page(result: DirectionResult) -> Page:
    if result.last_page is None:  # pragma: no cover - a read that is not complete has a last page
        raise TypeError("no last page")
    return result.last_page


def shown_logs(result: DirectionResult) -> int:
    """Return how many logs the pages up to the end of the listing have."""
    last = _last_page(result)
    return (last.number - 1) * result.page_size + len(last.logs)


def compare_with_opposite(listing: Listing, result: DirectionResult) -> Flow[ListingEnd]:
    """Read the first pages in the opposite order until they show whether logs are missing at the end.

    When logs of one timestamp fill the first page, those that were not shown may be on the pages after it.

    :param result: a read that came to the end of the listing; it has logs
    :return: ``truncated`` if the opposite order shows a log that the listing did not show
    :raises SecodaIncompleteError: when the opposite order shows no log
    """
    last, shown = _last_page(result), shown_logs(result)
    end, ids = result.last_logs[-1].at, {log.id for log in result.last_logs}
    # Before the window, more logs of the last timestamp may be on earlier pages; they need not be read.
    all_ids_known = listing.position(end) >= result.emitted_before
    opposite, number, first_page = listing.reversed(), 1, None
    while True:
        (page,) = yield from opposite.read_pages([number])
        if page is None:
            raise SecodaIncompleteError(
                f"the listing counts {last.count} logs, but in the opposite order it shows no page {number}. {_ADVICE}"
            )
        first_page = first_page or page
        if any(listing.position(log.at) > listing.position(end) for log in page.logs):
            return ListingEnd(
                f"it ends at {format_instant(end)} after {shown} logs, but in the opposite order it begins at "
                f"{format_instant(page.logs[0].at)}",
                first_page,
            )
        if all_ids_known and any(log.at == end and log.id not in ids for log in page.logs):
            return ListingEnd(f"it ends between logs of the same timestamp, {format_instant(end)}", first_page)
        number += 1
        if page.logs[-1].at != end or page.total_pages < number:
            return ListingEnd(opposite=first_page)
