"""See that the windows of each series tile time: no gap, no overlap, and the asked span covered to both its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.verify._messages import plural, shown
from airflow_provider_secoda.verify._result import FileResult, Finding, Findings, SeriesResult, Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_secoda.verify._result import SeriesKey


def tile(files: Iterable[FileResult], start: int | None, end: int | None, listed: int) -> list[SeriesResult]:
    """Sort files into series and lay the windows of each side by side; only files that are there cover anything.

    :param start: microseconds; the span that each series has to cover must begin at the edge of a window
    :param end: the same for its end
    """
    series: dict[SeriesKey, list[FileResult]] = {}
    for file in files:
        if file.series is not None and file.window is not None:
            series.setdefault(file.series, []).append(file)
    return [_tile(SeriesResult(key, Findings(listed)), series[key], start, end) for key in sorted(series, key=_order)]


def _order(key: SeriesKey) -> tuple[str, ...]:
    return (key.connection_id, key.base_url, key.timestamp_field, key.filter or "", key.format)


def _tile(series: SeriesResult, files: list[FileResult], start: int | None, end: int | None) -> SeriesResult:
    windows = sorted(
        ((file.window, file) for file in files if file.window is not None and file.present),
        key=lambda each: (each[0].start, each[0].end, each[1].path),
    )
    series.windows = len(windows)
    series.records = sum(file.records for _, file in windows)
    if not windows:
        series.findings.add(Finding("gap", "no window at all: none of its files is there"))
        return series
    series.span = Span(windows[0][0].start, max(window.end for window, _ in windows))
    until, last = windows[0][0].start, windows[0][1]
    for window, file in windows:
        if window.start > until:
            series.findings.add(_gap(until, window.start, f"between {shown(last.path)} and {shown(file.path)}"))
        elif window.start < until:
            common = Span(window.start, min(window.end, until))
            text = f"{_between(common)} is covered twice: {shown(last.path)} and {shown(file.path)}"
            series.findings.add(Finding("overlap", text, at=format_instant(common.start), other=file.path))
        if window.end > until:
            until, last = window.end, file
    _cover(series, series.span, [window for window, _ in windows], start, end)
    return series


def _cover(series: SeriesResult, span: Span, windows: list[Span], start: int | None, end: int | None) -> None:
    if start is not None and span.start > start:
        series.findings.add(_gap(start, min(span.start, end or span.start), "no window begins at --start"))
    if end is not None and span.end < end:
        series.findings.add(_gap(max(span.end, start or span.end), end, "no window ends at --end"))
    for name, edge in (("start", start), ("end", end)):
        if edge is not None and any(window.start < edge < window.end for window in windows):
            text = f"--{name} {format_instant(edge)} lies inside a window, not at its edge"
            series.findings.add(Finding("edge", text, at=format_instant(edge)))
    beyond = [
        window
        for window in windows
        if (start is not None and window.end <= start) or (end is not None and window.start >= end)
    ]
    if beyond:
        text = f"{plural(len(beyond), 'window')} outside of --start and --end: checked all the same"
        series.findings.add(Finding("beyond", text))


def _gap(start: int, end: int, where: str) -> Finding:
    return Finding("gap", f"nothing covers {_between(Span(start, end))}: {where}", at=format_instant(start))


def _between(span: Span) -> str:
    return f"[{format_instant(span.start)}, {format_instant(span.end)})"
