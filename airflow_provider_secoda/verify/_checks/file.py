"""Check one file against its manifest."""

from __future__ import annotations

import io
import json
import math
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda._storage.formats import format_of, require_format
from airflow_provider_secoda._storage.manifest import ManifestError, read_manifest
from airflow_provider_secoda._storage.window_files import split_window_file
from airflow_provider_secoda.client._api.timestamps import parse_instant
from airflow_provider_secoda.verify._checks.header import Header
from airflow_provider_secoda.verify._checks.records import check_records, compare_records
from airflow_provider_secoda.verify._checks.signature import check_signature, manifest_copy
from airflow_provider_secoda.verify._files import (
    PIECE_BYTES,
    DigestReader,
    UnreadableError,
    open_digest_reader,
    open_local_copy,
    read_lines,
)
from airflow_provider_secoda.verify._messages import escape, quote
from airflow_provider_secoda.verify._result import FileResult, Findings, SeriesKey, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_secoda._storage.target import StorageTarget
    from airflow_provider_secoda.verify._checks.header import RecordedFile, Supplement
    from airflow_provider_secoda.verify._checks.records import Record
    from airflow_provider_secoda.verify._checks.series import RecordIndex
    from airflow_provider_secoda.verify._find import Pair


class FileCheck:
    """The check of one file.

    :param first: the first file of the window, if this one may be a supplement
    :param public_keys: by their ids; the manifest must be signed with one of them. None: signatures are not checked
    :param span: only the manifest is read if the window is outside of this span; an edge may be None
    :param index: gets all records
    :param on_record: called after each record
    """

    def __init__(
        self,
        pair: Pair,
        first: FileResult | None,
        max_findings: int,
        public_keys: Mapping[str, bytes] | None,
        span: tuple[int | None, int | None],
        index: RecordIndex,
        on_record: Callable[[], None],
    ) -> None:
        self._pair = pair
        self._first = first
        self._public_keys = public_keys
        self._start, self._end = span
        self._signing_key: Any = None
        self._index = index
        self._on_record = on_record
        self._result = FileResult(pair.path, format_of(pair.path), Findings(max_findings))
        self._findings = self._result.findings
        self._recorded: RecordedFile | None = None
        self._same_records: bool | None = None

    def run(self) -> FileResult:
        """Read the file and its manifest; ``error`` of the result says what could not be read."""
        self._index.start_file(self._result, same_window=self._first is not None)
        try:
            if self._pair.manifest is None:
                text = "manifest missing: the file may be incomplete, or it was written with write_manifest=False"
                self._findings.add("manifest_missing", text)
                self._check_file(None)
            else:
                self._check_signed_file(self._pair.manifest, self._public_keys)
        except UnreadableError as exc:
            self._result.error = f"could not be read: {exc}"
        except ModuleNotFoundError as exc:
            self._result.error = str(exc)
        return self._result

    def _check_signed_file(self, target: StorageTarget, public_keys: Mapping[str, bytes] | None) -> None:
        with nullcontext() if public_keys is None else manifest_copy() as copy:
            with open_digest_reader(target, copy) as manifest:
                self._check_file(self._check_manifest(manifest))
                manifest.read_to_end()
            self._result.manifest_sha256 = manifest.sha256
            if copy is not None and public_keys is not None and not self._result.outside:
                self._result.signing_key = check_signature(
                    target, copy, manifest.size, self._signing_key, public_keys, self._findings
                )

    def _check_manifest(self, manifest: DigestReader) -> Iterator[tuple[str, str]] | None:
        """Check the header of the manifest; return the records that follow, None if it is invalid."""
        try:
            header, listed = read_manifest(io.BufferedReader(manifest, PIECE_BYTES))
            self._signing_key = header.get("signing_key")
            self._check_header(header)
        except ManifestError as exc:
            self._add_invalid_manifest(exc)
            return None
        return listed

    def _add_invalid_manifest(self, exc: ManifestError) -> None:
        self._findings.add("manifest_invalid", f"the manifest is invalid: {escape(str(exc))}")

    def _check_header(self, header: dict[str, Any]) -> None:
        try:
            converted = msgspec.convert(header, Header)
            file, query, source, read = converted.file, converted.query, converted.source, converted.read
            window = Span(parse_instant(query.start), parse_instant(query.end))
            started_at = math.inf if read is None else parse_instant(read.started_at)
            settle = 0.0 if read is None else read.settle_seconds
            canonical_filter = None if query.filter is None else json.dumps(query.filter, sort_keys=True)
        except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
            raise ManifestError(f"its header is invalid: {exc}") from None
        if window.start >= window.end:
            raise ManifestError("its window does not end after its start")
        result = self._result
        result.window = window
        is_before = self._start is not None and window.end <= self._start
        result.outside = is_before or (self._end is not None and window.start >= self._end)
        result.series = SeriesKey(
            source.connection_id, source.base_url, query.timestamp_field, canonical_filter, file.format
        )
        if converted.run is not None and isinstance(converted.run.dag_id, str):
            result.dag_id = converted.run.dag_id
        self._recorded, result.recorded_sha256, result.recorded_count = file, file.sha256, file.count
        if file.name != result.path.rpartition("/")[2]:
            self._findings.add("wrong_manifest", f"the manifest is for another file, {quote(file.name)}")
        self._check_supplement(converted.supplement)
        seconds = (window.end - started_at) / 1_000_000 + settle
        if seconds > 0:
            text = f"the read began {seconds:g} s before the window had settled: later logs are missing"
            self._findings.add("early", text)
        if file.format != result.format:
            self._findings.add("inconsistent", f"the manifest records the format {quote(file.format)}")

    def _check_supplement(self, recorded: Supplement | None) -> None:
        if recorded is None:
            return
        result = self._result
        result.supplement, result.predecessor_sha256 = recorded.number, recorded.previous_manifest_sha256
        first, number = split_window_file(result.path)
        if (recorded.of, recorded.number) != (first.rpartition("/")[2], number):
            text = f"the manifest is that of supplement {recorded.number} of {quote(recorded.of)}"
            self._findings.add("inconsistent", text)
        if self._first is not None:
            # Another DAG may have added what came late; it continues the series of the first file.
            result.dag_id = self._first.dag_id
            if (self._first.series, self._first.window) not in ((None, None), (result.series, result.window)):
                text = f"its window or its query is not that of {escape(self._first.path)}"
                self._findings.add("inconsistent", text)

    def _check_file(self, listed: Iterator[tuple[str, str]] | None) -> None:
        if self._result.outside:
            return
        if self._pair.file is None:
            rest = "signature" if self._pair.manifest is None else "manifest"
            self._findings.add("file_missing", f"file missing: only its {rest} exists")
            return
        result = self._result
        require_format(result.format)
        with self._open(self._pair.file) as (reader, raws):
            records = self._records(raws)
            try:
                if listed is not None:
                    self._same_records = compare_records(listed, records, self._findings)
            except ManifestError as exc:
                self._add_invalid_manifest(exc)
            for _ in records:  # those that the comparison did not read
                pass
        result.bytes, result.sha256 = reader.size, reader.sha256
        if self._recorded is not None:
            self._check_digest(reader, self._recorded)

    def _records(self, raws: Iterator[bytes]) -> Iterator[Record]:
        for record in check_records(raws, self._result):
            self._index.add(self._result, record)
            self._on_record()
            yield record

    @contextmanager
    def _open(self, target: StorageTarget) -> Iterator[tuple[DigestReader, Iterator[bytes]]]:
        if self._result.format != "parquet":
            with open_digest_reader(target) as reader:
                yield reader, read_lines(reader, self._result.format)
            return
        from airflow_provider_secoda.verify._checks.parquet import read_parquet  # noqa: PLC0415 - pyarrow is an extra

        with open_local_copy(target) as (path, reader):
            as_written = self._result.recorded_sha256 == reader.sha256
            yield reader, read_parquet(path, self._findings, as_written=as_written)

    def _check_digest(self, found: DigestReader, recorded: RecordedFile) -> None:
        add = self._findings.add
        if found.sha256 != recorded.sha256:
            if self._same_records and self._findings.counts["damaged"]:
                pass  # bytes were added behind the records, which `damaged` says
            elif self._same_records and not self._findings.counts.keys() & {"column_mismatch"}:
                add("reencoded", "other bytes, same records: the file was written again, its records are unchanged")
            else:
                expected = f"{recorded.bytes:,} bytes with sha256 {escape(recorded.sha256)}"
                text = f"{found.size:,} bytes with sha256 {found.sha256}; the manifest records {expected}"
                add("checksum", text)
        elif self._same_records is False:
            text = "the file has the recorded sha256, but the manifest lists other records: the manifest was altered"
            add("inconsistent", text)
        elif recorded.bytes != found.size:
            add("inconsistent", f"the manifest records {recorded.bytes:,} bytes, but the file has {found.size:,}")
        if self._same_records and recorded.count != self._result.records:
            text = f"the manifest counts {recorded.count:,} records, but lists {self._result.records:,}"
            add("inconsistent", text)
