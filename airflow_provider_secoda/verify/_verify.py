"""Check files against their manifests, against each other and, if requested, against the API."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

from airflow_provider_secoda._arguments import check_count, parse_datetime
from airflow_provider_secoda._storage.window_files import split_window_file
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.signing import load_public_keys
from airflow_provider_secoda.verify._checks.file import FileCheck
from airflow_provider_secoda.verify._checks.series import RecordIndex, check_windows
from airflow_provider_secoda.verify._checks.source import Source, SourceError
from airflow_provider_secoda.verify._checks.supplements import check_supplements
from airflow_provider_secoda.verify._find import find_pairs
from airflow_provider_secoda.verify._messages import escape
from airflow_provider_secoda.verify._result import FileResult, Result

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow_provider_secoda.verify._result import FileResult


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

    def start(self, activity: str, path: str) -> None:
        self.now = f"{activity} {escape(path)}"
        self.write_if_due()

    def count_file(self) -> None:
        self.files += 1
        self.write_if_due()

    def count_record(self) -> None:
        self.records += 1
        self.write_if_due()

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
    public_keys: Sequence[str | os.PathLike[str]] | None = None,
    max_findings: int = 100,
) -> Result:
    """Check files against their manifests, the windows of each series for gaps, and ids against each other.

    Memory does not grow with the number of records: what has to be remembered is in a temporary database, for which
    the temporary directory needs about 40 bytes per record (and 200 per record of the largest file that differs).

    :param paths: files, directories, or URLs that Airflow's object storage takes, of files or prefixes
    :param start: aware, or ISO 8601; the windows of each series must cover the time from here on, and one begin here.
        Of windows that end earlier, only the manifests are read
    :param end: aware, or ISO 8601; the windows of each series must cover the time until here, and one end here. Of
        windows that begin later, only the manifests are read
    :param against_source: also read each window again from the API, through the connection that its manifest names
    :param conn_id: id of the connection to use for that instead
    :param public_keys: paths of PEM files, or PEM, of the keys with one of which each manifest must be signed; None:
        signatures are not checked
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
        public_keys=public_keys,
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
    public_keys: Sequence[str | os.PathLike[str]] | None,
    max_findings: int,
    start_is_edge: bool = True,
) -> Result:
    """Do what :func:`verify` does, and report the progress.

    :param start_is_edge: whether a window must begin at ``start`` also in a series that has no earlier window
    """
    first = None if start is None else to_instant(parse_datetime("start", start))
    after = None if end is None else to_instant(parse_datetime("end", end))
    if first is not None and after is not None and first >= after:
        raise ValueError(f"`start` {start} must be before `end` {end}")
    check_count("max_findings", max_findings)
    keys = _load_public_keys(public_keys)
    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    result = Result(tuple(paths), now, __version__, first, after, against_source)
    result.public_keys = None if keys is None else tuple(keys)
    pairs, result.other_files = find_pairs(paths, result.errors)
    progress.total = len(pairs)
    outside: list[FileResult] = []
    with RecordIndex(hold=against_source) as index, closing(Source(conn_id, progress.write_if_due)) as source:
        for _, pairs_of_window in groupby(pairs, lambda pair: split_window_file(pair.path)[0]):
            files: list[FileResult] = []
            for pair in pairs_of_window:
                progress.start("checking", pair.path)
                before = files[0] if files else None
                check = FileCheck(pair, before, max_findings, keys, (first, after), index, progress.count_record)
                files.append(check.run())
                progress.count_file()
            check_supplements(files)
            result.files += [file for file in files if not file.outside]
            outside += [file for file in files if file.outside]
            result.errors += [f"{escape(file.path)}: {file.error}" for file in files if file.error is not None]
            if against_source and files[0].exists and not any(file.error for file in files):
                progress.start("comparing with the API:", files[0].path)
                try:
                    source.compare(files, index)
                except SourceError as exc:
                    which = escape(files[0].path)
                    result.errors.append(f"{which} and later files were not compared with the API: {exc}")
                    against_source = False  # a read that failed after all its retries would fail for each file
    result.series = check_windows([*result.files, *outside], first, after, max_findings, start_is_edge=start_is_edge)
    return result


def _load_public_keys(public_keys: Sequence[str | os.PathLike[str]] | None) -> dict[str, bytes] | None:
    if public_keys is None:
        return None
    keys = load_public_keys(public_keys)
    if not keys:
        raise ValueError("`public_keys` must contain at least one key; with None, signatures are not checked")
    return keys
