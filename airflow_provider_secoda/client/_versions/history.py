"""Decide which version history entries of a resource are new, and summarize them.

A version groups edits by time. So an edit either creates a version or extends the newest one: then its
``latest_activity_logged_at`` changes, and its ``id`` and ``created_at`` do not (source: Secoda's documentation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_provider_secoda.client._api.fields import participant
from airflow_provider_secoda.client._api.json_checks import load
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_secoda.client._api.resource_log_page import Version, VersionPage
    from airflow_provider_secoda.client._api.timestamps import Instant

Match: TypeAlias = Literal["new_version", "any_activity"]


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """A new version history entry.

    :param latest: when it last had activity; 0 if the API sent no usable time
    :param raws: the entry as the API sent it; several when it was on several pages, each with a part of its logs
    """

    id: str
    created: Instant
    latest: Instant
    raws: tuple[bytes, ...]

    def summary(self) -> dict[str, Any]:
        """Return the entry as JSON values, in the same form for XComs and event payloads.

        Callers replace what JSON allows and a database does not, such as half of a surrogate pair.

        Keys: ``id``, ``resource_id``, ``created_at``, ``updated_at``, ``latest_activity_logged_at`` (as sent);
        ``performers`` (of its activity logs: ``id``, ``type``, ``name``) and ``activity_types``, each once, earliest
        first; ``changed_properties`` (sorted names that differ between ``prev`` and ``current``), ``definition_diff``,
        ``description_diff``; ``record``, the complete entry, unchanged.
        """
        records = [_dict(load(raw)) for raw in self.raws]
        record = max(records, key=lambda one: len(_list(one.get("activity_logs"))))
        logs = _activity_logs(records)
        metadata = _dict(record.get("metadata"))
        return {
            "id": self.id,
            **{name: record.get(name) for name in _PLAIN},
            "performers": _each_once(participant(log, "performer") for log in logs),
            "activity_types": _each_once(log.get("activity_type") for log in logs),
            "changed_properties": _differing(_dict(metadata.get("prev")), _dict(metadata.get("current"))),
            "definition_diff": metadata.get("definition_diff"),
            "description_diff": metadata.get("description_diff"),
            "record": record,
        }


_PLAIN = ("resource_id", "created_at", "updated_at", "latest_activity_logged_at")


@dataclass(frozen=True, slots=True)
class Baseline:
    """Which entries are new: a fixed value, and not "what the first poll saw", so that all processes agree.

    :param since: entries created at or after this instant are new
    :param version_id: if given, instead: other entries that were not created before this version are new
    :param match: with ``any_activity``, entries with activity at or after ``since`` are new, too
    """

    since: Instant
    version_id: str | None = None
    match: Match = "new_version"

    def new_since(self, pages: Iterable[VersionPage], resource_id: str) -> Instant:
        """Return the instant since which created entries are new.

        :param pages: all pages of the resource's logs
        :raises SecodaConfigurationError: when the resource has no version ``version_id``
        """
        if self.version_id is None:
            return self.since
        for page in pages:
            for version in page.versions:
                if version.id == self.version_id:
                    return _created(version)
        raise SecodaConfigurationError(
            f"`since_version_id`: resource {resource_id} has no version {self.version_id!r:.80}"
        )

    def is_new(self, version: Version, new_since: Instant) -> bool:
        """Return whether an entry is new.

        :param new_since: what :meth:`new_since` returned
        """
        if self.match == "any_activity":
            latest = _usable(version, "latest_activity_logged_at", version.latest)
            if latest >= self.since:
                return True
        return _created(version) >= new_since and version.id != self.version_id

    def new_entries(self, pages: Sequence[VersionPage], new_since: Instant) -> tuple[VersionEntry, ...]:
        """Return the new entries on some pages, each once, oldest first."""
        parts: dict[str, list[Version]] = {}
        for page in pages:
            for version in page.versions:
                parts.setdefault(version.id, []).append(version)
        entries = []
        for id_, versions in parts.items():
            created = [_created(version) for version in versions if self.is_new(version, new_since)]
            if created:
                latest = max(version.latest or 0 for version in versions)
                raws = tuple(dict.fromkeys(version.raw for version in versions))
                entries.append(VersionEntry(id_, min(created), latest, raws))
        return tuple(sorted(entries, key=lambda entry: (entry.created, entry.id)))


def _created(version: Version) -> Instant:
    return _usable(version, "created_at", version.created)


def _usable(version: Version, name: str, at: Instant | None) -> Instant:
    """Return a time of a version.

    :raises SecodaResponseError: when the API sent none that can be used
    """
    if at is None:
        raise version.place.error(version.raw, f"has no usable `{name}`", f".{name}")
    return at


def _activity_logs(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the activity logs of one version, each once, earliest first."""
    logs: dict[Any, dict[str, Any]] = {}
    for record in records:
        for log in map(_dict, _list(record.get("activity_logs"))):
            logs.setdefault(str(log.get("id")), log)
    return sorted(logs.values(), key=lambda log: str(log.get("logged_at")))


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    missing = object()
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name, missing) != after.get(name, missing)
    )


def _each_once(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value is not None and value not in found:
            found.append(value)
    return found


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
