"""JSON values as Airflow's database can store them.

What a trigger yields goes through MessagePack, pydantic and a JSON column. A value that one of these refuses ends the
triggerer, which then reads the same log again after its restart. So the values that JSON allows, but they do not, are
replaced here.
"""

from __future__ import annotations

import json
import math
from typing import Any

#: The range of MessagePack's integers.
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1
#: Levels of nesting: more than any documented field has, and far fewer than serializers accept.
_MAX_DEPTH = 64
#: Python parses at most 4,300 digits into an integer, unless it is configured otherwise.
_MAX_DIGITS = 4_000


def read_record(raw: bytes) -> dict[str, Any]:
    """Return a record of the API as values that can be stored; no key is added or left out.

    :param raw: the record as the API sent it, a JSON object
    :raises ValueError: when it is not JSON
    :raises RecursionError: when it is nested too deep for the parser
    """
    record: dict[str, Any] = storable(json.loads(raw, parse_int=_parse_integer, parse_float=_parse_float))
    return record


def storable(value: Any, depth: int = 0) -> Any:
    """Return a JSON value with everything replaced that cannot be stored.

    Integers beyond 64 bits and numbers that are not finite become strings. PostgreSQL's JSON has no NUL, and Unicode no
    half of a surrogate pair: both become U+FFFD. Values that are nested deeper than 64 levels become JSON text.

    :param depth: levels of nesting above the value
    """
    if isinstance(value, dict | list) and depth >= _MAX_DEPTH:
        return _clean(json.dumps(value, ensure_ascii=False))
    if isinstance(value, dict):
        return {_clean(str(name)): storable(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable(inner, depth + 1) for inner in value]
    if isinstance(value, str):
        return _clean(value)
    too_large = isinstance(value, int) and not _MIN_INTEGER <= value <= _MAX_INTEGER
    not_finite = isinstance(value, float) and not math.isfinite(value)
    return str(value) if too_large or not_finite else value


def _clean(text: str) -> str:
    text = text.replace("\0", "\ufffd")
    if not text.isascii():
        # UTF-16 joins the halves of a pair that were separated, and reveals those that have no other half.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _parse_integer(digits: str) -> int | str:
    return int(digits) if len(digits) < _MAX_DIGITS else digits


def _parse_float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text
