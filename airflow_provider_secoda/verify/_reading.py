"""Read the records of a file as they lie in it, and digest the file on the way: once, in pieces, whatever its size."""

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
    from airflow_provider_secoda.verify._columns import ColumnChecker

_PIECE = 1 << 20
#: A line longer than this is no record: no answer of the API with a record in it is taken that is longer.
MAX_RECORD_BYTES = Limits().decompressed_bytes


class DamagedError(Exception):
    """A file cannot be read as what its suffix says; what was read before stands."""


class Digested(io.RawIOBase):
    """A stream that digests what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read on; a storage that fails is told from a file that is damaged."""
        try:
            piece = self._source.read(len(buffer))
        except Exception as exc:  # noqa: BLE001 - whatever the store's library raises
            raise UnreadableError(exc) from None
        buffer[: len(piece)] = piece
        self._digest.update(piece)
        self.size += len(piece)
        return len(piece)

    def drain(self) -> None:
        """Read to the end."""
        buffer = memoryview(bytearray(_PIECE))
        while self.readinto(buffer):
            pass

    @property
    def sha256(self) -> str:
        """The digest of what was read, in hexadecimal digits."""
        return self._digest.hexdigest()


@contextmanager
def digested(target: StorageTarget) -> Iterator[Digested]:
    """Open a file for a reading that digests."""
    try:
        source = target.open()
    except Exception as exc:  # noqa: BLE001 - a store's library may raise anything
        raise UnreadableError(exc) from None
    with source:
        yield Digested(source)


def read_lines(stream: Digested, kind: str) -> Iterator[bytes]:
    """Yield the records of a file of lines, and read it to its end, also where it is damaged.

    Empty lines are none; a line may end as on Windows.

    :param kind: ``jsonl`` or ``jsonl.gz``
    :raises DamagedError: after the records before the damage
    """
    lines: IO[bytes] = io.BufferedReader(stream, _PIECE)
    if kind == "jsonl.gz":
        lines = io.BufferedReader(gzip.GzipFile(fileobj=lines), _PIECE)
    try:
        while line := lines.readline(MAX_RECORD_BYTES + 2):
            if len(line) > MAX_RECORD_BYTES:
                raise DamagedError(f"a line is longer than {MAX_RECORD_BYTES:,} bytes")
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            if record:
                yield record
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise DamagedError(f"it is no whole gzip file: {exc}") from None
    finally:
        stream.drain()


def read_columns(path: Path, checker: ColumnChecker | None) -> Iterator[bytes]:
    """Yield the records of a Parquet file: its column ``raw``.

    :param path: on this machine
    :param checker: is shown all columns, if there is reason to doubt them
    :raises DamagedError: after the records before the damage
    """
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path, buffer_size=_PIECE) as file:
            if "raw" not in file.schema_arrow.names:
                raise DamagedError("it has no column `raw`")
            for batch in file.iter_batches(256, columns=None if checker else ["raw"]):
                texts = batch.column("raw").to_pylist()
                records = [text.encode() if isinstance(text, str) else text or b"" for text in texts]
                if checker is not None:
                    checker.check(batch, records)
                yield from records
                pa.default_memory_pool().release_unused()
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise DamagedError(f"it is no whole Parquet file: {type(exc).__name__}") from None


@contextmanager
def at_hand(target: StorageTarget) -> Iterator[tuple[Path, Digested]]:
    """Digest a whole file and have it on this machine, which Parquet needs, as it is not read from front to back."""
    with digested(target) as stream:
        if target.local_path is not None:
            stream.drain()
            yield target.local_path, stream
            return
        with tempfile.NamedTemporaryFile(prefix="verify-", suffix=".parquet") as copy:
            buffer = memoryview(bytearray(_PIECE))
            while size := stream.readinto(buffer):
                copy.write(buffer[:size])
            copy.flush()
            yield Path(copy.name), stream
