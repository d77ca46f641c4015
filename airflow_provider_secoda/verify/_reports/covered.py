"""Remember on disk which manifests reports cover, and compare them with each other and with the storage."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda._storage.target import resolve_prefix
from airflow_provider_secoda.verify._files import UnreadableError, open_digest_reader, unreadable
from airflow_provider_secoda.verify._find import Pair, complete_pair
from airflow_provider_secoda.verify._messages import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_secoda.verify._reports.reading import Cover
    from airflow_provider_secoda.verify._result import Findings

#: A row is what consecutive reports say of a file that did not change between them.
_SCHEMA = """
CREATE TABLE covered (file BLOB, first INTEGER, last INTEGER NOT NULL, sha256 TEXT NOT NULL, path BLOB NOT NULL,
  PRIMARY KEY (file, first)) WITHOUT ROWID;
"""


class CoveredFiles(ScratchDatabase):
    """The files that the reports of a chain cover."""

    def __init__(self) -> None:
        super().__init__(_SCHEMA)

    def add(self, sequence: int, stores: Sequence[str], covers: Iterable[Cover]) -> str | None:
        """Add what a report covers; return the path of a file that it covers twice.

        :param sequence: of the report; each call has a lower one than the call before
        :param stores: where the folders of the report are
        """
        execute = self.database.execute
        places = [_identity(store) for store in stores]
        for cover in covers:
            path = f"{stores[cover.store].rstrip('/')}/{cover.path}"
            file = encode_text(f"{places[cover.store]}/{cover.path}")
            query = "SELECT first, sha256 FROM covered WHERE file = ? ORDER BY first LIMIT 1"
            first, sha256 = execute(query, (file,)).fetchone() or (None, None)
            if first == sequence:
                return path
            if sha256 == cover.manifest_sha256:
                execute("UPDATE covered SET first = ? WHERE file = ? AND first = ?", (sequence, file, first))
            else:
                row = (file, sequence, sequence, cover.manifest_sha256, encode_text(path))
                execute("INSERT INTO covered VALUES (?, ?, ?, ?, ?)", row)
        return None

    def compare(self, findings: Findings, errors: list[str]) -> int:
        """Add a finding for each file that was removed or replaced after a report covered it; return their number.

        :param errors: gets what could not be read
        """
        count = 0
        rows = self.database.execute("SELECT file, first, last, sha256, path FROM covered ORDER BY file, first")
        for _, of_file in groupby(rows, key=lambda row: row[0]):
            count += 1
            group = list(of_file)
            states = [(first, last, sha256) for _, first, last, sha256, _ in group]
            path = decode_text(group[-1][4])
            _compare_reports(path, states, findings)
            try:
                _compare_storage(path, states, findings)
            except UnreadableError as exc:
                errors.append(f"{escape(path)}: cannot be read: {exc}")
        return count


def _identity(folder: str) -> str:
    """Return a string that is equal for the same folder, also if its path or the connection is written differently."""
    with unreadable():
        store, place = resolve_prefix(folder).identity
    return place if store is None else f"{folder.partition('://')[0]}://{place}"


def _compare_reports(path: str, states: list[tuple[int, int, str]], findings: Findings) -> None:
    for number, (old, new) in enumerate(pairwise(states)):
        when = f"between report {old[1]} and report {new[0]}"
        add_change(path, when, new[2], states[: number + 1], findings)


def _compare_storage(path: str, states: list[tuple[int, int, str]], findings: Findings) -> None:
    sha256 = _current_digest(path)
    _, last, covered = states[-1]
    if sha256 is None:
        add_removed(path, last, findings)
    elif sha256 != covered:
        add_change(path, f"after report {last}", sha256, states, findings)


def add_removed(path: str, report: int, findings: Findings) -> None:
    """Add the finding that a file which a report covers is missing."""
    text = f"{escape(path)}: the file or its manifest, which report {report} covers, is missing: it was removed"
    findings.add("file_removed", text, other_path=path)


def add_change(path: str, when: str, sha256: str, before: list[tuple[int, int, str]], findings: Findings) -> None:
    """Add the finding that a manifest was replaced.

    :param sha256: of the manifest now
    :param before: what reports say of it: the first and the last that have the same, and the SHA-256
    """
    change = f"{escape(path)}: the manifest was replaced {when}: its sha256 was {escape(before[-1][2])}"
    if earlier := [last for _, last, each in before if each == sha256]:
        text = f"{change}, and is again the one that report {earlier[-1]} covers: {escape(sha256)}"
        findings.add("rolled_back", text, other_path=path)
    else:
        findings.add("replaced", f"{change}, and is now {escape(sha256)}", other_path=path)


def _current_digest(path: str) -> str | None:
    """Return the SHA-256 of the manifest of a file; None if either does not exist."""
    pair = Pair(path)
    complete_pair(pair)
    if pair.file is None or pair.manifest is None:
        return None
    with open_digest_reader(pair.manifest) as reader:
        reader.read_to_end()
    return reader.sha256 if reader.size else None
