"""History of a resource: versions, which group edits by time, and the logs outside of versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.sandbox._workspace.schema import VersionHistory, VersionMetadata
from airflow_provider_secoda.sandbox._workspace.timestamps import (
    format_microseconds,
    format_timestamp,
    microseconds_of,
    parse_nanoseconds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.sandbox._workspace.index import Entry

_TIMES = ("created_at", "updated_at", "latest_activity_logged_at")
_THIRTY_DAYS = timedelta(days=30)


class Version:
    """Edits of one resource within a short time; a later edit may extend the version, and its id stays."""

    __slots__ = ("_fixed", "entries", "id", "resource_id")

    def __init__(self, version_id: str, resource_id: str) -> None:
        self.id = version_id
        self.resource_id = resource_id
        self.entries: list[Entry] = []
        self._fixed: dict[str, Any] = {}

    @classmethod
    def from_fields(cls, resource_id: str, fields: Mapping[str, Any], default_id: str) -> Version:
        """Return an empty version after checking ``fields``, which may contain the id.

        :raises msgspec.ValidationError: a field does not exist or has a wrong type.
        """
        given = {name: value for name, value in fields.items() if name != "activity_logs"}
        given |= {name: format_timestamp(given[name]) for name in _TIMES if name in given}
        placeholders = dict.fromkeys(_TIMES, "") | {"id": default_id, "resource_id": resource_id}
        document = msgspec.convert(placeholders | given, VersionHistory)
        return cls(document.id, resource_id)

    def set_fields(self, fields: Mapping[str, Any]) -> None:
        """Serve these fields instead of derived ones; the next edit derives the timestamps again."""
        self._fixed = {name: value for name, value in fields.items() if name not in ("activity_logs", "id")}
        self._fixed |= {name: format_timestamp(self._fixed[name]) for name in _TIMES if name in self._fixed}

    def add(self, entry: Entry) -> None:
        """Add an edit, which becomes the latest activity."""
        self.entries.append(entry)
        for name in ("updated_at", "latest_activity_logged_at"):
            self._fixed.pop(name, None)

    @property
    def latest(self) -> int:
        """The latest activity in nanoseconds since 1970."""
        fixed = self._fixed.get("latest_activity_logged_at")
        if fixed is not None:
            return parse_nanoseconds(fixed)
        return max((entry.logged_at for entry in self.entries), default=0)

    def document(self, now: datetime) -> VersionHistory:
        """Return the version as it is served, its latest edits first."""
        entries = sorted(self.entries, key=lambda entry: (-entry.logged_at, entry.serial))
        newest = max((entry.updated_at for entry in entries), default=0)
        oldest = min((entry.created_at for entry in entries), default=0)
        fields = {
            "id": self.id,
            "created_at": format_microseconds(oldest // 1000),
            "updated_at": format_microseconds(newest // 1000),
            "latest_activity_logged_at": format_microseconds(self.latest // 1000),
            "resource_id": self.resource_id,
            "secoda_entity_type": entries[0].value("secoda_entity_type") if entries else None,
            "older_than_thirty_days": self.latest // 1000 < microseconds_of(now - _THIRTY_DAYS),
            **self._fixed,
        }
        metadata = fields.pop("metadata", None) or self._changes(len(entries))
        document = VersionHistory(**fields, metadata=msgspec.convert(metadata, VersionMetadata))
        document.activity_logs = [msgspec.Raw(entry.raw) for entry in entries]
        return document

    def _changes(self, edits: int) -> dict[str, Any]:
        """Return invented changes, derived from the id so that they stay the same."""
        before = f"Draft {self.id[:4]}."
        after = f"Draft {self.id[:4]}, revised {edits} times."
        return {
            "prev": {"description": before},
            "current": {"description": after},
            "definition_diff": {},
            "description_diff": {"removed": [before], "added": [after]},
            "secoda_entity_property_snapshot": {
                "description": after,
                "published": True,
                "pii": None,
                "tags": [],
            },
        }


@dataclass
class History:
    """Logs and versions of one resource, in insertion order."""

    logs: list[Entry] = field(default_factory=list)
    versions: dict[str, Version] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Add a log to its version, which is created if it does not exist, or to the logs without a version."""
        version_id = entry.version_history_id
        if version_id is None:
            self.logs.append(entry)
            return
        if version_id not in self.versions:
            self.versions[version_id] = Version(version_id, entry.resource_id or "")
        self.versions[version_id].add(entry)
