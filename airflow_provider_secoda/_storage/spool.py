"""Sort records by time and drop repeats on disk, so that memory does not grow with their number."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from typing_extensions import Self

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# Layout chosen by measurement (200,000 records of 1.5 KB): records in order of arrival beside two narrow
# indices took half the time and 0.4 times the space of a table clustered by (at, id), and never makes
# SQLite sort in files of its own. No transaction is ever ended: nothing here outlives the process, so
# nothing needs to be safe on the disk.
_OPEN = """
PRAGMA page_size = 8192;
PRAGMA cache_size = -8192;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
CREATE TABLE record (at INTEGER NOT NULL, id BLOB NOT NULL, raw BLOB NOT NULL);
CREATE UNIQUE INDEX by_id ON record (id);
CREATE INDEX by_time ON record (at, id);
BEGIN;
"""
_INSERT = "INSERT INTO record VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"


class ContradictionError(ValueError):
    """One id came with two different timestamps, so at least one of the two records is not what it says.

    :ivar id: the id that came twice.
    :ivar first: the timestamp that came first, microseconds since the epoch, UTC.
    :ivar second: the one that came later, same unit.
    """

    def __init__(self, id: str, first: int, second: int) -> None:  # noqa: A002 - the field's own name
        super().__init__(id, first, second)
        self.id, self.first, self.second = id, first, second

    def __str__(self) -> str:
        first, second = _moment(self.first), _moment(self.second)
        return f"Record {self.id!r} came with two timestamps: {first}, then {second}."


class Spool:
    """Hold records until the last has come, then give them back in ascending (timestamp, id).

    A temporary SQLite database does what memory cannot for a window of any size; the temporary directory
    needs room for all records and a third more. Its file loses its name as soon as it is open: nobody else
    can read it, and it vanishes with the process, even a killed one. Ids compare by code point.

    Use it as a context manager, in one thread. A full disk raises :class:`sqlite3.OperationalError`.
    """

    def __init__(self) -> None:
        descriptor, path = tempfile.mkstemp(prefix="spool-", suffix=".sqlite")
        os.close(descriptor)
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.executescript(_OPEN)
        finally:
            os.unlink(path)  # noqa: PTH108 - mkstemp speaks strings
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, records: Iterable[tuple[int, str, bytes]]) -> int:
        """Take records in and count the repeats: the first of an id stays, whatever later ones hold.

        :param records: (timestamp in microseconds since the epoch in UTC, id, the record as JSON bytes), in
            any order.
        :return: how many were dropped because their id was already there.
        :raises ContradictionError: an id came again with another timestamp. What came before it stays.
        """
        repeats = 0
        for at, name, raw in records:
            key = name.encode("utf-8", "surrogatepass")  # JSON can name what UTF-8 alone cannot hold
            done = self._database.execute(_INSERT, (at, key, raw))
            if done.rowcount:
                self._count += 1
                continue
            ((first,),) = self._database.execute("SELECT at FROM record WHERE id = ?", (key,))
            if first != at:
                raise ContradictionError(name, first, at)
            repeats += 1
        return repeats

    def clear(self) -> None:
        """Forget all records, to read the same window anew."""
        self._database.execute("DELETE FROM record")
        self._count = 0

    def __iter__(self) -> Iterator[tuple[int, str, bytes]]:
        """Stream (timestamp, id, raw) in ascending order; again if wanted, but not while :meth:`add` runs."""
        for at, key, raw in self._database.execute("SELECT at, id, raw FROM record INDEXED BY by_time ORDER BY at, id"):
            yield at, key.decode("utf-8", "surrogatepass"), raw

    def raw(self) -> Iterator[bytes]:
        """Stream the records alone, in the same order: what :func:`~.storage.land` takes."""
        return (raw for _, _, raw in self)

    def __contains__(self, name: str) -> bool:
        """Tell whether a record of this id is held."""
        key = name.encode("utf-8", "surrogatepass")
        return self._database.execute("SELECT 1 FROM record WHERE id = ?", (key,)).fetchone() is not None

    @property
    def count(self) -> int:
        """How many different records are held."""
        return self._count

    @property
    def first_timestamp(self) -> int | None:
        """The earliest timestamp held, microseconds since the epoch in UTC; ``None`` when there is none."""
        return self._edge("SELECT min(at) FROM record")

    @property
    def last_timestamp(self) -> int | None:
        """The latest timestamp held, microseconds since the epoch in UTC; ``None`` when there is none."""
        return self._edge("SELECT max(at) FROM record")

    def _edge(self, query: str) -> int | None:
        row: tuple[int | None] = self._database.execute(query).fetchone()
        return row[0]


def _moment(at: int) -> str:
    return (_EPOCH + timedelta(microseconds=at)).isoformat()
