"""Event payloads: plain values that survive the way from the triggerer into the database.

A payload goes through MessagePack, pydantic and a JSON column. What one of these refuses ends the whole triggerer,
which then meets the same log again: so whatever JSON allows, but they do not, is replaced here.
"""

from __future__ import annotations

import json
import math
from typing import Any

#: MessagePack's integers end here; PostgreSQL's JSON has no NUL, and Unicode no half of a surrogate pair.
_LEAST, _GREATEST = -(2**63), 2**64 - 1
#: Deeper than anything that is documented, and far less than what serializers stand.
_MAX_DEPTH = 64
#: Python reads no longer integers from text.
_MAX_DIGITS = 4_000


def storable(value: Any, depth: int = 0) -> Any:
    """Return a JSON value in which all can be stored: the same, unless it is out of the ordinary.

    Integers beyond 64 bits and numbers that are not finite become text, NUL and half surrogate pairs U+FFFD, what is
    nested deeper than 64 levels JSON text.
    """
    if isinstance(value, dict | list) and depth >= _MAX_DEPTH:
        return _text(json.dumps(value, ensure_ascii=False))
    if isinstance(value, dict):
        return {_text(str(name)): storable(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable(inner, depth + 1) for inner in value]
    if isinstance(value, str):
        return _text(value)
    beyond = not (_LEAST <= value <= _GREATEST) if isinstance(value, int) else isinstance(value, float)
    return str(value) if beyond and not (isinstance(value, float) and math.isfinite(value)) else value


def read_record(raw: bytes) -> dict[str, Any]:
    """Return a record of the API as values that can be stored, with nothing added or left out."""
    record: dict[str, Any] = storable(json.loads(raw, parse_int=_integer, parse_float=_number))
    return record


def describe_log(raw: bytes) -> dict[str, Any]:
    """Return the payload of an audit log's event.

    Keys: ``kind`` (``audit_log``), ``id`` (by which repeats are told), ``logged_at``, ``created_at``,
    ``activity_type``; ``performer`` and ``resource`` (``id``, ``type``, ``name``); ``record``, the whole log.
    """
    record = read_record(raw)
    return {
        "kind": "audit_log",
        "id": record.get("id"),
        "logged_at": record.get("logged_at"),
        "created_at": record.get("created_at"),
        "activity_type": record.get("activity_type"),
        "performer": _who_or_what(record, "performer"),
        "resource": _who_or_what(record, "resource"),
        "record": record,
    }


def describe_version(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of a version history entry's event: ``kind`` (``version``), and the entry's summary."""
    payload: dict[str, Any] = storable({"kind": "version", **summary})
    return payload


def _who_or_what(record: dict[str, Any], role: str) -> dict[str, Any]:
    metadata = record.get(f"{role}_metadata")
    known: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    name = known.get("display_name") or known.get("name")
    name = name or " ".join(str(part) for part in (known.get("first_name"), known.get("last_name")) if part)
    return {"id": record.get(f"{role}_id"), "type": record.get(f"{role}_type"), "name": name or None}


def _text(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if not text.isascii():
        # UTF-16 joins the halves of a pair that came apart, and shows those that have no other half.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) < _MAX_DIGITS else digits


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text
