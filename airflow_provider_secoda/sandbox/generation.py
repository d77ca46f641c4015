"""Fill a workspace with a realistic past: office hours, nightly syncs, bulk edits, a few late logs."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.sandbox.cast import Actor, Cast, Thing, random_id, sentence
from airflow_provider_secoda.sandbox.index import Entry
from airflow_provider_secoda.sandbox.schema import Log
from airflow_provider_secoda.sandbox.timestamps import text_of

if TYPE_CHECKING:
    from random import Random

    from airflow_provider_secoda.sandbox.schema import PerformerType
    from airflow_provider_secoda.sandbox.workspace import Workspace

_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_SAME_VERSION = 30 * 60 * _SECOND
_DAWN, _DUSK, _SYNC_HOUR = 7, 19, 2

_EDITS = (
    ("DESCRIPTION_UPDATED", "updated the description of"), ("OWNER_ADDED", "added an owner to"),
    ("TAG_ADDED", "tagged"), ("DEFINITION_UPDATED", "updated the definition of"), ("PUBLISHED", "published"),
    ("VERIFIED", "verified"),
)  # fmt: skip
_VISITS = (("VIEWED", "viewed"), ("COMMENTED", "commented on"), ("SUBSCRIBED", "subscribed to"))
_MACHINE_ACTS: dict[PerformerType, tuple[str, str]] = {
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


def fill(workspace: Workspace, logs: int, days: float, until: int) -> None:
    """Add ``logs`` logs of the ``days`` before ``until`` (microseconds since 1970), oldest first.

    :raises ValueError: a number is out of its range.
    """
    if logs < 0 or days <= 0:
        raise ValueError(f"cannot spread {logs} logs over {days} days")
    author = _Author(workspace.random, workspace.cast, until)
    for at in _times(workspace.random, logs, days, until):
        workspace.insert(author.write(at))


def _times(random: Random, logs: int, days: float, until: int) -> list[int]:
    """Return instants in ascending order: busy in office hours of weekdays, a burst at the nightly sync."""
    start = until - int(days * 24 * _HOUR)
    hours = range(start, until, _HOUR)
    weights = [_weight(at // _HOUR) for at in hours]
    chosen = random.choices(hours, cum_weights=list(accumulate(weights)), k=logs) if logs else []
    return sorted(hour + int(random.random() * min(_HOUR, until - hour)) for hour in chosen)


def _weight(hour: int) -> float:
    of_day, weekday = hour % 24, (hour // 24 + 3) % 7
    weekend = weekday >= 5  # noqa: PLR2004 - Saturday, counted from Monday
    if of_day == _SYNC_HOUR:
        return 6.0
    if _DAWN <= of_day < _DUSK:
        return 1.0 if weekend else 8.0
    return 0.7


class _Author:
    """Writes log after log, and remembers what the next one may continue: a bulk edit, or a version."""

    def __init__(self, random: Random, cast: Cast, until: int) -> None:
        self.random = random
        self.cast = cast
        self.until = until
        self.bulk = 0
        self.at = 0
        self.actor: Actor = cast.people[0]
        self.act = _EDITS[0]
        self.versions: dict[str, tuple[int, str]] = {}
        self.by_day = [kind for kind, weight in _BY_DAY for _ in range(weight)]
        self.by_night = [kind for kind, weight in _BY_NIGHT for _ in range(weight)]

    def write(self, at: int) -> Entry:
        """Return the log of what happens at an instant (microseconds since 1970), or with the last one."""
        if self.bulk:
            self.bulk -= 1
        else:
            self.at = at
            self._choose(at)
        thing = self._thing()
        created = min(self.at + self._lag(), self.until - 1)
        logged_at, created_at = text_of(self.at), text_of(created)
        log = Log(
            id=random_id(self.random),
            activity_type=self.act[0],
            performer_id=self.actor.id,
            performer_type=self.actor.type,
            performer_metadata=self.actor.metadata,
            resource_id=thing.id,
            resource_type=thing.type,
            resource_metadata=thing.metadata,
            event_blocks=sentence(self.actor, self.act[1], thing),
            logged_at=logged_at,
            created_at=created_at,
            updated_at=created_at,
            is_legacy=False,
            version_history_id=self._version(thing),
            secoda_entity_type=thing.entity_type,
            metadata=self._metadata(),
        )
        return _entry(log, self.at * 1000, created * 1000)

    def _choose(self, at: int) -> None:
        random = self.random
        office = _DAWN <= at // _HOUR % 24 < _DUSK
        kind = random.choice(self.by_day if office else self.by_night)
        if kind == "USER":
            self.actor = random.choice(self.cast.people)
            self.act = random.choice(_EDITS if random.random() < 0.55 else _VISITS)  # noqa: PLR2004
        else:
            self.actor = random.choice(self.cast.machines[kind])
            self.act = _MACHINE_ACTS[kind]
        if random.random() < (0.3 if kind == "EXTRACTION" else 0.02):
            self.bulk = random.randint(1, 8)
            # Who stamps many logs at once often does so by a clock of whole seconds.
            self.at = at // _SECOND * _SECOND if random.random() < 0.5 else at  # noqa: PLR2004

    def _thing(self) -> Thing:
        if self.actor.type == "INTEGRATION":
            return next(thing for thing in self.cast.integrations if thing.id == self.actor.id)
        aside = self.act in _VISITS and self.random.random() < 0.2  # noqa: PLR2004
        pool = self.cast.others if aside else self.cast.catalog
        # Squaring favours the first: a few tables get most of the attention.
        return pool[int(self.random.random() ** 2 * len(pool))]

    def _lag(self) -> int:
        """Return the microseconds until the activity appears in the listing: mostly few, rarely minutes."""
        if self.random.random() < 0.002:  # noqa: PLR2004
            return int(self.random.uniform(1, 15) * 60 * _SECOND)
        return int(self.random.uniform(0.02, 0.9) * _SECOND)

    def _version(self, thing: Thing) -> str | None:
        if thing.entity_type is None or not (self.act in _EDITS or self.actor.type == "AUTOMATION"):
            return None
        latest, identity = self.versions.get(thing.id, (0, ""))
        if self.at - latest > _SAME_VERSION:
            identity = random_id(self.random)
        self.versions[thing.id] = self.at, identity
        return identity

    def _metadata(self) -> dict[str, Any] | None:
        if self.actor.type in ("SYSTEM", "UNKNOWN"):
            return None
        return {"source": "web" if self.actor.type == "USER" else "api"}


def _entry(log: Log, logged_at: int, created_at: int) -> Entry:
    entry = Entry()
    entry.raw = msgspec.json.encode(log)
    entry.id = log.id
    entry.logged_at = logged_at
    entry.created_at = entry.updated_at = created_at
    entry.activity_type = log.activity_type
    entry.performer_id = log.performer_id
    entry.performer_type = log.performer_type
    entry.resource_id = log.resource_id
    entry.resource_type = log.resource_type
    entry.version_history_id = log.version_history_id
    return entry
