"""JSON values as Airflow can store them: in XComs, in the events of triggers and in state stores.

On their way they go through MessagePack, pydantic, Airflow's serializer and a JSON column. A value that one of these
refuses fails the task, or ends the triggerer, which then reads the same log again after its restart. So the values that
JSON allows, but they do not, are replaced here, and each result says which were: without that it would look like what
the API sent.
"""

from __future__ import annotations

import json
import math
from typing import Any

from airflow_provider_secoda._persisted import REPLACED_KEY
from airflow_provider_secoda.client._api.json_checks import load

#: The range of MessagePack's integers.
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1
#: Levels of nesting: more than any documented field has, and far fewer than serializers accept.
_MAX_DEPTH = 64
#: Names by which Airflow's serializer marks objects of other classes: it refuses them, or makes such an object.
_RESERVED = frozenset(("__classname__", "__id__", "__type", "__var", REPLACED_KEY))


def storable(value: Any) -> Any:
    """Return a JSON value with everything replaced that cannot be stored.

    Integers beyond 64 bits and numbers beyond the range of floats become strings. PostgreSQL's JSON has no NUL, and
    Unicode no half of a surrogate pair: both become U+FFFD. Values that are nested deeper than 64 levels become JSON
    text. A name that is reserved (by Airflow's serializer, or :data:`.REPLACED_KEY`) gets U+FFFD in front, and one that
    the object has already gets it at its end.
    """
    return _storable(value, "$", [], 0)


def storable_result(result: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object as :func:`storable` does; if anything was replaced, :data:`.REPLACED_KEY` lists it."""
    replaced: list[str] = []
    stored: dict[str, Any] = _storable(result, "$", replaced, 0)
    if replaced:
        stored[REPLACED_KEY] = replaced
    return stored


def storable_record(raw: bytes) -> dict[str, Any]:
    """Return a record of the API as :func:`storable_result` does; no other key is added or left out.

    :param raw: the record as the API sent it, a JSON object
    :raises ValueError: when it is not JSON
    :raises RecursionError: when it is nested too deep for the parser
    """
    return storable_result(load(raw))


def _storable(value: Any, path: str, replaced: list[str], depth: int) -> Any:
    if isinstance(value, dict | list) and depth >= _MAX_DEPTH:
        new: Any = json.dumps(value)
    elif isinstance(value, dict):
        return _storable_object(value, path, replaced, depth)
    elif isinstance(value, list | tuple):
        return [_storable(inner, f"{path}[{index}]", replaced, depth + 1) for index, inner in enumerate(value)]
    elif isinstance(value, str):
        new = _clean(value)
    else:
        too_large = isinstance(value, int) and not _MIN_INTEGER <= value <= _MAX_INTEGER
        not_finite = isinstance(value, float) and not math.isfinite(value)
        new = str(value) if too_large or not_finite else value
    if type(new) is not type(value) or new != value:
        replaced.append(path)
    return new


def _storable_object(value: dict[str, Any], path: str, replaced: list[str], depth: int) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for name, inner in value.items():
        new = _clean(str(name))
        new = f"\ufffd{new}" if new in _RESERVED else new
        while new in stored:
            new += "\ufffd"
        if new != name:
            replaced.append(f"{path}.{new}")
        stored[new] = _storable(inner, f"{path}.{new}", replaced, depth + 1)
    return stored


def _clean(text: str) -> str:
    text = text.replace("\0", "\ufffd")
    if not text.isascii():
        # UTF-16 joins the halves of a pair that were separated, and reveals those that have no other half.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
