"""The result of a check, as plain values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.verify._messages import record_name

#: Kinds of findings that are not errors.
NOTES = frozenset({"expired", "outside_span", "supplemented"})


@dataclass(frozen=True)
class Finding:
    """One error in a file or series, or a note (:data:`NOTES`).

    :param kind: one of the words that :mod:`airflow_provider_secoda.verify` lists
    :param text: a sentence; ids and names from files are escaped in it
    :param position: of the record in the file, from 1; of a removed record, its position in the manifest
    :param id: of the record, unescaped
    :param timestamp: of the record, or the first moment of a gap or overlap; ISO 8601
    :param created_at: of a late log, as the API sent it
    :param other_path: of the other file that is concerned
    """

    kind: str
    text: str
    position: int | None = None
    id: str | None = None
    timestamp: str | None = None
    created_at: str | None = None
    other_path: str | None = None


@dataclass
class Findings:
    """The findings of one file or series: all are counted, the first of each kind are listed.

    :param limit: how many of each kind are listed
    """

    limit: int
    listed: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(
        self, kind: str, text: str, position: int | None = None, record_id: str | None = None, **details: str | None
    ) -> None:
        """Count a finding, and list it if the limit of its kind permits; parameters as of :class:`Finding`.

        :param text: if there is a position, the sentence after the name of the record
        """
        self.counts[kind] += 1
        if self.counts[kind] <= self.limit:
            sentence = text if position is None else f"{record_name(position, record_id)} {text}"
            self.listed.append(Finding(kind, sentence, position, record_id, **details))

    def rename(self, kind: str, new_kind: str, ending: str) -> None:
        """Give the findings of a kind another one, and the sentences of those that are listed an ending."""
        self.counts[new_kind] += self.counts.pop(kind, 0)
        self.listed = [
            replace(each, kind=new_kind, text=each.text + ending) if each.kind == kind else each for each in self.listed
        ]

    @property
    def error_count(self) -> int:
        """How many findings are errors."""
        return self.counts.total() - self.note_count

    @property
    def note_count(self) -> int:
        """How many findings are notes."""
        return sum(self.counts[kind] for kind in NOTES)


@dataclass(frozen=True)
class Span:
    """A half-open span of time, ``[start, end)``, in microseconds since the epoch, UTC."""

    start: int
    end: int

    @property
    def edges(self) -> tuple[str, str]:
        """Start and end, ISO 8601, UTC."""
        return format_instant(self.start), format_instant(self.end)


@dataclass(frozen=True)
class SeriesKey:
    """What the files of one series have in common: their windows must not leave gaps or overlap.

    :param filter: canonical JSON; None without a filter
    :param dag_id: of the DAG that wrote them, if another DAG wrote files of the same query with windows that overlap;
        None: the windows of all DAGs are checked together
    """

    connection_id: str
    base_url: str
    timestamp_field: Literal["logged_at", "created_at"]
    filter: str | None
    format: str
    dag_id: str | None = None


@dataclass
class FileResult:
    """One file and its manifest.

    :param records: how many records could be read from the file
    :param bytes: size of the file; None: it is missing
    :param series: as the manifest records it, like ``window`` and ``recorded_…``; None without a valid manifest
    :param dag_id: of the DAG that wrote the file, if the manifest records it
    :param supplement: number of the file among those with logs that arrived late, as its manifest records it; None for
        the first file of a window
    :param predecessor_sha256: of the manifest of the file before it, as the manifest of a supplement records it
    :param signing_key: id of the public key that verified the manifest's signature; None: no signature was verified
    :param error: why the file could not be checked completely
    :param compared: whether its window was read again from the API
    :param outside: whether its window is outside of the requested span: then only its manifest was checked
    """

    path: str
    format: str
    findings: Findings
    records: int = 0
    bytes: int | None = None
    sha256: str | None = None
    manifest_sha256: str | None = None
    series: SeriesKey | None = None
    window: Span | None = None
    recorded_sha256: str | None = None
    recorded_count: int | None = None
    dag_id: str | None = None
    supplement: int | None = None
    predecessor_sha256: str | None = None
    signing_key: str | None = None
    error: str | None = None
    compared: bool = False
    outside: bool = False

    @property
    def exists(self) -> bool:
        """Whether the file exists; else there is only its manifest."""
        return self.bytes is not None


@dataclass
class SeriesResult:
    """The files of one series, and whether their windows leave gaps or overlap.

    :param span: from the first to the last edge of the windows; None: all files are missing
    """

    key: SeriesKey
    findings: Findings
    span: Span | None = None
    windows: int = 0
    records: int = 0


@dataclass
class Changes:
    """What was removed or replaced since the report before.

    :param report: its number
    """

    report: int
    findings: Findings


@dataclass
class Result:
    """The result of :func:`airflow_provider_secoda.verify.verify`.

    :param checked_at: when the check began, ISO 8601, UTC
    :param provider_version: of this provider
    :param public_keys: ids of the keys with which manifests must be signed; None: signatures were not checked
    :param errors: what could not be checked, and why
    :param other_files: how many files were ignored because their names have no known suffix
    :param changes: since the report before, if a report was written
    :param start: of the span that each series has to cover, microseconds since the epoch
    :param end: of that span
    """

    paths: tuple[str, ...]
    checked_at: str
    provider_version: str
    start: int | None = None
    end: int | None = None
    against_source: bool = False
    public_keys: tuple[str, ...] | None = None
    files: list[FileResult] = field(default_factory=list)
    series: list[SeriesResult] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    other_files: int = 0
    changes: Changes | None = None

    @property
    def records(self) -> int:
        """How many records the files have."""
        return sum(file.records for file in self.files)

    @property
    def finding_count(self) -> int:
        """How many errors were found in files and series."""
        return sum(findings.error_count for findings in self._all_findings)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings and notes of each kind there are."""
        return dict(sum((findings.counts for findings in self._all_findings), Counter()))

    @property
    def note_count(self) -> int:
        """How many notes there are."""
        return sum(findings.note_count for findings in self._all_findings)

    @property
    def _all_findings(self) -> list[Findings]:
        changes = [] if self.changes is None else [self.changes.findings]
        return [*(file.findings for file in self.files), *(series.findings for series in self.series), *changes]

    @property
    def exit_code(self) -> int:
        """0: everything was checked, without findings; 1: there are findings; 2: something could not be checked."""
        if self.errors or not (self.files or self.series):
            return 2
        return 1 if self.finding_count else 0

    @property
    def status(self) -> str:
        """``ok``, ``failed`` or ``incomplete``, for exit code 0, 1 and 2."""
        return ("ok", "failed", "incomplete")[self.exit_code]
