"""Generate realistic logs: office hours, nightly syncs, bulk edits, a few late arrivals."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.sandbox._workspace.directory import Directory, Performer, Resource, random_id, sentence
from airflow_provider_secoda.sandbox._workspace.index import Entry
from airflow_provider_secoda.sandbox._workspace.schema import Log
from airflow_provider_secoda.sandbox._workspace.timestamps import format_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from airflow_provider_secoda.sandbox._workspace.schema import PerformerType

_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_VERSION_GAP = 30 * 60 * _SECOND
_OFFICE_OPENS, _OFFICE_CLOSES, _SYNC_HOUR = 7, 19, 2

_EDITS = (
    ("DESCRIPTION_UPDATED", "updated the description of"), ("OWNER_ADDED", "added an owner to"),
    ("TAG_ADDED", "tagged"), ("DEFINITION_UPDATED", "updated the definition of"), ("PUBLISHED", "published"),
    ("VERIFIED", "verified"),
)  # fmt: skip
_VISITS = (("VIEWED", "viewed"), ("COMMENTED", "commented on"), ("SUBSCRIBED", "subscribed to"))
_SERVICE_ACTIVITIES: dict[PerformerType, tuple[str, str]] = {
    "INTEGRATION": ("SYNC_COMPLETED", "finished a sync of"),
    "EXTRACTION": ("METADATA_EXTRACTED", "extracted metadata of"),
    "AUTOMATION": ("PII_FLAG_SET", "flagged PII in"),
    "MONITOR": ("MONITOR_RUN", "checked"),
    "API": ("DESCRIPTION_UPDATED", "updated the description of"),
    "SYSTEM": ("LINEAGE_REBUILT", "rebuilt the lineage of"),
    "UNKNOWN": ("CHANGED", "changed"),
}
_BY_DAY: tuple[tuple[PerformerType, int], ...] = (
    ("USER", 78), ("API", 6), ("MONITOR", 5), ("AUTOMATION", 4), ("SYSTEM", 3), ("INTEGRATION", 3),
    ("UNKNOWN", 1),
)  # fmt: skip
_BY_NIGHT: tuple[tuple[PerformerType, int], ...] = (
    ("EXTRACTION", 45), ("INTEGRATION", 20), ("MONITOR", 15), ("SYSTEM", 10), ("API", 5), ("USER", 5),
)  # fmt: skip


def generate_logs(random: Random, directory: Directory, logs: int, days: float, until: int) -> Iterator[Entry]:
    """Return ``logs`` logs of the ``days`` before ``until`` (microseconds since 1970), oldest first.

    :raises ValueError: a number is out of its range.
    """
    if logs < 0 or days <= 0:
        raise ValueError(f"cannot spread {logs} logs over {days} days")
    generator = _Generator(random, directory, until)
    return (generator.log_at(at) for at in _times(random, logs, days, until))


def _times(random: Random, logs: int, days: float, until: int) -> list[int]:
    """Return times in ascending order: many in office hours on weekdays and during the nightly sync."""
    start = until - int(days * 24 * _HOUR)
    hours = range(start, until, _HOUR)
    weights = [_weight(at // _HOUR) for at in hours]
    chosen = random.choices(hours, cum_weights=list(accumulate(weights)), k=logs) if logs else []
    return sorted(hour + int(random.random() * min(_HOUR, until - hour)) for hour in chosen)


def _weight(hour: int) -> float:
    """Return the relative number of logs in an hour (hours since 1970)."""
    of_day, weekday = hour % 24, (hour // 24 + 3) % 7
    weekend = weekday >= 5  # noqa: PLR2004 - Saturday, counted from Monday
    if of_day == _SYNC_HOUR:
        return 6.0
    if _OFFICE_OPENS <= of_day < _OFFICE_CLOSES:
        return 1.0 if weekend else 8.0
    return 0.7


class _Generator:
    """Generates log after log, and keeps what the next one may continue: a bulk edit, or a version."""

    def __init__(self, random: Random, directory: Directory, until: int) -> None:
        self.random = random
        self.directory = directory
        self.until = until
        self.bulk = 0
        self.at = 0
        self.performer: Performer = directory.people[0]
        self.activity = _EDITS[0]
        self.versions: dict[str, tuple[int, str]] = {}
        self.by_day = [kind for kind, weight in _BY_DAY for _ in range(weight)]
        self.by_night = [kind for kind, weight in _BY_NIGHT for _ in range(weight)]

    def log_at(self, at: int) -> Entry:
        """Return a log at ``at`` (microseconds since 1970), or one at the previous time while a bulk edit lasts."""
        if self.bulk:
            self.bulk -= 1
        else:
            self.at = at
            self._choose_activity(at)
        resource = self._resource()
        created = min(self.at + self._lag(), self.until - 1)
        logged_at, created_at = format_microseconds(self.at), format_microseconds(created)
        log = Log(
            id=random_id(self.random),
            activity_type=self.activity[0],
            performer_id=self.performer.id,
            performer_type=self.performer.type,
            performer_metadata=self.performer.metadata,
            resource_id=resource.id,
            resource_type=resource.type,
            resource_metadata=resource.metadata,
            event_blocks=sentence(self.performer, self.activity[1], resource),
            logged_at=logged_at,
            created_at=created_at,
            updated_at=created_at,
            is_legacy=False,
            version_history_id=self._version(resource),
            secoda_entity_type=resource.entity_type,
            metadata=self._metadata(),
        )
        return Entry(
            raw=msgspec.json.encode(log),
            id=log.id,
            logged_at=self.at * 1000,
            created_at=created * 1000,
            updated_at=created * 1000,
            activity_type=log.activity_type,
            performer_id=log.performer_id,
            performer_type=log.performer_type,
            resource_id=log.resource_id,
            resource_type=log.resource_type,
            version_history_id=log.version_history_id,
        )

    def _choose_activity(self, at: int) -> None:
        random = self.random
        in_office_hours = _OFFICE_OPENS <= at // _HOUR % 24 < _OFFICE_CLOSES
        kind = random.choice(self.by_day if in_office_hours else self.by_night)
        if kind == "USER":
            self.performer = random.choice(self.directory.people)
            self.activity = random.choice(_EDITS if random.random() < 0.55 else _VISITS)  # noqa: PLR2004
        else:
            self.performer = random.choice(self.directory.services[kind])
            self.activity = _SERVICE_ACTIVITIES[kind]
        if random.random() < (0.3 if kind == "EXTRACTION" else 0.02):
            self.bulk = random.randint(1, 8)
            # Bulk edits often have timestamps of whole seconds.
            self.at = at // _SECOND * _SECOND if random.random() < 0.5 else at  # noqa: PLR2004

    def _resource(self) -> Resource:
        if self.performer.type == "INTEGRATION":
            return next(one for one in self.directory.integrations if one.id == self.performer.id)
        outside_catalog = self.activity in _VISITS and self.random.random() < 0.2  # noqa: PLR2004
        pool = self.directory.others if outside_catalog else self.directory.catalog
        # The square prefers the first ones: a few tables get most of the activity.
        return pool[int(self.random.random() ** 2 * len(pool))]

    def _lag(self) -> int:
        """Return the microseconds until the log appears in the listing: mostly below one second, rarely minutes."""
        if self.random.random() < 0.002:  # noqa: PLR2004
            return int(self.random.uniform(1, 15) * 60 * _SECOND)
        return int(self.random.uniform(0.02, 0.9) * _SECOND)

    def _version(self, resource: Resource) -> str | None:
        if resource.entity_type is None or not (self.activity in _EDITS or self.performer.type == "AUTOMATION"):
            return None
        latest, version_id = self.versions.get(resource.id, (0, ""))
        if self.at - latest > _VERSION_GAP:
            version_id = random_id(self.random)
        self.versions[resource.id] = self.at, version_id
        return version_id

    def _metadata(self) -> dict[str, Any] | None:
        if self.performer.type in ("SYSTEM", "UNKNOWN"):
            return None
        return {"source": "web" if self.performer.type == "USER" else "api"}
