"""Timestamps as the API writes them, and as numbers that are exact and cheap to compare."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

#: Microseconds since the epoch, UTC: the grid on which windows are given.
Instant: TypeAlias = int

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?\s?"
    r"(?:([Zz])|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?",
    re.ASCII,
)


def parse_instant(text: Any) -> Instant:
    """Read an RFC 3339 timestamp, exactly: digits beyond the microsecond are cut off, never rounded up.

    Rounding could carry a log over a window's edge; cutting cannot, as windows are given in microseconds.
    A timestamp without an offset is UTC.

    :raises ValueError: when it is no such timestamp.
    """
    match = _TIMESTAMP.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"not a timestamp: {text!r:.80}")
    day, clock, fraction, _, sign, hours, minutes = match.groups()
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


def to_instant(moment: datetime) -> Instant:
    """Return an aware datetime as an instant."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


_FIRST = to_instant(datetime.min.replace(tzinfo=timezone.utc))
_LAST = to_instant(datetime.max.replace(tzinfo=timezone.utc))


def from_instant(instant: Instant) -> datetime:
    """Return an instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=instant)


def format_instant(instant: Instant) -> str:
    """Return an instant as RFC 3339 text in UTC."""
    return from_instant(instant).isoformat().replace("+00:00", "Z")
