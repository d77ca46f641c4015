"""The one parser and the one writer of timestamps.

A timestamp is RFC 3339 text: the API's may have any offset, this package writes UTC with ``Z``. Between the two it is
an :data:`Instant`, a number that is exact and cheap to compare.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Microseconds since the epoch, UTC: the grid on which windows are given.
Instant: TypeAlias = int

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=timezone.utc), timedelta(microseconds=1)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?\s?"
    r"(?:([Zz])|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?",
    re.ASCII,
)


def parse_instant(text: Any) -> Instant:
    """Parse an RFC 3339 timestamp exactly: digits beyond the microsecond are dropped, never rounded up.

    Rounding up could move a log across the edge of a window; dropping digits cannot, because windows are given in
    microseconds. A timestamp without an offset is UTC.

    A leap second (``23:59:60``, with or without a fraction) is the last microsecond of its minute. So it is in the
    window of the day that it names, and sorts before all of the next day, as in the API. The first second of the next
    day, which POSIX makes of it, would do neither.

    :raises ValueError: if the text is not a timestamp
    """
    match = _TIMESTAMP.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"not a timestamp: {text!r:.80}")
    day, clock, fraction, _, sign, hours, minutes = match.groups()
    if clock.endswith(":60"):
        clock, fraction = f"{clock[:-2]}59", "999999"
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}+00:00") - _EPOCH
    except ValueError as exc:
        raise ValueError(f"not a timestamp: {text!r:.80} ({exc})") from None
    instant = (whole.days * 86_400 + whole.seconds) * 1_000_000
    if fraction:
        instant += int(fraction[:6].ljust(6, "0"))
    if sign:
        offset = (int(hours) * 60 + int(minutes or 0)) * 60_000_000
        instant += -offset if sign == "+" else offset
    if not _FIRST <= instant <= _LAST:
        raise ValueError(f"not a timestamp between the years 1 and 9999 in UTC: {text!r:.80}")
    return instant


def parse_optional_instant(text: Any) -> Instant | None:
    """Parse a timestamp as :func:`parse_instant` does; return None if it is not a timestamp."""
    try:
        return parse_instant(text)
    except ValueError:
        return None


def to_instant(moment: datetime) -> Instant:
    """Convert an aware datetime to an instant.

    :raises TypeError: if the datetime has no time zone
    """
    # Of the base class: pendulum's datetimes, which Airflow passes to tasks, subtract to a type that cannot be divided.
    return datetime.__sub__(moment, _EPOCH) // _MICROSECOND


def to_instants(moments: Iterable[datetime]) -> list[Instant]:
    """Convert aware datetimes of the standard library to instants."""
    return [(moment - _EPOCH) // _MICROSECOND for moment in moments]


_FIRST = to_instant(datetime.min.replace(tzinfo=timezone.utc))
_LAST = to_instant(datetime.max.replace(tzinfo=timezone.utc))


def from_instant(instant: Instant) -> datetime:
    """Convert an instant to an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=instant)


def format_instant(instant: Instant) -> str:
    """Format an instant as RFC 3339 text in UTC, such as ``2026-10-01T12:00:00Z``."""
    return from_instant(instant).isoformat().replace("+00:00", "Z")


def parse_datetime(text: Any) -> datetime:
    """Parse a timestamp, as :func:`parse_instant` does, to an aware datetime in UTC.

    :raises ValueError: if the text is not a timestamp
    """
    return from_instant(parse_instant(text))


def format_datetime(moment: datetime) -> str:
    """Format an aware datetime, as :func:`format_instant` does, in UTC.

    :raises TypeError: if the datetime has no time zone
    """
    return format_instant(to_instant(moment))
