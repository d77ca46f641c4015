"""Read what lies behind a cut: from the listing's other end, or by date operators that prove themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import Emit, Flow, once
from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client._audit_logs.listing import Report, View, describe_span, open_listing
from airflow_provider_secoda.client._audit_logs.listing_end import check_listing_end
from airflow_provider_secoda.client._audit_logs.page_pairs import read_page_pair
from airflow_provider_secoda.client._audit_logs.read_direction import (
    DirectionResult,
    EmittedLogs,
    WindowQuery,
    read_in_direction,
)
from airflow_provider_secoda.client.errors import SecodaIncompleteError
from airflow_provider_secoda.client.filters import Filter, all_of

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Log, Page


def read_behind_cut(
    query: WindowQuery, view: View, side: DirectionResult, reason: str, out: EmittedLogs, report: Report
) -> Flow[None]:
    """Read what lies behind a cut: from the listing's other end, or by date operators that prove themselves."""
    far = view.flipped()
    first = yield from once(far.call(1))
    report.pages += 1
    report.order, report.count_may_be_capped = "both_ends", True
    report.warn(f"the listing is cut: {reason}; the rest is read from its other end")
    if first.logs and side.tail and far.position(first.logs[0].at) > far.position(side.tail[-1].at):
        raise SecodaIncompleteError(
            f"the listing is cut ({reason}), and asked from its other end it begins amid what was shown"
        )
    other = yield from read_in_direction(far, first, query, out, report)
    if other.complete:
        return
    gap = replace(query, start=other.low)
    if query.date_operators is None:
        raise SecodaIncompleteError(
            f"the listing is cut ({reason}), and from its other end it shows nothing later than "
            f"{format_instant(gap.start)}: {describe_span(gap.start, gap.end)} of the window cannot be reached. "
            "A filter that matches fewer logs may reach it, or `date_operators` in the connection's extra"
        )
    report.order = "narrowed"
    probe = yield from _probe_window(view, side, report)
    yield from _prove_operators(query, probe, report)
    yield from _prove_reach(gap, view, other, side, report)
    yield from _read_narrowed(gap, out, report)


def _probe_window(view: View, side: DirectionResult, report: Report) -> Flow[list[Log]]:
    """Return neighbouring logs in the reachable part of the listing, next to the cut."""
    page = 1 if side.last is None else max(1, side.last.number - 1)
    found = yield from read_page_pair(view, page, 1 << 62, size=side.size, report=report)
    return [] if found is None else list(found.logs)


def _prove_operators(query: WindowQuery, logs: list[Log], report: Report) -> Flow[None]:
    """Check that the operators select exactly what the unfiltered read shows, at both edges."""
    moments = sorted({log.at for log in logs})
    if len(moments) < 3:  # noqa: PLR2004 - one before, one within, one at the end
        raise SecodaIncompleteError("date_operators could not be proven: too few different timestamps to try them on")
    start, end = moments[1], moments[-1]
    expected = {log.id for log in logs if start <= log.at < end}
    found: list[Log] = []
    flow = _read_narrowed(replace(query, start=start, end=end), EmittedLogs(), report)
    answer = None
    try:
        while True:
            step = flow.send(answer)
            if isinstance(step, Emit):
                found += step.value
                answer = None
            else:
                answer = yield step
    except StopIteration:
        pass
    if {log.id for log in found} != expected:
        raise SecodaIncompleteError(
            f"date_operators {dict(query.date_operators or {})} are not to be trusted: over "
            f"{describe_span(start, end)} they gave {len(found)} logs where the listing itself shows {len(expected)}"
        )


def _prove_reach(
    gap: WindowQuery, view: View, older: DirectionResult, newer: DirectionResult, report: Report
) -> Flow[None]:
    """Check that the operators see all of what the cut hides: widened, they show the logs known on either side.

    Right operators may still select from less than the listing, and what they leave out looks like quiet hours.
    """
    if not older.tail or not newer.tail:
        raise SecodaIncompleteError(
            "date_operators could not be proven: the listing shows nothing on one side of the cut"
        )
    before, after = older.tail[-1].at, newer.tail[-1].at
    for looking, start, end, known in (
        (view.flipped(), min(before, gap.start), gap.end, before),
        (view, gap.start, max(after + 1, gap.end), after),
    ):
        page: Page = yield from once(replace(looking, filter=_narrow(gap, start, end)).call(1))
        report.pages += 1
        if not page.logs or page.logs[0].at != known:
            raise SecodaIncompleteError(
                f"date_operators {dict(gap.date_operators or {})} are not to be trusted behind the cut: over "
                f"{describe_span(start, end)} they do not show the log of {format_instant(known)} that is known there"
            )


def _read_narrowed(query: WindowQuery, out: EmittedLogs, report: Report) -> Flow[None]:
    """Read a window as a listing of its own; where that is cut as well, go on below the cut."""
    end = query.end
    while True:
        narrowed = replace(query, end=end, filter=_narrow(query, query.start, end))
        inner = Report(count_may_be_capped=True)
        opened = yield from open_listing(query.field, narrowed.filter, inner)
        shown = [log for page in (opened.newest, opened.oldest) if page is not None for log in page.logs]
        if opened.view is None or any(not query.start <= log.at < end for log in shown):
            raise SecodaIncompleteError(
                f"date_operators {dict(query.date_operators or {})} do not narrow the listing to "
                f"{describe_span(query.start, end)}"
            )
        side = yield from read_in_direction(opened.view, opened.newest, narrowed, out, inner)
        reason = None if side.complete else (yield from check_listing_end(opened.view, side, inner))
        report.pages += inner.pages
        report.pieces += inner.pieces
        if reason is None:
            yield from out.emit(log for log in side.tail if opened.view.position(log.at) >= side.low)
            return
        if 1 - side.low >= end:
            raise SecodaIncompleteError(f"even the narrowed listing is cut ({reason}) within one timestamp")
        end = 1 - side.low


def _narrow(query: WindowQuery, start: Instant, end: Instant) -> Filter | None:
    names = query.date_operators or {}
    edges = [
        {"operator": names["from"], "field": query.field, "value": format_instant(start)},
        {"operator": names["before"], "field": query.field, "value": format_instant(end)},
    ]
    return Filter.parse(all_of(*([query.filter.as_dict()] if query.filter else []), *edges))
