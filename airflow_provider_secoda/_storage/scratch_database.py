"""Keep rows on disk instead of in memory, in an SQLite database that vanishes with the process."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

# Nothing in the database outlives the process, so nothing has to be safe on the disk, and no transaction ever ends.
_OPEN = """
PRAGMA page_size = {page_bytes};
PRAGMA cache_size = -{cache_kib};
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
{schema}
BEGIN;
"""


class ScratchDatabase:
    """Open an empty SQLite database in a file without a name.

    The file loses its name as soon as it is open: no other process can read it, and it vanishes with the process, even
    with a killed one. Memory does not grow with the number of rows.

    Inherit from it, or use it as it is; in both cases as a context manager and in one thread. A full disk raises
    :class:`sqlite3.OperationalError` from the statement that needs the room.

    :param schema: SQL statements that create tables and indices
    :param page_bytes: size of a database page in bytes, a power of two
    :param cache_kib: how much of the database SQLite keeps in memory, in KiB
    """

    def __init__(self, schema: str, *, page_bytes: int = 4096, cache_kib: int = 16384) -> None:
        descriptor, path = tempfile.mkstemp(prefix="secoda-", suffix=".sqlite")
        os.close(descriptor)
        try:
            self.database = sqlite3.connect(path, isolation_level=None)
            self.database.executescript(_OPEN.format(schema=schema, page_bytes=page_bytes, cache_kib=cache_kib))
        finally:
            os.unlink(path)  # noqa: PTH108 - mkstemp returns a string

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.database.close()


def encode_text(text: str) -> bytes:
    """Return text as a BLOB: JSON strings may contain lone surrogates, which a column of type TEXT cannot hold."""
    return text.encode("utf-8", "surrogatepass")


def decode_text(blob: bytes) -> str:
    """Return the text that :func:`encode_text` encoded."""
    return blob.decode("utf-8", "surrogatepass")
