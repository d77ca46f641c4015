"""Tell the beginning of history from a cut: a listing that ends is asked from its other end where it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.client._audit_logs.listing import Report, View, read_pages
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.read_direction import DirectionResult


def check_listing_end(view: View, side: DirectionResult, report: Report) -> Flow[str | None]:
    """Return why the listing must hold more than it showed, or None when its end is the beginning of history."""
    last = side.last
    if last is None:  # pragma: no cover - a side that is not complete has a last page
        raise TypeError("no last page")
    if not side.tail:
        if last.count == 0:
            return None
        raise SecodaIncompleteError(f"the listing counts {last.count} logs, but shows none")
    shown = (last.number - 1) * side.size + len(last.logs)
    if last.number < last.total_pages:
        return f"page {last.number + 1} of {last.total_pages} is empty or refused"
    tail, ids = side.tail[-1].at, {log.id for log in side.tail}
    number, far = 1, view.flipped()
    # A tie may fill the first pages from the other end: then its other members tell, which come later.
    while True:
        page = yield from _from_other_end(far, number, last.count, report)
        if any(view.position(log.at) > view.position(tail) for log in page.logs):
            end, begin = format_instant(tail), format_instant(page.logs[0].at)
            return f"it ends at {end} after {shown} logs, but asked from its other end begins at {begin}"
        if any(log.at == tail and log.id not in ids for log in page.logs):
            return f"it ends amid logs of the same time, {format_instant(tail)}"
        number += 1
        if page.logs[-1].at != tail or page.total_pages < number:
            break
    if shown != last.count:
        raise SecodaIncompleteError(f"the listing counts {last.count} logs, but its {last.number} pages hold {shown}")
    return None


def _from_other_end(far: View, number: int, count: int, report: Report) -> Flow[Page]:
    """Read a page from the other end, which must be there."""
    (page,) = yield from read_pages(far, [number], report)
    if page is None:
        raise SecodaIncompleteError(
            f"the listing counts {count} logs, but asked from its other end it shows no page {number}"
        )
    if number == 1:
        report.history_from = page.logs[0].at
    return page
