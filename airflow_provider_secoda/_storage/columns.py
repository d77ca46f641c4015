"""Turn records into rows of Parquet: the documented fields as typed columns, and the record as it was sent.

The columns are those of :data:`~airflow_provider_secoda.client._api.fields.AUDIT_LOG`. Values are read record by
record, and become Arrow column by column.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from airflow_provider_secoda.client._api.decoding import decode_instant, decode_instants
from airflow_provider_secoda.client._api.fields import AUDIT_LOG
from airflow_provider_secoda.client._api.json_checks import load, replace_half_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Json: TypeAlias = bytes | msgspec.Raw

#: How many values of a column are not as they were sent, by the path of the field and the reason.
Untyped: TypeAlias = "Counter[tuple[str, str]]"

_HALF_PAIR = re.compile("[\ud800-\udfff]")


class _Column(NamedTuple):
    """A column or a part of one, and the path of the field.

    :ivar known: the Python type of a value that is as documented; :class:`msgspec.Raw` for JSON that ``array`` reads
    :ivar read: reads a value that may have a part of another type, and raises :class:`msgspec.DecodeError` if the value
        itself has another type
    :ivar array: returns the values of many records as Arrow
    """

    type: pa.DataType
    known: Any
    read: Callable[[_Json, Untyped], Any]
    array: Callable[[list[Any], Untyped], pa.Array]
    path: str


def _value(column: _Column, value: _Json, untyped: Untyped) -> Any:
    """Return a value, or None if it has another type: ``raw`` still contains it."""
    try:
        return column.read(value, untyped)
    except msgspec.DecodeError:
        untyped[column.path, "wrong_type"] += 1
    return None


_MISSING = msgspec.Raw()
_object_or_null = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
_array_or_null = msgspec.json.Decoder(list[msgspec.Raw] | None).decode


def _instants_or_null(values: list[Any], path: str, untyped: Untyped) -> list[int | None]:
    try:
        return [*decode_instants(values)]
    except (TypeError, ValueError):  # rare: None is a missing object
        return [_instant_or_null(value, path, untyped) for value in values]


def _instant_or_null(value: _Json | None, path: str, untyped: Untyped) -> int | None:
    text = bytes(value or b"")
    if text in (b"", b"null"):
        return None
    try:
        return decode_instant(text)
    except ValueError:
        untyped[path, "not_a_timestamp"] += 1
        return None


def _json_texts(values: list[Any], _path: str, _untyped: Untyped) -> list[str | None]:
    texts = [bytes(value or b"").decode() for value in values]
    return [None if text in ("", "null") else text for text in texts]


#: Types that the decoder reads, and types that it passes on as JSON, with the function that reads many.
_KNOWN: dict[str, tuple[pa.DataType, Any]] = {"string": (pa.string(), str | None), "boolean": (pa.bool_(), bool | None)}
_AS_JSON: dict[str, tuple[pa.DataType, Callable[[list[Any], str, Untyped], list[Any]]]] = {
    "date-time": (pa.timestamp("us", tz="UTC"), _instants_or_null),
    "object": (pa.string(), _json_texts),
}


def _column(kind: Any, path: str) -> _Column:
    """Return the column of a documented type: the name of a type, a mapping of fields, or a list of one type."""
    if isinstance(kind, dict):
        return _struct({name: _column(inner, f"{path}.{name}".lstrip(".")) for name, inner in kind.items()}, path)
    if isinstance(kind, list):
        return _list(_column(kind[0], f"{path}[]"), path)
    if kind in _AS_JSON:
        data_type, convert = _AS_JSON[kind]

        def array(values: list[Any], untyped: Untyped) -> pa.Array:
            return pa.array(convert(values, path, untyped), data_type)

        return _Column(data_type, msgspec.Raw, lambda value, _: value, array, path)
    data_type, known = _KNOWN[kind]
    decode = msgspec.json.Decoder(known).decode

    def leaves(values: list[Any], _: Untyped) -> pa.Array:
        return pa.array(values, data_type)

    return _Column(data_type, known, lambda value, _: decode(value), leaves, path)


def _struct(columns: Mapping[str, _Column], path: str) -> _Column:
    fields = [(name, each.known, _MISSING if each.known is msgspec.Raw else None) for name, each in columns.items()]
    struct = msgspec.defstruct("Fields", fields, gc=False)
    data_type = pa.struct([(name, each.type) for name, each in columns.items()])
    parts, nothing = [(attrgetter(name), each) for name, each in columns.items()], struct()

    def read(value: _Json, untyped: Untyped) -> Any:
        given = _object_or_null(value)
        if given is None:
            return None
        return struct(**{name: _value(each, given[name], untyped) for name, each in columns.items() if name in given})

    def array(values: list[Any], untyped: Untyped) -> pa.Array:
        missing = [value is None for value in values]
        present = [nothing if value is None else value for value in values]
        arrays = [each.array(list(map(get, present)), untyped) for get, each in parts]
        return pa.StructArray.from_arrays(
            arrays, fields=list(data_type), mask=pa.array(missing) if any(missing) else None
        )

    return _Column(data_type, struct | None, read, array, path)


def _list(item: _Column, path: str) -> _Column:
    def read(value: _Json, untyped: Untyped) -> list[Any] | None:
        items = _array_or_null(value)
        return None if items is None else [_value(item, each, untyped) for each in items]

    def array(values: list[Any], untyped: Untyped) -> pa.Array:
        ends = list(accumulate((len(value or ()) for value in values), initial=0))
        starts = [None if value is None else end for value, end in zip(values, ends, strict=False)]
        items = item.array([each for value in values for each in value or ()], untyped)
        return pa.ListArray.from_arrays(pa.array([*starts, ends[-1]], pa.int32()), items)

    return _Column(pa.list_(item.type), list[item.known] | None, read, array, path)  # type: ignore[name-defined]


_RECORD = _column(AUDIT_LOG, "")
_decode_record = msgspec.json.Decoder(_RECORD.known).decode
#: The columns of a file, and their types.
SCHEMA = pa.schema([*_RECORD.type, ("raw", pa.string())])


def batch_of(records: list[bytes], untyped: Untyped) -> pa.RecordBatch:
    """Return records as rows of a file, and count the values that are not as they were sent."""
    rows, raws = [], []
    for raw in records:
        raws.append(raw.decode())
        text = replace_half_pairs(raw)
        try:
            rows.append(_decode_record(text))
        except msgspec.DecodeError:
            rows.append(_value(_RECORD, text, untyped))
        if text != raw:
            _count_half_pairs(load(raw), AUDIT_LOG, "", untyped)
    columns = _RECORD.array(rows, untyped).flatten()
    return pa.RecordBatch.from_arrays([*columns, pa.array(raws, pa.string())], schema=SCHEMA)


def _count_half_pairs(value: Any, kind: Any, path: str, untyped: Untyped) -> None:
    if isinstance(kind, dict):
        for name, inner in kind.items() if isinstance(value, dict) else ():
            _count_half_pairs(value.get(name), inner, f"{path}.{name}".lstrip("."), untyped)
    elif isinstance(kind, list):
        for item in value if isinstance(value, list) else ():
            _count_half_pairs(item, kind[0], f"{path}[]", untyped)
    elif kind == "object" or (kind == "string" and isinstance(value, str)):
        untyped[path, "half_surrogate_pair"] += bool(_HALF_PAIR.search(json.dumps(value, ensure_ascii=False)))
