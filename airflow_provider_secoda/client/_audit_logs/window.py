"""Read a half-open time window out of a page-numbered listing: every log that it shows, each once, or an error.

How: sort newest first and check that the order holds; find the window by guessing and bisecting; read it in
stretches of pages that are shown to fit together (:mod:`.snapshot`); keep a witness on both sides. Between two
stretches only a moment is carried over: "all newer logs are out", so that whatever moved meanwhile does no harm. Where
the listing ends before the window does, its other end tells a young workspace from a cut listing, and is the way to
what lies behind the cut. Where no order can be had, everything is read (:mod:`.everything`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import Flow, once
from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.client._audit_logs.consistency import OrderError
from airflow_provider_secoda.client._audit_logs.listing import OpenedListing, Report, View, describe_span, open_listing
from airflow_provider_secoda.client._audit_logs.listing_end import check_listing_end
from airflow_provider_secoda.client._audit_logs.read_direction import EmittedLogs, WindowQuery, read_in_direction
from airflow_provider_secoda.client._audit_logs.truncated_listing import read_behind_cut
from airflow_provider_secoda.client._audit_logs.unordered import read_everything

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Page

__all__ = ["WindowQuery", "read_window"]


def read_window(query: WindowQuery, report: Report) -> Flow[None]:
    """Emit lists of logs until the window is complete.

    :raises SecodaIncompleteError: when it cannot be proven that nothing is missing
    """
    out = EmittedLogs()
    opened = yield from open_listing(query.field, query.filter, report)
    if opened.view is None:
        yield from _read_unordered(query, opened.newest, opened.reason, out, report)
        return
    try:
        yield from _read_ordered(query, opened.view, opened, out, report)
    except OrderError as exc:
        yield from _read_unordered(query, opened.newest, str(exc), out, report)
    out.check_once()


def _read_unordered(query: WindowQuery, newest: Page, reason: str, out: EmittedLogs, report: Report) -> Flow[None]:
    report.order = "everything"
    report.warn(f"the listing's order cannot be relied on ({reason}): all {report.total_pages} pages are read")
    logs = yield from read_everything(
        View(query.field, query.filter),
        query.start,
        query.end,
        concurrency=query.concurrency,
        report=report,
        shown=newest.ids,
    )
    yield from out.emit_new(sorted(logs, key=lambda log: (-log.at, log.id)), report)
    yield from _say_history(query, report, None)


def _read_ordered(
    query: WindowQuery, view: View, opened: OpenedListing, out: EmittedLogs, report: Report
) -> Flow[None]:
    if opened.oldest is not None and opened.oldest.logs:
        report.history_from = opened.oldest.logs[0].at
    if opened.newest.logs:
        report.history_to = opened.newest.logs[0].at
    report.sort = view.sort.text if view.sort is not None else None
    first, rest = opened.newest, query
    for last_try in (False, True):  # a log that arrives late at the very end looks like a cut, but once only
        side = yield from read_in_direction(view, first, rest, out, report)
        reason = None if side.complete else (yield from check_listing_end(view, side, report))
        if reason is None:
            yield from out.emit(log for log in side.tail if view.position(log.at) >= side.low)
            break
        rest = replace(rest, end=1 - side.low)
        if rest.start >= rest.end:
            break
        if last_try:
            yield from read_behind_cut(rest, view, side, reason, out, report)
            break
        first = yield from once(view.call(1))
    yield from _say_history(query, report, view)


def _say_history(query: WindowQuery, report: Report, view: View | None) -> Flow[None]:
    """Say when the listing begins after the window does; a filtered one is asked for the workspace's beginning."""
    young = report.history_from is None or report.history_from >= query.start
    if young and query.filter is not None and view is not None:
        whole: Page = yield from once(replace(view, filter=None).flipped().call(1))
        report.pages += 1
        report.history_from = whole.logs[0].at if whole.logs else None
        young = report.history_from is None or report.history_from >= query.start
    if young:
        since = "is empty" if report.history_from is None else f"begins at {format_instant(report.history_from)}"
        report.warn(
            f"the listing {since}, so it cannot show that nothing happened before in "
            f"{describe_span(query.start, query.end)}: the workspace is younger, or older logs have expired"
        )
