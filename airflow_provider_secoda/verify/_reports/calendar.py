"""Arrange the windows of a series as a calendar: hours, days or months, each with a state."""

from __future__ import annotations

from calendar import monthrange
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_secoda.client._api.timestamps import from_instant, to_instant
from airflow_provider_secoda.verify._result import NOTES, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_secoda.verify._result import FileResult

_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: A calendar with more hours or days shows days or months instead: an altered window may span thousands of years.
_MAX_CELLS = 20_000
_DIFFERS = frozenset({"late", "changed"})
_UNSIGNED = frozenset({"unsigned", "unknown_key"})


class State(NamedTuple):
    """What a calendar shows of a window.

    :ivar key: name of its class in the style sheet
    :ivar sign: a character, so that the state is readable without colours
    """

    key: str
    sign: str
    label: str
    meaning: str


COMPLETE = State("complete", "✓", "complete", "The file is what its manifest describes.")
LATE = State("late", "L", "with late logs", "Logs that arrived late were added in a supplement.")
UNSIGNED = State("unsigned", "U", "unsigned", "The manifest has no signature by one of the public keys.")
DIFFERS = State("differs", "≠", "differs from Secoda", "Secoda shows logs that the file lacks, or shows differently.")
ALTERED = State("altered", "A", "altered", "File or manifest are not as they were written; the findings say how.")
GAP = State("gap", "G", "gap", "No file covers this time, or not all of it.")
UNCHECKED = State("unchecked", "?", "not checked", "The file could not be read.")
#: From the best to the worst: of several windows, the worst is shown.
STATES = (COMPLETE, LATE, UNSIGNED, DIFFERS, ALTERED, GAP, UNCHECKED)


def state_of(file: FileResult) -> State:
    """Return the state of one file."""
    kinds = {kind for kind, count in file.findings.counts.items() if count} - NOTES
    if file.error is not None:
        return UNCHECKED
    if not file.exists:
        return GAP
    if kinds - _DIFFERS - _UNSIGNED:
        return ALTERED
    if kinds & _DIFFERS:
        return DIFFERS
    if kinds:
        return UNSIGNED
    return COMPLETE if file.supplement is None else LATE


@dataclass(frozen=True)
class Cell:
    """An hour, a day or a month.

    :ivar label: of the time, complete
    :ivar name: of the time, short
    :ivar state: None: outside of the series
    :ivar windows: how many there are in this time
    """

    label: str
    name: str
    state: State | None
    windows: int


@dataclass
class Block:
    """A table of the calendar.

    :ivar columns: their names
    :ivar rows: each with its name, which may be empty, and its cells; None: a cell that does not exist
    """

    title: str
    columns: Sequence[str]
    rows: list[tuple[str, list[Cell | None]]] = field(default_factory=list)


def arrange(files: Iterable[FileResult], start: int | None, end: int | None) -> tuple[str, Iterator[Block]]:
    """Return the unit of a calendar, ``hour``, ``day`` or ``month``, and its tables.

    :param files: of one series; those outside of the requested span are not shown
    :param start: microseconds; of the span that the series has to cover, like ``end``
    """
    windows = sorted(
        ((file.window, state_of(file)) for file in files if file.window is not None and not file.outside),
        key=lambda each: (each[0].start, each[0].end),
    )
    if not windows:
        return "day", iter(())
    first, after = windows[0][0].start, max(window.end for window, _ in windows)
    span = Span(first if start is None else min(first, start), after if end is None else max(after, end))
    cells = _Cells(span, windows)
    shortest, length = min(window.end - window.start for window, _ in windows), span.end - span.start
    if shortest < _DAY and length // _HOUR < _MAX_CELLS:
        return "hour", _by_hour(span, cells)
    if length // _DAY < _MAX_CELLS:
        return "day", _by_day(span, cells)
    return "month", _by_month(span, cells)


class _Cells:
    """Makes one cell after the other, in one pass over the windows."""

    def __init__(self, span: Span, windows: list[tuple[Span, State]]) -> None:
        self._span = span
        self._waiting = deque(windows)
        self._active: list[tuple[Span, State]] = []

    def next(self, label: str, name: str, start: int, end: int) -> Cell:
        """Return the cell of a time that begins when the one before ends, or later."""
        time = Span(max(start, self._span.start), min(end, self._span.end))
        while self._waiting and self._waiting[0][0].start < time.end:
            self._active.append(self._waiting.popleft())
        self._active = [each for each in self._active if each[0].end > time.start]
        if time.start >= time.end:
            return Cell(label, name, None, 0)
        states = [state for _, state in self._active]
        if not _covers([window for window, _ in self._active], time):
            states.append(GAP)
        return Cell(label, name, max(states, key=STATES.index), len(self._active))


def _covers(windows: list[Span], time: Span) -> bool:
    until = time.start
    for window in windows:  # in the order of their starts
        if window.start > until:
            return False
        until = max(until, window.end)
    return until >= time.end


def _months(span: Span) -> Iterator[tuple[datetime, int, int]]:
    """Yield the first moment of each month in a span, as datetime and instant, and the number of its days."""
    first, last = from_instant(span.start), from_instant(span.end - 1)
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        month = datetime(number // 12, number % 12 + 1, 1, tzinfo=timezone.utc)
        yield month, to_instant(month), monthrange(month.year, month.month)[1]


def _by_hour(span: Span, cells: _Cells) -> Iterator[Block]:
    for month, at, days in _months(span):
        block = Block(f"{_MONTHS[month.month - 1]} {month.year}", [f"{hour:02}" for hour in range(24)])
        for day in range(1, days + 1):
            start = at + (day - 1) * _DAY
            row: list[Cell | None] = []
            for hour in range(24):
                label = f"{month.year:04}-{month.month:02}-{day:02} {hour:02}:00"
                row.append(cells.next(label, f"{hour:02}", start + hour * _HOUR, start + (hour + 1) * _HOUR))
            if any(cell and cell.state for cell in row):
                block.rows.append((f"{day:02}", row))
        yield block


def _by_day(span: Span, cells: _Cells) -> Iterator[Block]:
    for month, at, days in _months(span):
        row: list[Cell | None] = [None] * month.weekday()
        for day in range(1, days + 1):
            label = f"{month.year:04}-{month.month:02}-{day:02}"
            row.append(cells.next(label, str(day), at + (day - 1) * _DAY, at + day * _DAY))
        block = Block(f"{_MONTHS[month.month - 1]} {month.year}", _WEEKDAYS)
        block.rows = [("", row[week : week + 7]) for week in range(0, len(row), 7)]
        yield block


def _by_month(span: Span, cells: _Cells) -> Iterator[Block]:
    block = Block("", _MONTHS)
    for month, at, days in _months(span):
        if not block.rows or block.rows[-1][0] != str(month.year):
            if len(block.rows) == 10:  # noqa: PLR2004 - years
                yield block
                block = Block("", _MONTHS)
            block.rows.append((str(month.year), [None] * (month.month - 1)))
            block.title = f"{block.rows[0][0]}-{month.year}"
        label = f"{month.year:04}-{month.month:02}"
        block.rows[-1][1].append(cells.next(label, _MONTHS[month.month - 1], at, at + days * _DAY))
    yield block
