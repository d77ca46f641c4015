"""Write records as Parquet: the documented fields as typed columns, and the record as it was sent in column ``raw``.

The columns are those of :data:`~airflow_provider_secoda.client._api.fields.AUDIT_LOG`. Import this module only to
write: it needs pyarrow, which is an extra.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_secoda.client._api.fields import AUDIT_LOG
from airflow_provider_secoda.client._api.timestamps import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

# Python objects need about ten times the memory that Arrow needs for the same values, so few rows are objects at a
# time, and more of them wait as Arrow until a row group (of at most 2,048 rows) is worth writing. A record may be
# large, so bytes count too.
_BATCH_ROWS, _BATCH_BYTES = 256, 1 << 20
_GROUP_BATCHES = 8


class _Column(NamedTuple):
    """The type of a column, and how to read its value from JSON; ``read`` may raise on a value of another type."""

    type: pa.DataType
    read: Callable[[bytes | msgspec.Raw], Any]


def _value(column: _Column, value: bytes | msgspec.Raw | None) -> Any:
    """Return a value, or None if it is missing or has an undocumented type: ``raw`` still contains it."""
    if value is None:
        return None
    try:
        return column.read(value)
    except msgspec.DecodeError:
        return None


_string_or_null = msgspec.json.Decoder(str | None).decode
_object_or_null = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
_array_or_null = msgspec.json.Decoder(list[msgspec.Raw] | None).decode


def _microseconds(value: bytes | msgspec.Raw) -> int | None:
    try:
        return parse_instant(_string_or_null(value))
    except ValueError:
        return None


def _json_text(value: bytes | msgspec.Raw) -> str | None:
    text = bytes(value).decode()
    return None if text == "null" else text


_COLUMNS: dict[str, _Column] = {
    "string": _Column(pa.string(), _string_or_null),
    "boolean": _Column(pa.bool_(), msgspec.json.Decoder(bool | None).decode),
    "date-time": _Column(pa.timestamp("us", tz="UTC"), _microseconds),
    "object": _Column(pa.string(), _json_text),
}


def _column(kind: Any) -> _Column:
    """Return the column of a documented type: the name of a type, a mapping of fields, or a list of one type."""
    if isinstance(kind, dict):
        return _struct({name: _column(inner) for name, inner in kind.items()})
    return _list(_column(kind[0])) if isinstance(kind, list) else _COLUMNS[kind]


def _struct(columns: Mapping[str, _Column]) -> _Column:
    def read(value: bytes | msgspec.Raw) -> dict[str, Any] | None:
        fields = _object_or_null(value)
        return None if fields is None else {name: _value(each, fields.get(name)) for name, each in columns.items()}

    return _Column(pa.struct([(name, each.type) for name, each in columns.items()]), read)


def _list(item: _Column) -> _Column:
    def read(value: bytes | msgspec.Raw) -> list[Any] | None:
        items = _array_or_null(value)
        return None if items is None else [_value(item, each) for each in items]

    return _Column(pa.list_(item.type), read)


_RECORD = _column(AUDIT_LOG)
#: The columns of a file, and their types.
SCHEMA = pa.schema([*_RECORD.type, ("raw", pa.string())])


def write_parquet(local_path: str | Path, records: Iterable[bytes]) -> None:
    """Write records in the order given; without records the file is valid and has no rows.

    A missing field and a value of an undocumented type are null in their column; column ``raw`` contains every record
    as it was sent. ``metadata``, whose fields are not documented, is its JSON text. Timestamps are in UTC (also those
    without an offset), and digits beyond microseconds are dropped. The same records and the same pyarrow give the same
    bytes.

    :param local_path: a file on this machine; replaced
    :param records: each the bytes of one JSON object
    :raises UnicodeDecodeError: a record is not UTF-8, so it is not JSON, and no string column can contain it unchanged
    """
    batches = _batches(records)
    with pq.ParquetWriter(local_path, SCHEMA, compression="zstd") as writer:
        while group := list(islice(batches, _GROUP_BATCHES)):
            writer.write_table(pa.Table.from_batches(group, SCHEMA))
            del group
            # Otherwise Arrow's allocator keeps half as much again of memory that is no longer used.
            pa.default_memory_pool().release_unused()


def _batches(records: Iterable[bytes]) -> Iterator[pa.RecordBatch]:
    waiting: list[bytes] = []
    size = 0
    for raw in records:
        waiting.append(raw)
        size += len(raw)
        if len(waiting) == _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch_of(waiting)
            waiting, size = [], 0
    if waiting:
        yield batch_of(waiting)


def batch_of(records: list[bytes]) -> pa.RecordBatch:
    """Return records as rows of a file; see :func:`write_parquet`."""
    rows = [(_value(_RECORD, raw) or {}) | {"raw": raw.decode()} for raw in records]
    return pa.RecordBatch.from_pylist(rows, SCHEMA)
