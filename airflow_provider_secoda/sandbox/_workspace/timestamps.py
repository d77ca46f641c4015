"""Convert timestamps: API text, aware datetimes, and integers since 1970 (UTC) that compare exactly."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - formatting a naive datetime takes half the time
_PATTERN = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?\s?(?:([Zz])|([+-]\d\d)(?::?(\d\d))?)?", re.ASCII
)


def parse_nanoseconds(text: str) -> int:
    """Return the nanoseconds since 1970 of an ISO 8601 date and time; UTC is the default time zone.

    Nanoseconds, because a log may have more digits than ``datetime`` stores, and the order depends on them. A leap
    second, 23:59:60, is the last nanosecond of its minute, so that it stays before the next day.

    :raises ValueError: the text is not a date and time.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 date and time")
    day, clock, fraction, _, hours, minutes = match.groups()
    if clock[-2:] == "60":
        clock, fraction = clock[:-2] + "59", "9" * 9
    seconds = int((datetime.fromisoformat(f"{day}T{clock}+00:00") - _EPOCH) / timedelta(seconds=1))
    if hours is not None:
        offset = int(hours[1:]) * 3600 + int(minutes or 0) * 60
        seconds -= -offset if hours[0] == "-" else offset
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def microseconds_of(value: datetime) -> int:
    """Return the microseconds since 1970 of an aware datetime, rounded down.

    :raises ValueError: the datetime has no time zone.
    """
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return (value - _EPOCH) // timedelta(microseconds=1)


def datetime_of(microseconds: float) -> datetime:
    """Return the aware datetime of microseconds since 1970; fractions of a microsecond are dropped."""
    return _EPOCH + timedelta(microseconds=int(microseconds))


def format_microseconds(microseconds: int) -> str:
    """Return the UTC text of microseconds since 1970; whole seconds have no fraction, as in ``isoformat``."""
    return (_NAIVE_EPOCH + timedelta(microseconds=microseconds)).isoformat() + "Z"


def format_timestamp(value: datetime | str) -> str:
    """Return the UTC text of an aware datetime; return a valid text unchanged.

    :raises ValueError: the text is not a date and time, or the datetime has no time zone.
    """
    if isinstance(value, str):
        parse_nanoseconds(value)
        return value
    return format_microseconds(microseconds_of(value))
