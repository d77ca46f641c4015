"""Read a file once, in pieces, and compute its digest at the same time."""

from __future__ import annotations

import gzip
import hashlib
import io
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_provider_secoda.client._api.limits import Limits
from airflow_provider_secoda.verify._files import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda._storage.target import StorageTarget

PIECE_BYTES = 1 << 20
#: A longer line is not a record: the client does not accept a longer response of the API.
MAX_RECORD_BYTES = Limits().decompressed_bytes


class DamagedError(Exception):
    """A file is not of the format that its suffix names; the records before the damage were read."""


class DigestReader(io.RawIOBase):
    """A stream that computes size and digest of what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read the next bytes.

        :raises UnreadableError: the storage failed, which does not mean that the file is damaged
        """
        try:
            piece = self._source.read(len(buffer))
        except Exception as exc:  # noqa: BLE001 - a store's library may raise anything
            raise UnreadableError(exc) from None
        buffer[: len(piece)] = piece
        self._digest.update(piece)
        self.size += len(piece)
        return len(piece)

    def read_to_end(self, copy: IO[bytes] | None = None) -> None:
        """Read all that is left.

        :param copy: where to write it
        """
        buffer = memoryview(bytearray(PIECE_BYTES))
        while size := self.readinto(buffer):
            if copy is not None:
                copy.write(buffer[:size])

    @property
    def sha256(self) -> str:
        """The digest of what was read, in hexadecimal digits."""
        return self._digest.hexdigest()


@contextmanager
def open_digest_reader(target: StorageTarget) -> Iterator[DigestReader]:
    """Open a file to read it once.

    :raises UnreadableError: it cannot be opened
    """
    try:
        source = target.open()
    except Exception as exc:  # noqa: BLE001 - a store's library may raise anything
        raise UnreadableError(exc) from None
    with source:
        yield DigestReader(source)


@contextmanager
def open_local_copy(target: StorageTarget) -> Iterator[tuple[Path, DigestReader]]:
    """Read a file completely and provide it on this machine: Parquet is not read from front to back.

    :raises UnreadableError: it cannot be read
    """
    with open_digest_reader(target) as reader:
        if target.local_path is not None:
            reader.read_to_end()
            yield target.local_path, reader
            return
        with tempfile.NamedTemporaryFile(prefix="verify-", suffix=".parquet") as copy:
            reader.read_to_end(copy)
            copy.flush()
            yield Path(copy.name), reader


def read_lines(reader: DigestReader, file_format: str) -> Iterator[bytes]:
    """Yield the records of a file of lines, and read it to its end, also where it is damaged.

    Empty lines are not records; a line may end with CR LF.

    :param file_format: ``jsonl`` or ``jsonl.gz``
    :raises DamagedError: after the records before the damage
    """
    lines: IO[bytes] = io.BufferedReader(reader, PIECE_BYTES)
    if file_format == "jsonl.gz":
        lines = io.BufferedReader(gzip.GzipFile(fileobj=lines), PIECE_BYTES)
    try:
        while line := lines.readline(MAX_RECORD_BYTES + 2):
            if len(line) > MAX_RECORD_BYTES:
                raise DamagedError(f"a line is longer than {MAX_RECORD_BYTES:,} bytes")
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            if record:
                yield record
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise DamagedError(f"it is not a complete gzip file: {exc}") from None
    finally:
        reader.read_to_end()
