"""The files of a window that is never replaced: its first file, and supplements with the logs that came later."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.formats import split_suffix, stored
from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda._storage.spool import Spool

_SUPPLEMENT = re.compile(r"(.+)\.late-([1-9]\d{0,8})", re.DOTALL)
#: How many ids of altered and of expired logs are listed.
_MOST_IDS = 10
_SCHEMA = """
CREATE TABLE known (id BLOB NOT NULL, number INTEGER NOT NULL, sha256 TEXT);
CREATE UNIQUE INDEX by_id ON known (id);
"""


def window_file(path: str, number: int) -> str:
    """Return the path or URL of a file of the window whose first file is at a path or URL.

    All are in one folder, and a pattern such as ``*.jsonl`` finds all of them.

    :param number: 0 for the first file, 1 for the first supplement: ``2026-03-01.late-1.jsonl``
    """
    start, suffix = split_suffix(path)
    return f"{start}.late-{number}{suffix}" if number else path


def split_window_file(path: str) -> tuple[str, int]:
    """Return the path or URL of the first file of a window, and the number of this file.

    :raises ValueError: the suffix is unknown
    """
    start, suffix = split_suffix(path)
    found = _SUPPLEMENT.fullmatch(start)
    return (path, 0) if found is None else (found[1] + suffix, int(found[2]))


class KnownLogs(ScratchDatabase):
    """Collect on disk which logs the files of a window contain, so that memory does not grow with their number.

    Use it as a context manager, in one thread.

    :ivar count: the number of logs
    """

    def __init__(self) -> None:
        super().__init__(_SCHEMA)
        self.count = 0

    def add(self, number: int, logs: Iterable[tuple[str, str | None]]) -> int:
        """Add the logs of a file; return how many there are.

        :param number: of the file, see :func:`window_file`
        :param logs: id, and SHA-256 of the log as it is in the file; None: the file has no manifest
        :raises ValueError: a log is in two files, or in one twice
        """
        execute, before = self.database.execute, self.count
        for log_id, sha256 in logs:
            row = encode_text(log_id), number, sha256
            if not execute("INSERT INTO known VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row).rowcount:
                raise ValueError(f"log {log_id!r:.200} is in the files of the window twice")
            self.count += 1
        return self.count - before

    def find(self, log_id: str) -> tuple[int, str | None] | None:
        """Return in which file a log is, and its SHA-256; None: it is in none."""
        row: tuple[int, str | None] | None
        query = "SELECT number, sha256 FROM known WHERE id = ?"
        row = self.database.execute(query, (encode_text(log_id),)).fetchone()
        return row

    def ids(self, number: int | None = None) -> Iterator[str]:
        """Yield the ids of all logs, or of those of one file, in the order in which they were added."""
        query = "SELECT id FROM known WHERE number = coalesce(?, number) ORDER BY rowid"
        for (blob,) in self.database.execute(query, (number,)):
            yield decode_text(blob)


@dataclass
class Some:
    """A number of logs, and the ids of the first of them."""

    count: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, log_id: str) -> None:
        """Count a log."""
        self.count += 1
        if len(self.ids) < _MOST_IDS:
            self.ids.append(log_id)


@dataclass
class Differences:
    """How the logs that were read differ from those of the files.

    :ivar late: how many the files lack
    :ivar same: how many are in the files, with this content or another one
    :ivar altered: those that have another content in the files
    :ivar expired: those of the files that were not read
    """

    late: int = 0
    same: int = 0
    altered: Some = field(default_factory=Some)
    expired: Some = field(default_factory=Some)


def compare(spool: Spool, known: KnownLogs, file_format: str) -> Differences:
    """Compare the logs that were read with those of the files of their window."""
    found = Differences()
    for _, log_id, raw in spool:
        in_file = known.find(log_id)
        if in_file is None:
            found.late += 1
            continue
        found.same += 1
        if in_file[1] is not None and in_file[1] != hashlib.sha256(stored(file_format, raw)).hexdigest():
            found.altered.add(log_id)
    if found.same < known.count:
        for log_id in known.ids():
            if log_id not in spool:
                found.expired.add(log_id)
    return found
