"""Logs as the server keeps them, and sorted indexes that follow additions and removals."""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.sandbox._workspace.schema import TIMESTAMPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


_MAX_DIGITS = 4_000


class Entry(msgspec.Struct, eq=False, kw_only=True):
    """One log: the bytes that are served, and the fields that most queries need.

    ``logged_at``, ``created_at`` and ``updated_at`` are nanoseconds since 1970.

    :param raw: the JSON object as it is served.
    :param serial: number of the insertion, from 1.
    """

    raw: bytes
    serial: int = 0
    id: str
    logged_at: int
    created_at: int
    updated_at: int
    activity_type: str | None = None
    performer_id: str | None = None
    performer_type: str | None = None
    resource_id: str | None = None
    resource_type: str | None = None
    version_history_id: str | None = None

    def value(self, field: str) -> Any:
        """Return a field of the log, timestamps in nanoseconds; other than the fields above, decode it."""
        return getattr(self, field) if field in KEPT_FIELDS else decode_raw(self.raw).get(field)


def decode_raw(raw: bytes) -> Any:
    """Decode a log that was given as JSON, with all values that JSON allows; integers of thousands of digits as text.

    Python does not parse more than 4,300 digits, and msgspec no half surrogate pairs.
    """
    return json.loads(raw, parse_int=lambda digits: int(digits) if len(digits) < _MAX_DIGITS else digits)


#: The fields of a log that an :class:`Entry` keeps decoded.
KEPT_FIELDS = frozenset(Entry.__struct_fields__) - {"raw", "serial"}


@dataclass(frozen=True)
class Order:
    """Sort keys as (field, descending), the most significant first; equal entries stay in insertion order."""

    keys: tuple[tuple[str, bool], ...]

    def rank(self, entry: Entry) -> _Rank:
        """Return a value that compares as this order requires."""
        return _Rank((*(_sort_value(name, entry) for name, _ in self.keys), entry.serial), self)


class _Rank:
    __slots__ = ("order", "values")

    def __init__(self, values: tuple[Any, ...], order: Order) -> None:
        self.values = values
        self.order = order

    def __lt__(self, other: _Rank) -> bool:
        for left, right, (_, descending) in zip(self.values, other.values, self.order.keys, strict=False):
            if left != right:
                return bool(left > right) if descending else bool(left < right)
        return bool(self.values[-1] < other.values[-1])


def _sort_value(name: str, entry: Entry) -> Any:
    """Return a comparable value of a field; a missing value sorts as the empty string, first."""
    if name in TIMESTAMPS or name == "serial":
        return getattr(entry, name)
    found = entry.value(name)
    return "" if found is None else str(found)


class Index:
    """The logs that match a filter, sorted; an addition or removal costs one bisection.

    :param matches: the filter, or ``None`` for all logs.
    """

    def __init__(self, entries: Iterable[Entry], order: Order, matches: Callable[[Entry], bool] | None) -> None:
        self.order = order
        self.matches = matches
        self.rows = [entry for entry in entries if matches is None or matches(entry)]
        for name, descending in reversed(order.keys):
            self.rows.sort(key=partial(_sort_value, name), reverse=descending)

    def add(self, entry: Entry) -> None:
        """Insert a log at its position, if it matches the filter."""
        if self.matches is None or self.matches(entry):
            _insert(self.rows, entry, self.order)

    def discard(self, entry: Entry) -> None:
        """Remove a log, if it is in the index."""
        if self.matches is None or self.matches(entry):
            _remove(self.rows, entry, self.order)

    def rows_before(self, changes: Sequence[tuple[bool, Entry]]) -> list[Entry]:
        """Return the rows as they were before ``changes``, each (added, entry), the newest last."""
        rows = self.rows.copy()
        for added, entry in reversed(changes):
            if self.matches is None or self.matches(entry):
                (_remove if added else _insert)(rows, entry, self.order)
        return rows

    def ties(self, rows: Sequence[Entry], position: int) -> tuple[int, int]:
        """Return the half-open range of rows with the same sort keys as the row at ``position``."""

        def is_tie(other: int) -> bool:
            names = (name for name, _ in self.order.keys)
            return all(_sort_value(name, rows[other]) == _sort_value(name, rows[position]) for name in names)

        # A linear scan, not a bisection: a fault may have put the rows out of order.
        first = after = position
        while first > 0 and is_tie(first - 1):
            first -= 1
        while after < len(rows) and is_tie(after):
            after += 1
        return first, after


def _insert(rows: list[Entry], entry: Entry, order: Order) -> None:
    rows.insert(bisect_left(rows, order.rank(entry), key=order.rank), entry)


def _remove(rows: list[Entry], entry: Entry, order: Order) -> None:
    position = bisect_left(rows, order.rank(entry), key=order.rank)
    if position < len(rows) and rows[position] is entry:
        del rows[position]
