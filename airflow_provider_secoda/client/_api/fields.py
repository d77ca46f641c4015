"""The documented fields of an audit log: ``v1_ActivityLogOut`` of the vendor's API reference (8.22.39).

A string is the JSON type (or ``date-time``, which is a string in JSON), a mapping an object, a list an array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

AUDIT_LOG: dict[str, Any] = {
    "id": "string",
    "parent_id": "string",
    "activity_type": "string",
    "performer_id": "string",
    "performer_type": "string",
    "performer_metadata": {
        "id": "string",
        "name": "string",
        "icon": "string",
        "src": "string",
        "integration_type": "string",
        "display_name": "string",
        "disabled": "boolean",
        "first_name": "string",
        "last_name": "string",
        "profile_picture": "string",
        "is_service_account": "boolean",
    },
    "resource_id": "string",
    "resource_type": "string",
    "resource_metadata": {
        "id": "string",
        "name": "string",
        "icon": "string",
        "type": "string",
        "integration_id": "string",
    },
    "related_resource_ids": ["string"],
    "related_resource_type": "string",
    "event_blocks": [{"type": "string", "style": "string", "value": "string"}],
    "logged_at": "date-time",
    "created_at": "date-time",
    "updated_at": "date-time",
    "is_legacy": "boolean",
    "version_history_id": "string",
    "secoda_entity_type": "string",
    "metadata": "object",
}


def participant(log: Mapping[str, Any], role: str) -> dict[str, Any]:
    """Return ``id``, ``type`` and ``name`` of who did what an audit log records, or of what it was done to.

    The name is the display name, else the name, else the first and last name, else None.

    :param role: ``performer`` or ``resource``
    """
    metadata = log.get(f"{role}_metadata")
    known: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    name = known.get("display_name") or known.get("name")
    name = name or " ".join(str(part) for part in (known.get("first_name"), known.get("last_name")) if part)
    return {"id": log.get(f"{role}_id"), "type": log.get(f"{role}_type"), "name": name or None}
