"""Write records as Parquet: the documented fields typed, the untouched record beside them.

The columns are those of ``v1_ActivityLogOut`` in https://docs.secoda.co/api/reference/audit-logs (8.22.39).
Import this module only to write: it needs pyarrow, which is an extra.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

# Python objects weigh some ten times what Arrow needs for the same values, so few rows are objects at a
# time, and more of them wait as Arrow until a row group (of at most 2,048 rows) is worth writing. A record
# may be large: bytes count too.
_BATCH_ROWS, _BATCH_BYTES = 256, 1 << 20
_GROUP_BATCHES = 8

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_BEYOND_MICROSECONDS = re.compile(r"(\.\d{6})\d+")


class _Kind(NamedTuple):
    """A column type and how to read its value from JSON; ``read`` may raise on a value of another type."""

    arrow: pa.DataType
    read: Callable[[bytes | msgspec.Raw], Any]


def _read(kind: _Kind, value: bytes | msgspec.Raw | None) -> Any:
    """Read a value, or ``None`` where it is missing or of an undocumented type: ``raw`` still holds it."""
    if value is None:
        return None
    try:
        return kind.read(value)
    except msgspec.DecodeError:
        return None


_text_or_null = msgspec.json.Decoder(str | None).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
_array = msgspec.json.Decoder(list[msgspec.Raw] | None).decode


def _microseconds(value: bytes | msgspec.Raw) -> int | None:
    text = _text_or_null(value)
    if text is None:
        return None
    # Cut, not rounded: a log of 23:59:59.9999999 belongs to its own day.
    moment = msgspec.convert(_BEYOND_MICROSECONDS.sub(r"\1", text), datetime)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _json_text(value: bytes | msgspec.Raw) -> str | None:
    text = bytes(value).decode()
    return None if text == "null" else text


def _struct(*names: str, **others: _Kind) -> _Kind:
    kinds = dict.fromkeys(names, _TEXT) | others

    def read(value: bytes | msgspec.Raw) -> dict[str, Any] | None:
        fields = _object(value)
        return None if fields is None else {name: _read(kind, fields.get(name)) for name, kind in kinds.items()}

    return _Kind(pa.struct([(name, kind.arrow) for name, kind in kinds.items()]), read)


def _list(item: _Kind) -> _Kind:
    def read(value: bytes | msgspec.Raw) -> list[Any] | None:
        items = _array(value)
        return None if items is None else [_read(item, each) for each in items]

    return _Kind(pa.list_(item.arrow), read)


_TEXT = _Kind(pa.string(), _text_or_null)
_FLAG = _Kind(pa.bool_(), msgspec.json.Decoder(bool | None).decode)
_TIME = _Kind(pa.timestamp("us", tz="UTC"), _microseconds)
_FREE = _Kind(pa.string(), _json_text)

_COLUMNS: dict[str, _Kind] = {
    "id": _TEXT,
    "parent_id": _TEXT,
    "activity_type": _TEXT,
    "performer_id": _TEXT,
    "performer_type": _TEXT,
    "performer_metadata": _struct(
        *("id", "name", "icon", "src", "integration_type", "display_name"),
        disabled=_FLAG,
        first_name=_TEXT,
        last_name=_TEXT,
        profile_picture=_TEXT,
        is_service_account=_FLAG,
    ),
    "resource_id": _TEXT,
    "resource_type": _TEXT,
    "resource_metadata": _struct("id", "name", "icon", "type", "integration_id"),
    "related_resource_ids": _list(_TEXT),
    "related_resource_type": _TEXT,
    "event_blocks": _list(_struct("type", "style", "value")),
    "logged_at": _TIME,
    "created_at": _TIME,
    "updated_at": _TIME,
    "is_legacy": _FLAG,
    "version_history_id": _TEXT,
    "secoda_entity_type": _TEXT,
    "metadata": _FREE,
}
_RECORD = _struct(**_COLUMNS)
_SCHEMA = pa.schema([*((name, kind.arrow) for name, kind in _COLUMNS.items()), ("raw", pa.string())])


def write_parquet(local_path: str | Path, records: Iterable[bytes]) -> None:
    """Write records, in the order given; none at all makes a valid file without rows.

    A missing field and a value of an undocumented type are null in their column; column ``raw`` holds every
    record as it was sent. ``metadata``, whose shape is not documented, is its JSON text. Timestamps are in
    UTC (also those without an offset), fractions beyond microseconds are cut. The same records and pyarrow
    make the same bytes.

    :param local_path: a file on this machine; overwritten.
    :param records: each the bytes of one JSON object.
    :raises UnicodeDecodeError: a record is not UTF-8, so it is not JSON, and no text column can hold it
        untouched.
    """
    batches = _batches(records)
    with pq.ParquetWriter(local_path, _SCHEMA, compression="zstd") as writer:
        while _write_group(writer, list(islice(batches, _GROUP_BATCHES))):
            # Arrow's allocator else keeps half as much again of what is no longer used.
            pa.default_memory_pool().release_unused()


def _write_group(writer: pq.ParquetWriter, batches: list[pa.RecordBatch]) -> bool:
    if batches:
        writer.write_table(pa.Table.from_batches(batches, _SCHEMA))
    return bool(batches)


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
    """Return records as a file holds them; see :func:`write_parquet`."""
    rows = [(_read(_RECORD, raw) or {}) | {"raw": raw.decode()} for raw in records]
    return pa.RecordBatch.from_pylist(rows, _SCHEMA)
