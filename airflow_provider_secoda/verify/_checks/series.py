"""Check the files of a series against each other: no gap or overlap of their windows, and no id in two of them."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.verify._checks.records import id_key
from airflow_provider_secoda.verify._messages import escape, plural
from airflow_provider_secoda.verify._result import FileResult, Findings, SeriesResult, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda.verify._checks.records import Record
    from airflow_provider_secoda.verify._result import SeriesKey

_NEVER = Span(0, 0)
_SCHEMA = """
CREATE TABLE first (series INTEGER, key BLOB, file INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (series, key)) WITHOUT ROWID;
CREATE TABLE held (key BLOB PRIMARY KEY, file INTEGER NOT NULL, position INTEGER NOT NULL, at INTEGER,
  sha256 TEXT NOT NULL, id BLOB NOT NULL) WITHOUT ROWID;
"""


class RecordIndex(ScratchDatabase):
    """Remember on disk where each id of each series was first found, and the records of the latest window.

    :param hold: whether the records of the latest window are needed
    """

    def __init__(self, *, hold: bool) -> None:
        super().__init__(_SCHEMA)
        self._hold = hold
        self._files: list[FileResult] = []
        self._series: dict[SeriesKey | str, int] = {}

    def start_file(self, file: FileResult, *, same_window: bool = False) -> None:
        """Add a file; the records that follow are its.

        :param same_window: whether it is a supplement of the file before
        """
        self._files.append(file)
        if not same_window:
            self.database.execute("DELETE FROM held")

    def add(self, file: FileResult, record: Record) -> None:
        """Add a record; that its id was added before is a finding."""
        if record.id is None:
            return
        key, number = id_key(record.id), len(self._files) - 1
        execute = self.database.execute
        if self._hold:
            held = (key, number, record.position, record.at, record.sha256, encode_text(record.id))
            execute("INSERT INTO held VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", held)
        # A file of an unknown series is a series of its own.
        series = self._series.setdefault(file.series or file.path, len(self._series))
        row = (series, key, number, record.position)
        if execute("INSERT INTO first VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row).rowcount:
            return
        query = "SELECT file, position FROM first WHERE series = ? AND key = ?"
        ((first_file, first_position),) = execute(query, (series, key))
        text = f"has the same id as record {first_position}"
        if first_file == number:
            file.findings.add("duplicate", text, record.position, record.id)
        elif not are_apart(self._files[first_file], file):
            path = self._files[first_file].path
            text += f" of {escape(path)}"
            file.findings.add("in_two_files", text, record.position, record.id, other_path=path)

    def take(self, record_id: str) -> tuple[FileResult, int, str] | None:
        """Return file, position and sha256 of a record of the latest window, and remove it; None: there is none."""
        key = (id_key(record_id),)
        row = self.database.execute("SELECT file, position, sha256 FROM held WHERE key = ?", key).fetchone()
        self.database.execute("DELETE FROM held WHERE key = ?", key)
        return None if row is None else (self._files[row[0]], *row[1:])

    def remaining(self) -> Iterator[tuple[FileResult, int, str, int | None]]:
        """Yield file, position, id and timestamp of the records of the latest window that were not taken."""
        query = "SELECT file, position, id, at FROM held ORDER BY file, position"
        for number, position, blob, at in self.database.execute(query):
            yield self._files[number], position, decode_text(blob), at


def are_apart(one: FileResult, other: FileResult) -> bool:
    """Return whether two files of a query are of different series: other DAGs wrote them, and the windows overlap."""
    if None in (one.dag_id, other.dag_id) or one.dag_id == other.dag_id or one.window is None or other.window is None:
        return False
    return max(one.window.start, other.window.start) < min(one.window.end, other.window.end)


def check_windows(
    files: Iterable[FileResult],
    start: int | None,
    end: int | None,
    max_findings: int,
    *,
    start_is_edge: bool = True,
) -> list[SeriesResult]:
    """Group files into series, and check that the windows of each leave no gap and do not overlap.

    Only the windows of files that exist count; supplements belong to the window of their first file.

    :param start: microseconds; a window of each series must begin here, without a gap after it
    :param end: microseconds; a window of each series must end here, without a gap before it
    :param start_is_edge: whether a window must begin at ``start`` also in a series that has no earlier window
    """
    series: dict[SeriesKey, list[FileResult]] = {}
    for file in files:
        if file.series is not None:
            series.setdefault(file.series, []).append(file)
    _split_by_dag(series)
    results = []
    for key in sorted(series, key=lambda key: [part or "" for part in astuple(key)]):
        result = SeriesResult(key, Findings(max_findings))
        existing = [file for file in series[key] if file.exists]
        first_files = [(file.window, file) for file in series[key] if file.window and file.supplement is None]
        windows = [(window, file) for window, file in first_files if file.exists]
        outside = [window for window, file in first_files if file.outside]
        first = start if start_is_edge or any(window.end <= (start or 0) for window in outside) else None
        windows.sort(key=lambda each: (each[0].start, each[0].end, each[1].path))
        result.windows = len(windows)
        result.records = sum(file.records for file in existing)
        if windows:
            result.span = Span(windows[0][0].start, max(window.end for window, _ in windows))
            _check_adjacent(windows, result.findings)
            _check_span(result.span, [window for window, _ in windows], first, end, result.findings)
        elif not outside:
            result.findings.add("gap", "there are no windows: all files of this series are missing")
        elif first is not None and end is not None:
            _add_gap(result.findings, first, end, "all windows of this series are earlier or later")
        if outside:
            text = f"{plural(len(outside), 'window')} outside of the requested span: not checked"
            result.findings.add("outside_span", text)
        results.append(result)
    return results


def _split_by_dag(series: dict[SeriesKey, list[FileResult]]) -> None:
    """Make files of one query that several DAGs have written a series for each DAG, if their windows overlap.

    Otherwise they are one series: a DAG can have been renamed, or another one has written the older windows.
    """
    for key, files in list(series.items()):
        latest: dict[str | None, FileResult] = {}
        for file in sorted((file for file in files if file.window), key=lambda file: (file.window or _NEVER).start):
            if any(are_apart(file, other) for other in latest.values()):
                break
            last = latest.get(file.dag_id)
            if last is None or (last.window or _NEVER).end < (file.window or _NEVER).end:
                latest[file.dag_id] = file
        else:
            continue
        del series[key]
        for file in files:
            file.series = replace(key, dag_id=file.dag_id)
            series.setdefault(file.series, []).append(file)


def _check_adjacent(windows: list[tuple[Span, FileResult]], findings: Findings) -> None:
    until, last = windows[0][0].start, windows[0][1]
    for window, file in windows:
        if window.start > until:
            _add_gap(findings, until, window.start, f"between {escape(last.path)} and {escape(file.path)}")
        elif window.start < until:
            common = Span(window.start, min(window.end, until))
            text = f"{_interval(common)} is covered by two files: {escape(last.path)} and {escape(file.path)}"
            findings.add("overlap", text, timestamp=format_instant(common.start), other_path=file.path)
        if window.end > until:
            until, last = window.end, file


def _check_span(span: Span, windows: list[Span], start: int | None, end: int | None, findings: Findings) -> None:
    if start is not None and span.start > start:
        _add_gap(findings, start, min(span.start, end or span.start), "no window begins at the requested start")
    if end is not None and span.end < end:
        _add_gap(findings, max(span.end, start or span.end), end, "no window ends at the requested end")
    for name, edge in (("start", start), ("end", end)):
        if edge is not None and any(window.start < edge < window.end for window in windows):
            moment = format_instant(edge)
            text = f"the requested {name} {moment} is inside a window, not at its edge"
            findings.add("inside_window", text, timestamp=moment)


def _add_gap(findings: Findings, start: int, end: int, where: str) -> None:
    text = f"no file covers {_interval(Span(start, end))}: {where}"
    findings.add("gap", text, timestamp=format_instant(start))


def _interval(span: Span) -> str:
    return "[{}, {})".format(*span.edges)
