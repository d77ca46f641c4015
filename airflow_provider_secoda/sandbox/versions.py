"""The history of one resource: logs that belong to no version, and versions that group edits by time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.sandbox.schema import VersionHistory, VersionMetadata
from airflow_provider_secoda.sandbox.timestamps import microseconds_of, nanoseconds, text_of, text_of_moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.sandbox.index import Entry

_TIMES = ("created_at", "updated_at", "latest_activity_logged_at")
_THIRTY_DAYS = timedelta(days=30)


class Version:
    """Edits of one resource that lie close together; a later edit may extend it, and its id stays."""

    __slots__ = ("_fixed", "entries", "id", "resource_id")

    def __init__(self, identity: str, resource_id: str) -> None:
        self.id = identity
        self.resource_id = resource_id
        self.entries: list[Entry] = []
        self._fixed: dict[str, Any] = {}

    @classmethod
    def of(cls, resource_id: str, fields: Mapping[str, Any], spare_id: str) -> Version:
        """Return an empty version with fields of the reference, ``spare_id`` unless they hold an id.

        :raises msgspec.ValidationError: a field does not exist or is of the wrong kind.
        """
        given = {name: value for name, value in fields.items() if name != "activity_logs"}
        given |= {name: text_of_moment(given[name]) for name in _TIMES if name in given}
        placeholders = dict.fromkeys(_TIMES, "") | {"id": spare_id, "resource_id": resource_id}
        document = msgspec.convert(placeholders | given, VersionHistory)
        return cls(document.id, resource_id)

    def pin(self, fields: Mapping[str, Any]) -> None:
        """Serve these fields as given instead of deriving them, until the next edit moves the times."""
        self._fixed = {name: value for name, value in fields.items() if name not in ("activity_logs", "id")}
        self._fixed |= {name: text_of_moment(self._fixed[name]) for name in _TIMES if name in self._fixed}

    def add(self, entry: Entry) -> None:
        """Extend the version by an edit: its latest activity moves."""
        self.entries.append(entry)
        for name in ("updated_at", "latest_activity_logged_at"):
            self._fixed.pop(name, None)

    @property
    def latest(self) -> int:
        """The latest activity in nanoseconds since 1970."""
        fixed = self._fixed.get("latest_activity_logged_at")
        if fixed is not None:
            return nanoseconds(fixed)
        return max((entry.logged_at for entry in self.entries), default=0)

    def document(self, now: datetime) -> VersionHistory:
        """Return the version as it is served, its latest edits first."""
        entries = sorted(self.entries, key=lambda entry: (-entry.logged_at, entry.serial))
        newest = max((entry.updated_at for entry in entries), default=0)
        oldest = min((entry.created_at for entry in entries), default=0)
        fields = {
            "id": self.id,
            "created_at": text_of(oldest // 1000),
            "updated_at": text_of(newest // 1000),
            "latest_activity_logged_at": text_of(self.latest // 1000),
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
        """Return what the version changed, made up from its id so that it stays the same."""
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
    """What resource logs show of one resource, in the order it came."""

    logs: list[Entry] = field(default_factory=list)
    versions: dict[str, Version] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """File a log under its version, which begins with it if it is new."""
        identity = entry.version_history_id
        if identity is None:
            self.logs.append(entry)
            return
        if identity not in self.versions:
            self.versions[identity] = Version(identity, entry.resource_id or "")
        self.versions[identity].add(entry)
