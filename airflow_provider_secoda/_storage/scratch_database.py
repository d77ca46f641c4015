"""Tables that memory need not hold."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Nothing here outlives the process, so nothing needs to be safe on the disk.
_SETTINGS = """
PRAGMA cache_size = -16384;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
"""


@contextmanager
def table_on_disk(tables: str) -> Iterator[sqlite3.Connection]:
    """Make an empty SQLite database in a file that has no name: it vanishes with the process, even a killed one.

    :param tables: statements that make the tables
    :raises sqlite3.OperationalError: later, when the disk is full
    """
    descriptor, path = tempfile.mkstemp(prefix="verify-", suffix=".sqlite")
    os.close(descriptor)
    try:
        database = sqlite3.connect(path, isolation_level=None)
        database.executescript(f"{_SETTINGS}{tables}BEGIN;")
    finally:
        os.unlink(path)  # noqa: PTH108 - mkstemp speaks strings
    with closing(database):
        yield database
