"""Check files against their manifests, against each other and, if requested, against the API."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_secoda._arguments import check_count, parse_datetime
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.verify._checks.file import FileCheck
from airflow_provider_secoda.verify._checks.series import IdIndex, check_windows
from airflow_provider_secoda.verify._checks.source import FileRecords, Source, SourceError
from airflow_provider_secoda.verify._files import Pair, UnreadableError, find_pairs
from airflow_provider_secoda.verify._messages import escape, record_name
from airflow_provider_secoda.verify._progress import Progress
from airflow_provider_secoda.verify._result import FileResult, Result, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from airflow_provider_secoda.verify._checks.records import Record


def verify(
    paths: Sequence[str],
    *,
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    against_source: bool = False,
    conn_id: str | None = None,
    max_findings: int = 100,
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
    return check_paths(
        paths,
        Progress(),
        start=start,
        end=end,
        against_source=against_source,
        conn_id=conn_id,
        max_findings=max_findings,
    )


def check_paths(
    paths: Sequence[str],
    progress: Progress,
    *,
    start: datetime | str | None,
    end: datetime | str | None,
    against_source: bool,
    conn_id: str | None,
    max_findings: int,
) -> Result:
    """Do what :func:`verify` does, and report the progress."""
    first, after = (
        None if edge is None else to_instant(parse_datetime(name, edge))
        for name, edge in (("start", start), ("end", end))
    )
    if first is not None and after is not None and first >= after:
        raise ValueError(f"`start` {start} must be before `end` {end}")
    check_count("max_findings", max_findings)
    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    result = Result(tuple(paths), now, __version__, first, after, against_source)
    pairs = _find(paths, result)
    progress.total = len(pairs)
    with IdIndex() as ids, closing(Source(conn_id, progress.write_if_due)) as source:
        checks = _Checks(result, max_findings, progress, ids, source if against_source else None)
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
    ids: IdIndex
    source: Source | None
    _series: dict[SeriesKey, int] = field(default_factory=dict)
    _records: FileRecords | None = None

    def run(self, pair: Pair) -> None:
        self.progress.start("checking", pair.path)
        check = FileCheck(pair, self.max_findings, self._on_record)
        with ExitStack() as stack:
            self._records = None if self.source is None else stack.enter_context(FileRecords())
            file = check.run()
            self.result.files.append(file)
            if file.error is not None:
                self.result.errors.append(f"{escape(file.path)}: {file.error}")
            elif check.header is not None and file.exists:
                self._compare_with_source(check)
        self.progress.count_file()

    def _compare_with_source(self, check: FileCheck) -> None:
        if self.source is None or self._records is None or check.header is None:
            return
        file = check.result
        self.progress.start("comparing with the API:", file.path)
        try:
            self.source.compare(check.header, file.format, self._records, file.findings)
            file.compared = True
        except SourceError as exc:
            self.result.errors.append(f"{escape(file.path)} and later files were not compared with the API: {exc}")
            self.source = None  # a read that failed after all its retries would fail for each file

    def _on_record(self, file: FileResult, record: Record) -> None:
        self.progress.count_record()
        if record.id is None:
            return
        if self._records is not None:
            self._records.add(record)
        number = len(self.result.files)
        # A file of an unknown series is a series of its own.
        series = -1 - number if file.series is None else self._series.setdefault(file.series, len(self._series))
        first = self.ids.add(series, number, record)
        if first is None:
            return
        first_file, first_position = first
        name = record_name(record.position, record.id)
        if first_file == number:
            text = f"{name} has the same id as record {first_position}"
            file.findings.add("duplicate", text, record.position, record.id)
        else:
            path = self.result.files[first_file].path
            text = f"{name} has the same id as record {first_position} of {escape(path)}"
            file.findings.add("in_two_files", text, record.position, record.id, other_path=path)
