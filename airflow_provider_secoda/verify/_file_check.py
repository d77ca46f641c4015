"""Check one file against its manifest, and the records in it on their own."""

from __future__ import annotations

import io
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of, require_format
from airflow_provider_secoda._storage.manifest import ManifestError
from airflow_provider_secoda.verify._difference import compare
from airflow_provider_secoda.verify._files import UnreadableError
from airflow_provider_secoda.verify._manifest_header import read_stated
from airflow_provider_secoda.verify._messages import quoted, shown
from airflow_provider_secoda.verify._reading import DamagedError, Digested, at_hand, digested, read_columns, read_lines
from airflow_provider_secoda.verify._records import examine
from airflow_provider_secoda.verify._result import FileResult, Finding, Findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_secoda._storage.target import StorageTarget
    from airflow_provider_secoda.verify._files import Pair
    from airflow_provider_secoda.verify._manifest_header import ManifestHeader
    from airflow_provider_secoda.verify._records import Record


class FileCheck:
    """The check of one file.

    :param watch: shown each record, with its place
    """

    def __init__(self, pair: Pair, listed: int, watch: Callable[[FileCheck, Record], None]) -> None:
        self.pair = pair
        self.result = FileResult(pair.path, format_of(pair.path), Findings(listed))
        self.stated: ManifestHeader | None = None
        self._watch = watch
        self._same: bool | None = None

    def say(self, kind: str, text: str) -> None:
        """Add a finding about the file as a whole."""
        self.result.findings.add(Finding(kind, text))

    def check(self) -> FileResult:
        """Read the file and its manifest; what cannot be read is said in the result."""
        try:
            with ExitStack() as stack:
                note = None
                if self.pair.manifest is not None:
                    note = stack.enter_context(digested(self.pair.manifest))
                self._check(note)
        except UnreadableError as exc:
            self.result.error = f"could not be read: {exc}"
        except ModuleNotFoundError as exc:
            self.result.error = str(exc)
        return self.result

    def _check(self, note: Digested | None) -> None:
        listed: Iterator[tuple[str, str]] | None = None
        if note is None:
            self.say("no_manifest", "no manifest: not whole, or written with write_manifest=False")
        else:
            try:
                self.stated, listed = read_stated(io.BufferedReader(note, 1 << 20))
                self._take(self.stated)
            except ManifestError as exc:
                self._refuse(exc)
        if self.pair.file is None:
            self.say("file_missing", "file missing: only its manifest is there")
        else:
            self._read(self.pair.file, listed)
        if note is not None:
            note.drain()
            self.result.manifest_sha256 = note.sha256

    def _take(self, stated: ManifestHeader) -> None:
        result, file = self.result, stated.file
        result.series, result.window = stated.series, stated.window
        result.stated_sha256, result.stated_count = file.sha256, file.count
        name = self.pair.path.rpartition("/")[2]
        if file.name != name:
            self.say("other_file", f"the manifest is that of another file, {quoted(file.name)}")
        if stated.too_early:
            self.say(
                "early", f"it was read {stated.too_early:g} s before its window had settled: later logs are missing"
            )
        if file.format != result.format:
            self.say("contradiction", f"the manifest says that the format is {quoted(file.format)}")

    def _refuse(self, exc: ManifestError) -> None:
        self.say("manifest", f"the manifest cannot be used: {shown(str(exc))}")

    def _read(self, target: StorageTarget, listed: Iterator[tuple[str, str]] | None) -> None:
        result = self.result
        require_format(result.format)
        with self._records(target) as (stream, raws):
            found = self._noted(raws)
            try:
                if listed is not None:
                    self._same = compare(listed, found, result.findings.add)
            except ManifestError as exc:
                self._refuse(exc)
            for _ in found:  # what the comparison did not ask for
                pass
        result.bytes, result.sha256 = stream.size, stream.sha256
        if self.stated is not None:
            self._conclude(self.stated)

    @contextmanager
    def _records(self, target: StorageTarget) -> Iterator[tuple[Digested, Iterator[bytes]]]:
        if self.result.format != "parquet":
            with digested(target) as stream:
                yield stream, read_lines(stream, self.result.format)
            return
        with at_hand(target) as (path, stream):
            checker = None
            if self.stated is None or self.stated.file.sha256 != stream.sha256:
                from airflow_provider_secoda.verify._columns import ColumnChecker  # noqa: PLC0415 - pyarrow is an extra

                checker = ColumnChecker(self.result.findings.add)
            yield stream, read_columns(path, checker)

    def _noted(self, raws: Iterator[bytes]) -> Iterator[Record]:
        """Yield the records until the file ends or proves damaged."""
        try:
            for record in examine(raws, self.stated, self.result.findings.add):
                self.result.records = record.position
                self._watch(self, record)
                yield record
        except DamagedError as exc:
            self.say("damaged", f"damaged behind record {self.result.records}: {shown(str(exc))}")

    def _conclude(self, stated: ManifestHeader) -> None:
        result, file = self.result, stated.file
        if result.sha256 != file.sha256:
            if self._same and not result.findings.counts.keys() & {"columns", "damaged"}:
                self.say("reencoded", "other bytes, same records: the file was written anew, its records are untouched")
            else:
                told = f"{file.bytes:,} bytes with sha256 {shown(file.sha256)}"
                self.say("bytes", f"{result.bytes:,} bytes with sha256 {result.sha256}; the manifest says {told}")
        elif self._same is False:
            self.say("contradiction", "the file is the one listed, to the byte: the manifest's records were altered")
        elif file.bytes != result.bytes:
            self.say("contradiction", f"the manifest says {file.bytes:,} bytes, and the file has {result.bytes:,}")
        if self._same and file.count != result.records:
            self.say("contradiction", f"the manifest counts {file.count:,} records, and lists {result.records:,}")
