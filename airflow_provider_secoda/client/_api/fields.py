"""The documented fields of an audit log: ``v1_ActivityLogOut`` of the vendor's API reference (8.22.39).

A text is the JSON type (or ``date-time``, which is a string in JSON), a mapping an object, a list an array.
"""

from __future__ import annotations

from typing import Any

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
