"""Audit logs as they are stored, and as the API sends them: encoded once, so that a world is cheap."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from airflow_provider_secoda.client._api.timestamps import format_instant

SECOND = 1_000_000
BEGIN = 1_700_000_000 * SECOND

_stamp = functools.lru_cache(1 << 14)(format_instant)


class Row(NamedTuple):
    """One log as it is stored: its two timestamps, its id, who did it, when it was stored, and its JSON."""

    logged: int
    created: int
    id: str
    performer: str
    serial: int
    raw: bytes

    def at(self, name: str) -> int:
        return self.logged if name == "logged_at" else self.created


def row(serial: int, logged: int, created: int | None = None, id_: str = "") -> Row:
    """Return a log as the API sends it; times in microseconds."""
    created = logged if created is None else created
    # Ids that grow neither with time nor in the order of arrival, as a UUID does not.
    id_ = id_ or f"{serial * 0x9E3779B1 % 0xFFFF_FFFF:08x}-{serial}"
    performer = "USER" if serial % 3 else "API"
    raw = (
        f'{{"id": "{id_}", "activity_type": "UPDATE", "performer_type": "{performer}", "related_resource_ids": [], '
        f'"event_blocks": [], "logged_at": "{_stamp(logged)}", "created_at": "{_stamp(created)}", '
        f'"updated_at": "{_stamp(created)}", "is_legacy": false}}'
    )
    return Row(logged, created, id_, performer, serial, raw.encode())


def matches(item: Row, node: dict[str, Any]) -> bool:
    """Return whether a log passes a filter."""
    assert node["operator"] == "exact"
    return bool(item.performer == node["value"])
