"""Check a chain of reports, from the last one to the first, and whether the files that they cover are still there."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.verify._files import UnreadableError, unreadable
from airflow_provider_secoda.verify._messages import escape, plural, quote
from airflow_provider_secoda.verify._reports.covered import CoveredFiles
from airflow_provider_secoda.verify._reports.reading import read_report
from airflow_provider_secoda.verify._reports.write import report_numbers
from airflow_provider_secoda.verify._result import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_secoda.verify._reports.reading import ReportMembers, StoredReport


@dataclass
class ReportResult:
    """One report of a chain.

    :ivar name: of its JSON file
    :ivar sequence: its number, as the report has it, or the report after it
    :ivar covers: how many files it covers
    :ivar signing_key: id of the public key that verified its signature; None: no signature was verified
    """

    name: str
    findings: Findings
    sequence: int | None = None
    sha256: str | None = None
    checked_at: str | None = None
    covers: int = 0
    signing_key: str | None = None


@dataclass
class ChainResult:
    """The result of :func:`check_chain`.

    :ivar report: path or URL of the last report
    :ivar reports: from the last to the first
    :ivar findings: of the files that the reports cover
    :ivar files: how many they are
    :ivar errors: what could not be checked, and why
    """

    report: str
    checked_at: str
    provider_version: str
    findings: Findings
    public_keys: tuple[str, ...] | None = None
    reports: list[ReportResult] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    files: int = 0

    @property
    def finding_count(self) -> int:
        """How many errors were found in reports and files."""
        return self.findings.error_count + sum(report.findings.error_count for report in self.reports)

    @property
    def exit_code(self) -> int:
        """0: everything was checked, without findings; 1: there are findings; 2: something could not be checked."""
        if self.errors:
            return 2
        return 1 if self.finding_count else 0

    @property
    def status(self) -> str:
        """``ok``, ``failed`` or ``incomplete``, for exit code 0, 1 and 2."""
        return ("ok", "failed", "incomplete")[self.exit_code]


def check_chain(
    report: str,
    stores: Sequence[str] = (),
    *,
    public_keys: Mapping[str, bytes] | None = None,
    max_findings: int = 100,
) -> ChainResult:
    """Check a report and all reports before it, which are in the same folder, and the files that they cover.

    Memory does not grow with the number of reports; the largest one is in memory once.

    :param report: path or URL of the JSON file of the last report
    :param stores: where the folders that were checked are now, in the order in which the last report names them;
        empty: where the reports say that they were
    :param public_keys: by their ids; each report must be signed with one of them. None: signatures are not checked
    :param max_findings: how many findings of each kind are listed per report, and of the files
    :raises ValueError: an argument is invalid
    """
    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    result = ChainResult(report, now, __version__, Findings(max_findings))
    result.public_keys = None if public_keys is None else tuple(public_keys)
    with CoveredFiles() as files:
        walk = _Walk(result, stores, public_keys, files)
        with _unreadable(result, report):
            walk.run()
        with _unreadable(result, "the files that the reports cover"):
            result.files = files.compare(result.findings, result.errors)
    return result


@contextmanager
def _unreadable(result: ChainResult, what: str) -> Iterator[None]:
    try:
        yield
    except (UnreadableError, ModuleNotFoundError) as exc:
        result.errors.append(f"{escape(what)}: cannot be read: {exc}")


class _Walk:
    """Reads one report after the other, from the last to the first."""

    def __init__(
        self,
        result: ChainResult,
        stores: Sequence[str],
        public_keys: Mapping[str, bytes] | None,
        files: CoveredFiles,
    ) -> None:
        self._result = result
        self._stores = stores
        self._public_keys = public_keys
        self._files = files
        self._names: dict[str, str] | None = None
        folder, slash, self._name = result.report.rpartition("/")
        self._folder = folder + slash
        self._numbers: dict[int, list[str]] = defaultdict(list)

    def run(self) -> None:
        """Read the reports, and check those that are not in the chain."""
        with unreadable():
            for each, sequence, _ in report_numbers(self._folder):
                self._numbers[sequence].append(each)
        next_: tuple[str, int | None, str | None] | None = (self._name, None, None)
        trusted = False
        while next_ is not None:
            name, number, sha256 = next_
            found = ReportResult(name, Findings(self._result.findings.limit), number)
            stored = read_report(self._folder + name, self._public_keys, found.findings)
            if stored is None and number is None:
                self._result.errors.append(f"{escape(self._result.report)}: there is no such report")
                return
            self._result.reports.append(found)
            trusted = self._check(found, stored, sha256, trusted)
            members = None if stored is None else stored.members
            if members is not None and trusted:
                self._cover(members)
            if members is None or members.sequence != found.sequence:
                next_, trusted = self._below(found.sequence), False
            else:
                previous = members.previous
                next_ = None if previous is None else (previous.name, previous.sequence, previous.sha256)
        self._check_others()

    def _check(self, found: ReportResult, stored: StoredReport | None, sha256: str | None, trusted: bool) -> bool:
        """Check a report against what the one after it says of it; return whether what it says can be relied on.

        :param sha256: as the report after it has it; None: there is no such report
        :param trusted: whether what that report says can be relied on
        """
        add = found.findings.add
        if stored is None:
            text = f"report {(found.sequence or 0) + 1} names it, but there is no such file: it was removed or renamed"
            add("report_missing", text)
            return False
        found.sha256, found.signing_key = stored.sha256, stored.signing_key
        same = sha256 is not None and stored.sha256 == sha256
        if sha256 is not None and not same:
            named = f"report {(found.sequence or 0) + 1} names another one, with the sha256 {escape(sha256)}"
            add("report_altered", f"the report was altered or replaced: {named}")
        members = stored.members
        if members is None:
            return False
        found.checked_at, found.covers = members.checked_at, len(members.covers)
        if found.sequence is None:
            found.sequence = members.sequence
        elif found.sequence != members.sequence:
            add("report_altered", f"the report has the number {members.sequence}, but it is named as {found.sequence}")
            return False
        return self._public_keys is None or stored.signing_key is not None or (trusted and same)

    def _cover(self, members: ReportMembers) -> None:
        stores = members.stores
        if self._stores and self._names is None:
            if len(self._stores) != len(stores):
                raise ValueError(
                    f"the report covers files of {plural(len(stores), 'folder')} ({', '.join(map(escape, stores))}), "
                    f"but {plural(len(self._stores), 'path')} were passed: pass one for each, in this order"
                )
            self._names = dict(zip(stores, self._stores, strict=True))
        places = stores
        if self._names is not None:
            unknown = [store for store in stores if store not in self._names]
            if unknown:
                text = f"report {members.sequence} covers files of {escape(unknown[0])}, and no path was passed for it"
                self._result.errors.append(text)
                return
            places = [self._names[store] for store in stores]
        if twice := self._files.add(members.sequence, places, members.covers):
            self._result.reports[-1].findings.add("report_invalid", f"the report covers {quote(twice)} twice")

    def _below(self, number: int | None) -> tuple[str, int, None] | None:
        """Return name and number of the next report below one that does not say what its predecessor is."""
        rest = [(-each, name) for each, names in self._numbers.items() for name in names if name not in self._seen]
        found = min(((each, name) for each, name in rest if number is None or -each < number), default=None)
        return None if found is None else (found[1], -found[0], None)

    @property
    def _seen(self) -> set[str]:
        return {report.name for report in self._result.reports}

    def _check_others(self) -> None:
        last = self._result.reports[0].sequence
        others = sorted((number, name) for number, names in self._numbers.items() for name in set(names) - self._seen)
        for number, name in others:
            if last is None or number <= last:
                found = ReportResult(name, Findings(self._result.findings.limit), number)
                text = f"the report has the number {number}, but no later report of this chain names it"
                found.findings.add("forked", text)
                self._result.reports.append(found)
