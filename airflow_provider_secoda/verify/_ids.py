"""See that no id stands in two windows of a series, or twice in a file, for any number of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase

if TYPE_CHECKING:
    from airflow_provider_secoda.verify._records import Record

_TABLE = """
CREATE TABLE seen (series INTEGER, key BLOB, file INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (series, key)) WITHOUT ROWID;
"""


class Seen(NamedTuple):
    """Where an id was seen first."""

    file: int
    position: int


class Ids(ScratchDatabase):
    """Remember where each id was first found, on disk."""

    def __init__(self) -> None:
        super().__init__(_TABLE)

    def add(self, series: int, file: int, record: Record) -> Seen | None:
        """Note where a record's id stands; return where it was seen before, if it was."""
        row = (series, record.key, file, record.position)
        done = self.database.execute("INSERT INTO seen VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
        if done.rowcount:
            return None
        query = "SELECT file, position FROM seen WHERE series = ? AND key = ?"
        return Seen(*self.database.execute(query, (series, record.key)).fetchone())
