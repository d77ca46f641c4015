"""See that no id stands in two windows of a series, or twice in a file, for any number of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_secoda._storage.scratch_database import table_on_disk

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from airflow_provider_secoda.verify._records import Record

_TABLE = """
CREATE TABLE seen (series INTEGER, key BLOB, file INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (series, key)) WITHOUT ROWID;
"""


class Seen(NamedTuple):
    """Where an id was seen first."""

    file: int
    position: int


class Ids:
    """Where each id was seen first; made by :func:`ids`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, series: int, file: int, record: Record) -> Seen | None:
        """Note where a record's id stands; return where it was seen before, if it was."""
        row = (series, record.key, file, record.position)
        done = self._database.execute("INSERT INTO seen VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
        if done.rowcount:
            return None
        query = "SELECT file, position FROM seen WHERE series = ? AND key = ?"
        return Seen(*self._database.execute(query, (series, record.key)).fetchone())


@contextmanager
def ids() -> Iterator[Ids]:
    """Make an empty memory of ids, on disk."""
    with table_on_disk(_TABLE) as database:
        yield Ids(database)
