"""Check one file against its manifest."""

from __future__ import annotations

import io
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of, require_format
from airflow_provider_secoda._storage.manifest import ManifestError
from airflow_provider_secoda.verify._checks.difference import compare_records
from airflow_provider_secoda.verify._checks.manifest_header import read_manifest_header
from airflow_provider_secoda.verify._checks.reading import (
    PIECE_BYTES,
    DamagedError,
    DigestReader,
    open_digest_reader,
    open_local_copy,
    read_lines,
)
from airflow_provider_secoda.verify._checks.records import check_records
from airflow_provider_secoda.verify._files import UnreadableError
from airflow_provider_secoda.verify._messages import escape, quote
from airflow_provider_secoda.verify._result import FileResult, Findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_secoda._storage.target import StorageTarget
    from airflow_provider_secoda.verify._checks.manifest_header import ManifestHeader
    from airflow_provider_secoda.verify._checks.records import Record
    from airflow_provider_secoda.verify._files import Pair


class FileCheck:
    """The check of one file.

    :param on_record: called with each record
    """

    def __init__(self, pair: Pair, max_findings: int, on_record: Callable[[FileResult, Record], None]) -> None:
        self.result = FileResult(pair.path, format_of(pair.path), Findings(max_findings))
        self.header: ManifestHeader | None = None
        self._pair = pair
        self._findings = self.result.findings
        self._on_record = on_record
        self._same_records: bool | None = None

    def run(self) -> FileResult:
        """Read the file and its manifest; ``error`` of the result says what could not be read."""
        try:
            with ExitStack() as stack:
                manifest = None
                if self._pair.manifest is not None:
                    manifest = stack.enter_context(open_digest_reader(self._pair.manifest))
                self._check(manifest)
        except UnreadableError as exc:
            self.result.error = f"could not be read: {exc}"
        except ModuleNotFoundError as exc:
            self.result.error = str(exc)
        return self.result

    def _check(self, manifest: DigestReader | None) -> None:
        listed: Iterator[tuple[str, str]] | None = None
        if manifest is None:
            text = "manifest missing: the file may be incomplete, or it was written with write_manifest=False"
            self._findings.add("manifest_missing", text)
        else:
            try:
                self.header, listed = read_manifest_header(io.BufferedReader(manifest, PIECE_BYTES))
                self._check_header(self.header)
            except ManifestError as exc:
                self._add_invalid_manifest(exc)
        if self._pair.file is None:
            self._findings.add("file_missing", "file missing: only its manifest exists")
        else:
            self._check_file(self._pair.file, listed)
        if manifest is not None:
            manifest.read_to_end()
            self.result.manifest_sha256 = manifest.sha256

    def _check_header(self, header: ManifestHeader) -> None:
        result, file = self.result, header.file
        result.series, result.window = header.series, header.window
        result.recorded_sha256, result.recorded_count = file.sha256, file.count
        if file.name != result.path.rpartition("/")[2]:
            self._findings.add("wrong_manifest", f"the manifest is for another file, {quote(file.name)}")
        if header.seconds_too_early:
            text = (
                f"the read began {header.seconds_too_early:g} s before the window had settled: later logs are missing"
            )
            self._findings.add("early", text)
        if file.format != result.format:
            self._findings.add("inconsistent", f"the manifest records the format {quote(file.format)}")

    def _add_invalid_manifest(self, exc: ManifestError) -> None:
        self._findings.add("manifest_invalid", f"the manifest is invalid: {escape(str(exc))}")

    def _check_file(self, target: StorageTarget, listed: Iterator[tuple[str, str]] | None) -> None:
        result = self.result
        require_format(result.format)
        with self._open(target) as (reader, raws):
            records = self._records(raws)
            try:
                if listed is not None:
                    self._same_records = compare_records(listed, records, self._findings)
            except ManifestError as exc:
                self._add_invalid_manifest(exc)
            for _ in records:  # those that the comparison did not read
                pass
        result.bytes, result.sha256 = reader.size, reader.sha256
        if self.header is not None:
            self._check_digest(self.header)

    @contextmanager
    def _open(self, target: StorageTarget) -> Iterator[tuple[DigestReader, Iterator[bytes]]]:
        if self.result.format != "parquet":
            with open_digest_reader(target) as reader:
                yield reader, read_lines(reader, self.result.format)
            return
        from airflow_provider_secoda.verify._checks.parquet import read_parquet  # noqa: PLC0415 - pyarrow is an extra

        with open_local_copy(target) as (path, reader):
            as_written = self.header is not None and self.header.file.sha256 == reader.sha256
            yield reader, read_parquet(path, None if as_written else self._findings)

    def _records(self, raws: Iterator[bytes]) -> Iterator[Record]:
        """Yield the records until the file ends or is damaged."""
        try:
            for record in check_records(raws, self.header, self._findings):
                self.result.records = record.position
                self._on_record(self.result, record)
                yield record
        except DamagedError as exc:
            self._findings.add("damaged", f"damaged after record {self.result.records}: {escape(str(exc))}")

    def _check_digest(self, header: ManifestHeader) -> None:
        result, file, add = self.result, header.file, self._findings.add
        if result.sha256 != file.sha256:
            if self._same_records and not self._findings.counts.keys() & {"column_mismatch", "damaged"}:
                add("reencoded", "other bytes, same records: the file was written again, its records are unchanged")
            else:
                recorded = f"{file.bytes:,} bytes with sha256 {escape(file.sha256)}"
                text = f"{result.bytes:,} bytes with sha256 {result.sha256}; the manifest records {recorded}"
                add("checksum", text)
        elif self._same_records is False:
            text = "the file has the recorded sha256, but the manifest lists other records: the manifest was altered"
            add("inconsistent", text)
        elif file.bytes != result.bytes:
            add("inconsistent", f"the manifest records {file.bytes:,} bytes, but the file has {result.bytes:,}")
        if self._same_records and file.count != result.records:
            add("inconsistent", f"the manifest counts {file.count:,} records, but lists {result.records:,}")
