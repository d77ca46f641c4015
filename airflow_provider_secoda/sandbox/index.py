"""Entries of a workspace and the sorted listings over them, kept up to date as logs come and go."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.sandbox.schema import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TIMESTAMPS = ("logged_at", "created_at", "updated_at")
SCALARS = frozenset(
    name
    for name in Log.__struct_fields__
    if name not in {"performer_metadata", "resource_metadata", "related_resource_ids", "event_blocks", "metadata"}
)


class Entry:
    """One log: the bytes it is served as, when it came, and the few fields that queries ask for most.

    ``logged_at``, ``created_at`` and ``updated_at`` are nanoseconds since 1970.
    """

    __slots__ = (
        "activity_type", "created_at", "id", "logged_at", "performer_id", "performer_type", "raw",
        "resource_id", "resource_type", "serial", "updated_at", "version_history_id",
    )  # fmt: skip
    id: str
    serial: int
    raw: bytes
    logged_at: int
    created_at: int
    updated_at: int
    activity_type: str | None
    performer_id: str | None
    performer_type: str | None
    resource_id: str | None
    resource_type: str | None
    version_history_id: str | None

    def value(self, field: str) -> Any:
        """Return a field of the log; timestamps in nanoseconds. The rest is read from the bytes."""
        return getattr(self, field) if field in _KEPT else msgspec.json.decode(self.raw).get(field)


_KEPT = frozenset(Entry.__slots__) - {"raw", "serial"}


@dataclass(frozen=True)
class Order:
    """Sort keys as (field, descending), the most significant first; what is equal stays as inserted."""

    keys: tuple[tuple[str, bool], ...]

    def rank(self, entry: Entry) -> _Rank:
        """Return a value that compares as this order wants."""
        return _Rank((*(_sortable(name, entry) for name, _ in self.keys), entry.serial), self)


class _Rank:
    __slots__ = ("order", "values")

    def __init__(self, values: tuple[Any, ...], order: Order) -> None:
        self.values = values
        self.order = order

    def __lt__(self, other: _Rank) -> bool:
        for mine, its, (_, descending) in zip(self.values, other.values, self.order.keys, strict=False):
            if mine != its:
                return bool(mine > its) if descending else bool(mine < its)
        return bool(self.values[-1] < other.values[-1])


def _sortable(name: str, entry: Entry) -> Any:
    """Return a value that compares with its like in other logs: logs without the field come first."""
    if name in TIMESTAMPS or name == "serial":
        return getattr(entry, name)
    found = entry.value(name)
    return "" if found is None else str(found)


class Index:
    """The logs that a filter lets through, sorted; additions and removals cost a bisection each.

    :param keep: the filter, or ``None`` for all logs.
    """

    def __init__(self, entries: Iterable[Entry], order: Order, keep: Callable[[Entry], bool] | None) -> None:
        self.order = order
        self.keep = keep
        self.rows = [entry for entry in entries if keep is None or keep(entry)]
        for name, descending in reversed(order.keys):
            self.rows.sort(key=partial(_sortable, name), reverse=descending)

    def add(self, entry: Entry) -> None:
        """Put a log where it belongs, if the filter lets it through."""
        if self.keep is None or self.keep(entry):
            _insert(self.rows, entry, self.order)

    def discard(self, entry: Entry) -> None:
        """Take a log out, if it is there."""
        if self.keep is None or self.keep(entry):
            _remove(self.rows, entry, self.order)

    def rewound(self, changes: Sequence[tuple[bool, Entry]]) -> list[Entry]:
        """Return the rows as they were before ``changes``, each (added, entry), the newest last."""
        rows = self.rows.copy()
        for added, entry in reversed(changes):
            if self.keep is None or self.keep(entry):
                (_remove if added else _insert)(rows, entry, self.order)
        return rows

    def ties(self, rows: Sequence[Entry], position: int) -> tuple[int, int]:
        """Return the half-open range of neighbours that no sort key tells from the row at ``position``."""

        def alike(other: int) -> bool:
            names = (name for name, _ in self.order.keys)
            return all(_sortable(name, rows[other]) == _sortable(name, rows[position]) for name in names)

        # By walking, not by bisection: the rows may be out of order on purpose.
        first = after = position
        while first > 0 and alike(first - 1):
            first -= 1
        while after < len(rows) and alike(after):
            after += 1
        return first, after


def _insert(rows: list[Entry], entry: Entry, order: Order) -> None:
    rows.insert(bisect_left(rows, order.rank(entry), key=order.rank), entry)


def _remove(rows: list[Entry], entry: Entry, order: Order) -> None:
    position = bisect_left(rows, order.rank(entry), key=order.rank)
    if position < len(rows) and rows[position] is entry:
        del rows[position]
