"""Check files against their manifests, against each other and, if requested, against the API."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TextIO

from airflow_provider_secoda._arguments import check_count, parse_datetime
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.verify._checks.file import FileCheck
from airflow_provider_secoda.verify._checks.records import RecordIndex
from airflow_provider_secoda.verify._checks.series import check_windows
from airflow_provider_secoda.verify._checks.source import Source, SourceError
from airflow_provider_secoda.verify._files import Pair, UnreadableError, find_pairs
from airflow_provider_secoda.verify._messages import escape
from airflow_provider_secoda.verify._result import FileResult, Result, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from airflow_provider_secoda.verify._checks.records import Record


@dataclass
class Progress:
    """Counts of a check, written every few seconds; a short check writes nothing.

    :param stream: where to write; None: do not write
    :param seconds: between two lines, and before the first
    :param now: what is done now, and with which file
    """

    stream: TextIO | None = None
    seconds: float = 3.0
    total: int = 0
    files: int = 0
    records: int = 0
    now: str = ""
    _written: float = field(default_factory=time.monotonic)

    def write_if_due(self) -> None:
        """Write a line if enough time has passed."""
        now = time.monotonic()
        if self.stream is None or now - self._written < self.seconds:
            return
        self._written = now
        counts = f"{self.files:,} of {self.total:,} files checked, {self.records:,} records"
        self.stream.write(f"{counts}, now {self.now}\n")
        self.stream.flush()


def verify(
    paths: Sequence[str],
    *,
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    against_source: bool = False,
    conn_id: str | None = None,
    max_findings: int = 100,
    _progress: Progress | None = None,
) -> Result:
    """Check files against their manifests, the windows of each series for gaps, and ids against each other.

    Memory does not grow with the number of records: what has to be remembered is in a temporary database, for which
    the temporary directory needs about 40 bytes per record (and 200 per record of the largest file that differs).

    :param paths: files, directories, or URLs that Airflow's object storage takes, of files or prefixes
    :param start: aware, or ISO 8601; the windows of each series must cover the time from here on, and one begin here
    :param end: aware, or ISO 8601; the windows of each series must cover the time until here, and one end here
    :param against_source: also read each window again from the API, through the connection that its manifest names
    :param conn_id: id of the connection to use for that instead
    :param max_findings: how many findings of each kind are listed per file and series; all are counted
    :raises ValueError: an argument is invalid; what cannot be read is in ``errors`` of the result
    """
    first, after = (
        None if edge is None else to_instant(parse_datetime(name, edge))
        for name, edge in (("start", start), ("end", end))
    )
    if first is not None and after is not None and first >= after:
        raise ValueError(f"`start` {start} must be before `end` {end}")
    check_count("max_findings", max_findings)
    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    result = Result(tuple(paths), now, __version__, first, after, against_source)
    progress = _progress or Progress()
    pairs = _find(paths, result)
    progress.total = len(pairs)
    with RecordIndex() as index, closing(Source(conn_id, progress.write_if_due)) as source:
        checks = _Checks(result, max_findings, progress, index, source if against_source else None)
        for pair in pairs:
            checks.run(pair)
    result.series = check_windows(result.files, first, after, max_findings)
    return result


def _find(paths: Sequence[str], result: Result) -> list[Pair]:
    """Return the files at all paths, each once."""
    found: dict[tuple[Hashable, str], Pair] = {}
    for path in paths:
        try:
            pairs, others = find_pairs(path)
        except UnreadableError as exc:
            result.errors.append(f"{escape(path)}: cannot be read: {exc}")
            continue
        result.other_files += others
        if not pairs:
            result.errors.append(f"{escape(path)}: no file to check (.jsonl, .ndjson, .jsonl.gz, .ndjson.gz, .parquet)")
        for pair in pairs:
            found.setdefault(pair.identity, pair)
    return list(found.values())


@dataclass
class _Checks:
    """Check several files, one after the other.

    :param source: None: do not read the API (any more)
    """

    result: Result
    max_findings: int
    progress: Progress
    index: RecordIndex
    source: Source | None
    _series: dict[SeriesKey, int] = field(default_factory=dict)

    def run(self, pair: Pair) -> None:
        self.progress.now = f"checking {escape(pair.path)}"
        self.progress.write_if_due()
        self.index.clear_held()
        file = FileCheck(pair, self.max_findings, self._on_record).run()
        self.result.files.append(file)
        if file.error is not None:
            self.result.errors.append(f"{escape(file.path)}: {file.error}")
        elif file.exists:
            self._compare_with_source(file)
        self.progress.files += 1
        self.progress.write_if_due()

    def _compare_with_source(self, file: FileResult) -> None:
        if self.source is None or file.series is None or file.window is None:
            return
        self.progress.now = f"comparing with the API: {escape(file.path)}"
        self.progress.write_if_due()
        try:
            self.source.compare(file, file.series, file.window, self.index)
            file.compared = True
        except SourceError as exc:
            self.result.errors.append(f"{escape(file.path)} and later files were not compared with the API: {exc}")
            self.source = None  # a read that failed after all its retries would fail for each file

    def _on_record(self, file: FileResult, record: Record) -> None:
        self.progress.records += 1
        self.progress.write_if_due()
        if record.id is None:
            return
        if self.source is not None:
            self.index.hold(record, record.id)
        number = len(self.result.files)
        # A file of an unknown series is a series of its own.
        series = -1 - number if file.series is None else self._series.setdefault(file.series, len(self._series))
        first = self.index.add(series, number, record.position, record.id)
        if first is None:
            return
        first_file, first_position = first
        text = f"has the same id as record {first_position}"
        if first_file == number:
            file.findings.add("duplicate", text, record.position, record.id)
        else:
            path = self.result.files[first_file].path
            text += f" of {escape(path)}"
            file.findings.add("in_two_files", text, record.position, record.id, other_path=path)
