"""Read the typed values of a record a second time, with another decoder than the writer of Parquet files uses.

Only the table of documented fields and the parser of timestamps are the writer's.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.fields import AUDIT_LOG
from airflow_provider_secoda.client._api.timestamps import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable

_HALF_PAIR = re.compile("[\ud800-\udfff]")


def read_typed(raw: bytes) -> dict[str, Any] | None:
    """Return the values that the columns of a record must have; None if it is not a JSON object.

    The result has None for a value that its column cannot contain, and U+FFFD for half a surrogate pair. ``metadata``
    is a JSON value.
    """
    try:
        record = _load(raw)
    except (ValueError, RecursionError):
        return None
    return _typed(record, AUDIT_LOG) if isinstance(record, dict) else None


def same_json(text: Any, expected: Any) -> bool:
    """Return whether a column's JSON text has this value, where None is null."""
    if text is None or expected is None:
        return text is expected
    try:
        return bool(_load(text) == expected)
    except (ValueError, RecursionError, TypeError):
        return False


def _load(text: bytes | str) -> Any:
    # A number is its text, in a tuple: it equals no other value, and 2.50 is not 2.5. Python joins surrogate pairs.
    return _replaced(json.loads(text, parse_int=_number, parse_float=_number))


def _number(digits: str) -> tuple[str]:
    return (digits,)


def _replaced(value: Any) -> Any:
    """Return a JSON value with U+FFFD for each half of a surrogate pair."""
    if isinstance(value, str):
        return value if value.isascii() else _HALF_PAIR.sub("\ufffd", value)
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    if isinstance(value, dict):
        return {_replaced(name): _replaced(item) for name, item in value.items()}
    return value


def _typed(value: Any, kind: Any) -> Any:
    if isinstance(kind, dict):
        fields = value if isinstance(value, dict) else None
        return None if fields is None else {name: _typed(fields.get(name), inner) for name, inner in kind.items()}
    if isinstance(kind, list):
        return [_typed(item, kind[0]) for item in value] if isinstance(value, list) else None
    return _SCALARS[kind](value)


def _instant(value: Any) -> int | None:
    try:
        return parse_instant(value)
    except ValueError:
        return None


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "object": lambda value: value,
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "string": lambda value: value if isinstance(value, str) else None,
    "date-time": _instant,
}
