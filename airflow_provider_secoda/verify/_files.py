"""Read each file once, in pieces, from local directories and from object storage."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_provider_secoda._storage.manifest import (
    signature_path,
)
from airflow_provider_secoda._storage.target import resolve_prefix
from airflow_provider_secoda.client._api.endpoint import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda._storage.target import StorageTarget

PIECE_BYTES = 1 << 20
#: A longer line is not a record: the client does not accept a longer response of the API.
_MAX_RECORD_BYTES = Limits().decompressed_bytes
_CAUSES_SHOWN = 4


class DamagedError(Exception):
    """A file is not of the format that its suffix names; the records before the damage were read."""


class UnreadableError(Exception):
    """Storage cannot be read, so nothing is known about its files.

    The message contains the types of errors, never their own messages: those of object stores may contain what the
    connection contains.
    """

    def __init__(self, error: BaseException) -> None:
        types: list[str] = []
        cause: BaseException | None = error
        while cause is not None and len(types) < _CAUSES_SHOWN:
            reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else None
            types.append(f"{type(cause).__name__} ({reason})" if reason else type(cause).__name__)
            cause = cause.__cause__ or cause.__context__
        super().__init__(", caused by ".join(types))


@contextmanager
def unreadable() -> Iterator[None]:
    """Raise any error as :class:`UnreadableError`: a store's library may raise anything."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001
        raise UnreadableError(exc) from None


class DigestReader(io.RawIOBase):
    """A stream that computes size and digest of what is read through it.

    :param copy: gets what is read
    """

    def __init__(self, source: IO[bytes], copy: IO[bytes] | None = None) -> None:
        self._source = source
        self._copy = copy
        self._digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read the next bytes.

        :raises UnreadableError: the storage failed, which does not mean that the file is damaged
        """
        with unreadable():
            piece = self._source.read(len(buffer))
        buffer[: len(piece)] = piece
        self._digest.update(piece)
        if self._copy is not None:
            self._copy.write(piece)
        self.size += len(piece)
        return len(piece)

    def read_to_end(self) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        while self.readinto(buffer):
            pass

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def open_digest_reader(target: StorageTarget, copy: IO[bytes] | None = None) -> Iterator[DigestReader]:
    """Open a file to read it once.

    :param copy: gets what is read
    :raises UnreadableError: it cannot be opened
    """
    with unreadable():
        source = target.open()
    with source:
        yield DigestReader(source, copy)


def read_signature(manifest: StorageTarget, max_bytes: int) -> bytes | None:
    """Return the first bytes of the signature of a manifest; None if there is none.

    :raises UnreadableError: it cannot be read
    """
    with unreadable():
        try:
            file = resolve_prefix(signature_path(manifest.name)).open()
        except FileNotFoundError:
            return None
        with file:
            return file.read(max_bytes)


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
            shutil.copyfileobj(reader, copy, PIECE_BYTES)
            copy.flush()
            yield Path(copy.name), reader


def read_lines(reader: DigestReader, file_format: str) -> Iterator[bytes]:
    """Yield the records of a file of lines, and read it to its end, also where it is damaged.

    Empty lines are not records; a line may end with CR LF.

    :param file_format: ``jsonl`` or ``jsonl.gz``
    :raises DamagedError: after the records before the damage
    """
    lines: io.BufferedReader | gzip.GzipFile = io.BufferedReader(reader, PIECE_BYTES)
    if file_format == "jsonl.gz":
        # Not in another buffer: that would lose what it has read when the bytes behind it turn out to be damaged.
        lines = gzip.GzipFile(fileobj=lines)
    try:
        while line := lines.readline(_MAX_RECORD_BYTES + 2):
            if len(line) > _MAX_RECORD_BYTES:
                raise DamagedError(f"a line is longer than {_MAX_RECORD_BYTES:,} bytes")
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            if record:
                yield record
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise DamagedError(f"it is not a complete gzip file: {exc}") from None
    finally:
        reader.read_to_end()
