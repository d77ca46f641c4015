"""Check files against their manifests, against each other and, if asked, against the API."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.verify._file_check import FileCheck
from airflow_provider_secoda.verify._files import Pair, UnreadableError, find_pairs
from airflow_provider_secoda.verify._ids import Ids
from airflow_provider_secoda.verify._messages import quoted, shown
from airflow_provider_secoda.verify._progress import Progress
from airflow_provider_secoda.verify._result import Finding, Result, SeriesKey
from airflow_provider_secoda.verify._series import tile
from airflow_provider_secoda.verify._source import FileRecords, Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from airflow_provider_secoda.verify._records import Record


def verify(
    paths: Sequence[str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    against_source: bool = False,
    conn_id: str | None = None,
    listed: int = 100,
    progress: Progress | None = None,
) -> Result:
    """Check files against their manifests, the windows of each series against time, and ids against each other.

    Memory does not grow with the number of records: what has to be remembered goes to a temporary database, for which
    the temporary directory needs some 40 bytes a record (and 200 a record of the largest file that differs).

    :param paths: files, directories, or URLs that Airflow's object storage takes, of files or prefixes
    :param start: aware; the windows of each series must cover the time from here on, and begin a window here
    :param end: aware; the same for the end
    :param against_source: also read each window again from the API, by the connection that its manifest names
    :param conn_id: for that, another connection
    :param listed: so many findings of each kind are kept for each file; all are counted
    :param progress: told how far the work got
    :raises ValueError: an argument is not as it should be; what cannot be read is told in the result
    """
    for name, edge in (("start", start), ("end", end)):
        if edge is not None and edge.tzinfo is None:
            raise ValueError(f"`{name}` must be aware: {edge}")
    if start is not None and end is not None and start >= end:
        raise ValueError(f"`start` {start} must be before `end` {end}")
    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    first, after = (None if edge is None else to_instant(edge) for edge in (start, end))
    result = Result(tuple(paths), now, __version__, start=first, end=after, against_source=against_source)
    pairs = _find(paths, result)
    progress = progress or Progress()
    progress.total = len(pairs)
    with Ids() as seen, closing(Source(conn_id, progress.tick)) as source:
        check = _Check(result, listed, progress, seen, source if against_source else None)
        for pair in pairs:
            check.add(pair)
    result.series = tile(result.files, first, after, listed)
    return result


def _find(paths: Sequence[str], result: Result) -> list[Pair]:
    found: dict[tuple[Hashable, str], Pair] = {}
    for path in paths:
        try:
            pairs, others = find_pairs(path)
        except UnreadableError as exc:
            result.errors.append(f"{shown(path)}: cannot be read: {exc}")
            continue
        result.others += others
        if not pairs:
            result.errors.append(f"{shown(path)}: no file to check (.jsonl, .ndjson, .jsonl.gz, .ndjson.gz, .parquet)")
        for pair in pairs:
            found.setdefault(pair.identity, pair)
    return list(found.values())


@dataclass
class _Check:
    """The check of several files, one after the other."""

    result: Result
    listed: int
    progress: Progress
    ids: Ids
    source: Source | None
    _series: dict[SeriesKey, int] = field(default_factory=dict)
    _held: FileRecords | None = None

    def add(self, pair: Pair) -> None:
        """Check one more file."""
        self.progress.begin(pair.path)
        one = FileCheck(pair, self.listed, self._watch)
        with ExitStack() as stack:
            self._held = stack.enter_context(FileRecords()) if self.source is not None else None
            file = one.check()
            self.result.files.append(file)
            if file.error is not None:
                self.result.errors.append(f"{shown(file.path)}: {file.error}")
            elif self.source is not None and self._held is not None:
                self._ask(self.source, one, self._held)
        self.progress.done()

    def _ask(self, source: Source, one: FileCheck, known: FileRecords) -> None:
        file = one.result
        if one.stated is None or not file.present:
            return  # there is a finding about that
        self.progress.doing("asking the source for")
        try:
            source.compare(one.stated, file.format, known, file.findings.add)
            file.compared = True
        except SourceError as exc:
            self.result.errors.append(f"the source could not be asked for {shown(file.path)} and what follows: {exc}")
            self.source = None  # what fails once, after all its retries, would fail for each file

    def _watch(self, one: FileCheck, record: Record) -> None:
        self.progress.record()
        if record.id is None:
            return
        if self._held is not None:
            self._held.add(record)
        number, key = len(self.result.files), one.result.series
        # A file of no known series has ids of its own.
        series = -1 - number if key is None else self._series.setdefault(key, len(self._series))
        seen = self.ids.add(series, number, record)
        if seen is None:
            return
        who, first = f"record {record.position}, {quoted(record.id)},", f"as record {seen.position}"
        if seen.file == number:
            text, kind, other = f"{who} stands in the file before, {first}", "twice", None
        else:
            other, kind = self.result.files[seen.file].path, "in_two_files"
            text = f"{who} stands in {shown(other)}, too, {first}"
        one.result.findings.add(Finding(kind, text, record.position, record.id, other=other))
