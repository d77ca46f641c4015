"""Timestamps as the API writes them, and as whole nanoseconds since 1970 (UTC) for comparing them exactly."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - text is made of a naive one in half the time
_SHAPE = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:([Zz])|([+-]\d\d):?(\d\d))?", re.ASCII
)


def nanoseconds(text: str) -> int:
    """Return the instant that an ISO 8601 text names; one without an offset is taken as UTC.

    Nanoseconds, because a text may hold more digits than ``datetime`` can keep, and order depends on them.

    :raises ValueError: the text is not a date and time.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 date and time")
    day, clock, fraction, _, hours, minutes = match.groups()
    seconds = int((datetime.fromisoformat(f"{day}T{clock}+00:00") - _EPOCH) / timedelta(seconds=1))
    if hours is not None:
        offset = int(hours[1:]) * 3600 + int(minutes) * 60
        seconds -= -offset if hours[0] == "-" else offset
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def microseconds_of(moment: datetime) -> int:
    """Return whole microseconds since 1970 of an aware datetime.

    :raises ValueError: the datetime has no time zone, so that it names no instant.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds: float) -> datetime:
    """Return the aware datetime of an instant; fractions of a microsecond are cut off."""
    return _EPOCH + timedelta(microseconds=int(microseconds))


def text_of(microseconds: int) -> str:
    """Return the text of an instant in UTC; whole seconds carry no fraction, as ISO writers do it."""
    return (_NAIVE_EPOCH + timedelta(microseconds=microseconds)).isoformat() + "Z"


def text_of_moment(moment: datetime | str) -> str:
    """Return the text of an aware datetime in UTC; a text that names an instant passes as it is.

    :raises ValueError: the text is not a date and time, or the datetime has no time zone.
    """
    if isinstance(moment, str):
        nanoseconds(moment)
        return moment
    return text_of(microseconds_of(moment))
