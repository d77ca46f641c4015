"""Write records as Parquet: the documented fields as typed columns, and the record as it was sent in column ``raw``.

The columns are those of :data:`~airflow_provider_secoda.client._api.fields.AUDIT_LOG`. Import this module only to
write: it needs pyarrow, which is an extra.
"""

from __future__ import annotations

import json
import mmap
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_secoda.client._api.decoding import decode_instant
from airflow_provider_secoda.client._api.fields import AUDIT_LOG
from airflow_provider_secoda.client._api.json_checks import load, replace_half_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    _Json: TypeAlias = bytes | msgspec.Raw

#: How many values of a column are not as they were sent, by the path of the field and the reason.
Untyped: TypeAlias = "Counter[tuple[str, str]]"

# Python objects need about ten times the memory that Arrow needs for the same values, so few rows are objects at a
# time. A record may be large, so bytes count too.
_BATCH_ROWS, _BATCH_BYTES = 256, 1 << 20
#: The size of a row group, in rows and in bytes of ``raw``, whichever is reached first.
GROUP_ROWS, GROUP_BYTES = 100_000, 64 << 20
_HALF_PAIR = re.compile("[\ud800-\udfff]")


class _Column(NamedTuple):
    """A column or a part of one: its type, how to read its value from JSON, and the path of the field.

    ``read`` raises :class:`msgspec.DecodeError` for a value of another type.
    """

    type: pa.DataType
    read: Callable[[_Json, Untyped], Any]
    path: str


def _value(column: _Column, value: _Json | None, untyped: Untyped) -> Any:
    """Return a value, or None if it is missing or cannot be typed: ``raw`` still contains it."""
    if value is None:
        return None
    try:
        return column.read(value, untyped)
    except msgspec.DecodeError:
        untyped[column.path, "wrong_type"] += 1
    except ValueError:
        untyped[column.path, "not_a_timestamp"] += 1
    return None


_string_or_null = msgspec.json.Decoder(str | None).decode
_boolean_or_null = msgspec.json.Decoder(bool | None).decode
_object_or_null = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
_array_or_null = msgspec.json.Decoder(list[msgspec.Raw] | None).decode


def _instant_or_null(value: _Json) -> int | None:
    return None if bytes(value) == b"null" else decode_instant(value)


def _json_text(value: _Json) -> str | None:
    text = bytes(value).decode()
    return None if text == "null" else text


_READERS: dict[str, tuple[pa.DataType, Callable[[_Json], Any]]] = {
    "string": (pa.string(), _string_or_null),
    "boolean": (pa.bool_(), _boolean_or_null),
    "date-time": (pa.timestamp("us", tz="UTC"), _instant_or_null),
    "object": (pa.string(), _json_text),
}


def _column(kind: Any, path: str) -> _Column:
    """Return the column of a documented type: the name of a type, a mapping of fields, or a list of one type."""
    if isinstance(kind, dict):
        return _struct({name: _column(inner, f"{path}.{name}".lstrip(".")) for name, inner in kind.items()}, path)
    if isinstance(kind, list):
        return _list(_column(kind[0], f"{path}[]"), path)
    data_type, read = _READERS[kind]
    return _Column(data_type, lambda value, _: read(value), path)


def _struct(columns: Mapping[str, _Column], path: str) -> _Column:
    def read(value: _Json, untyped: Untyped) -> dict[str, Any] | None:
        fields = _object_or_null(value)
        if fields is None:
            return None
        return {name: _value(each, fields.get(name), untyped) for name, each in columns.items()}

    return _Column(pa.struct([(name, each.type) for name, each in columns.items()]), read, path)


def _list(item: _Column, path: str) -> _Column:
    def read(value: _Json, untyped: Untyped) -> list[Any] | None:
        items = _array_or_null(value)
        return None if items is None else [_value(item, each, untyped) for each in items]

    return _Column(pa.list_(item.type), read, path)


_RECORD = _column(AUDIT_LOG, "")
#: The columns of a file, and their types.
SCHEMA = pa.schema([*_RECORD.type, ("raw", pa.string())])


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


def batch_of(records: list[bytes], untyped: Untyped) -> pa.RecordBatch:
    """Return records as rows of a file, and count the values that are not as they were sent."""
    rows = []
    for raw in records:
        text = replace_half_pairs(raw)
        row = _value(_RECORD, text, untyped) or {}
        if text != raw:
            _count_half_pairs(load(raw), AUDIT_LOG, "", untyped)
        rows.append(row | {"raw": raw.decode()})
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


def _count_half_pairs(value: Any, kind: Any, path: str, untyped: Untyped) -> None:
    if isinstance(kind, dict):
        for name, inner in kind.items() if isinstance(value, dict) else ():
            _count_half_pairs(value.get(name), inner, f"{path}.{name}".lstrip("."), untyped)
    elif isinstance(kind, list):
        for item in value if isinstance(value, list) else ():
            _count_half_pairs(item, kind[0], f"{path}[]", untyped)
    elif kind == "object" or (kind == "string" and isinstance(value, str)):
        untyped[path, "half_surrogate_pair"] += bool(_HALF_PAIR.search(json.dumps(value, ensure_ascii=False)))
