"""Write records as Parquet, with the columns of :mod:`.columns`.

Import this module only to write: it needs pyarrow, which is an extra.
"""

from __future__ import annotations

import mmap
import tempfile
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_secoda._storage.columns import SCHEMA, batch_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda._storage.columns import Untyped

# Python objects need about ten times the memory that Arrow needs for the same values, so few rows are objects at a
# time. A record may be large, so bytes count too.
_BATCH_ROWS, _BATCH_BYTES = 256, 1 << 20
#: The size of a row group, in rows and in bytes of ``raw``, whichever is reached first.
GROUP_ROWS, GROUP_BYTES = 100_000, 64 << 20


def write_parquet(local_path: str | Path, records: Iterable[bytes]) -> dict[str, dict[str, int]]:
    """Write records in the order given; without records the file is valid and has no rows.

    A missing field is null in its column. So is a value that the column cannot contain, and that value alone; half a
    surrogate pair, which no string of Parquet can contain, becomes U+FFFD. Column ``raw`` contains every record as it
    was sent. ``metadata``, whose fields are not documented, is its JSON text. Timestamps are in UTC (also those without
    an offset), and digits beyond microseconds are dropped. The same records and the same pyarrow give the same bytes.

    :param local_path: a file on this machine; replaced. A temporary file next to it contains one row group.
    :param records: each the bytes of one JSON object
    :return: how many values are not as they were sent, by the path of the field, such as ``event_blocks[].value``, and
        the reason: ``wrong_type``, ``not_a_timestamp`` (both null) or ``half_surrogate_pair``
    :raises UnicodeDecodeError: a record is not UTF-8, so it is not JSON, and no string column can contain it unchanged
    """
    untyped: Untyped = Counter()
    batches = _batches(records)
    with Path(local_path).open("wb") as file:
        sink = _Sink(file)
        with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
            while True:
                with tempfile.TemporaryFile(dir=Path(local_path).parent) as spill:
                    if not _spill_group(spill, batches, untyped):
                        break
                    sink.mapped = mmap.mmap(spill.fileno(), 0, access=mmap.ACCESS_READ)
                    group = pa.ipc.open_stream(pa.py_buffer(sink.mapped)).read_all()
                    writer.write_table(group, row_group_size=GROUP_ROWS)
                    group = sink.mapped = None
                    # Otherwise Arrow's allocator keeps unused memory.
                    pa.default_memory_pool().release_unused()
    counts: dict[str, dict[str, int]] = {}
    for (path, reason), count in sorted((+untyped).items()):
        counts.setdefault(path, {})[reason] = count
    return counts


class _Sink:
    """A file that Parquet is written to, while a row group is read from a mapped file.

    pyarrow writes a row group one column after the other, and needs all of its rows for that. They are in a file on
    disk, so that memory does not contain all of them. What was read of it counts as the memory of this process until it
    is given back, after each piece of the result; the kernel reads it again if it is needed again.
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.mapped: mmap.mmap | None = None

    def write(self, data: bytes) -> int:
        if self.mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self._file.tell()


def _spill_group(spill: IO[bytes], batches: Iterator[list[bytes]], untyped: Untyped) -> int:
    """Write the next records to a file as Arrow, as many as a row group has; return how many."""
    rows = size = 0
    with pa.ipc.new_stream(spill, SCHEMA) as stream:
        while rows <= GROUP_ROWS - _BATCH_ROWS and size < GROUP_BYTES and (batch := next(batches, None)):
            stream.write_batch(batch_of(batch, untyped))
            rows += len(batch)
            size += sum(map(len, batch))
    spill.flush()
    return rows


def _batches(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    waiting: list[bytes] = []
    size = 0
    for raw in records:
        waiting.append(raw)
        size += len(raw)
        if len(waiting) == _BATCH_ROWS or size >= _BATCH_BYTES:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting
