"""What a check found: plain values, for a table, for machines and for people who call :func:`~.verify`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

#: Kinds that say something without saying that anything is wrong.
NOTES = frozenset({"expired", "beyond"})


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, or (:data:`NOTES`) that is good to know.

    :ivar kind: a word for machines; :mod:`~.machine` lists them
    :ivar text: a sentence for people; ids and names from files stand in it escaped
    :ivar position: of the record in the file, the first is 1; of a removed one, its position in the manifest
    :ivar id: of the record, as it is: it may hold anything
    :ivar at: the record's timestamp, ISO 8601, where it matters
    :ivar created_at: the record's own, as the API sent it, of a late arrival
    :ivar other: path of the other file that is concerned
    """

    kind: str
    text: str
    position: int | None = None
    id: str | None = None
    at: str | None = None
    created_at: str | None = None
    other: str | None = None


@dataclass
class Findings:
    """Findings in the order in which they were made: all counted, so many of each kind kept as memory shall hold."""

    listed: int
    kept: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it if there is room."""
        self.counts[finding.kind] += 1
        if self.counts[finding.kind] <= self.listed:
            self.kept.append(finding)

    @property
    def wrong(self) -> int:
        """How many things are not as they should be."""
        return sum(count for kind, count in self.counts.items() if kind not in NOTES)

    @property
    def notes(self) -> int:
        """How many things are good to know."""
        return sum(count for kind, count in self.counts.items() if kind in NOTES)


@dataclass(frozen=True)
class Span:
    """A half-open window, ``[start, end)``, in microseconds since the epoch, UTC."""

    start: int
    end: int


@dataclass(frozen=True)
class SeriesKey:
    """What the files of one series have in common: only these windows can be expected to tile time."""

    connection_id: str
    base_url: str
    timestamp_field: str
    filter: str | None  # canonical JSON
    format: str


@dataclass
class FileResult:
    """One file and its manifest: what is there, and what is wrong with it."""

    path: str
    format: str
    findings: Findings
    #: Records that could be told apart in the file.
    records: int = 0
    bytes: int | None = None
    sha256: str | None = None
    manifest_sha256: str | None = None
    #: What the manifest says; None without a manifest that can be read.
    series: SeriesKey | None = None
    window: Span | None = None
    stated_sha256: str | None = None
    stated_count: int | None = None
    #: Why the file could not be checked to its end, if so.
    error: str | None = None
    #: Whether the window was read again from the API.
    compared: bool = False

    @property
    def present(self) -> bool:
        """Whether the file is there."""
        return self.bytes is not None


@dataclass
class SeriesResult:
    """The files of one series, and whether their windows tile time."""

    key: SeriesKey
    findings: Findings
    span: Span | None = None
    windows: int = 0
    records: int = 0


@dataclass
class Result:
    """All that a check found.

    :ivar errors: what could not be checked, and why
    :ivar others: how many files were passed over because their names are none of ours
    """

    paths: tuple[str, ...]
    checked_at: str
    version: str
    files: list[FileResult] = field(default_factory=list)
    series: list[SeriesResult] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    others: int = 0
    #: What the series had to cover, as far as it was asked.
    start: int | None = None
    end: int | None = None
    against_source: bool = False

    @property
    def findings(self) -> int:
        """How many things are not as they should be."""
        return sum(findings.wrong for findings in self._all)

    @property
    def notes(self) -> int:
        """How many things are good to know."""
        return sum(findings.notes for findings in self._all)

    @property
    def _all(self) -> list[Findings]:
        return [*(file.findings for file in self.files), *(series.findings for series in self.series)]

    @property
    def exit_code(self) -> int:
        """0: all was checked and is as it should be; 1: something is not; 2: something could not be checked."""
        if self.errors or not self.files:
            return 2
        return 1 if self.findings else 0
