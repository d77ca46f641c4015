"""Payloads of the events that the event triggers fire."""

from __future__ import annotations

from typing import Any

from airflow_provider_secoda._storable import read_record, storable


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
