"""Check the arguments that DAG authors pass: the only place for these checks.

Each function returns the value in its final form, or raises :class:`ArgumentError` with the name of the argument.
DAG files import this module, so it imports nothing that takes long to load.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

import pendulum

if TYPE_CHECKING:
    from airflow_provider_secoda.client._versions.history import Match

#: The values of the argument ``match``.
MATCHES: tuple[Match, ...] = ("new_version", "any_activity")


class ArgumentError(ValueError, TypeError):
    """An argument is wrong; the message names it.

    It is a ValueError, which Airflow reports as an import error of the DAG, and also a TypeError: the triggerer
    survives no other exception when it creates a trigger from arguments that another version of this provider stored.
    """


def check_text(name: str, value: Any) -> str:
    """Return a non-empty string without surrounding white space.

    A template that refers to a missing value renders to ``""`` or to ``"None"``; both are errors.
    """
    if not isinstance(value, str) or value.strip() in ("", "None"):
        rendered = " (a template renders to this when the run has no such value)" if isinstance(value, str) else ""
        raise ArgumentError(f"`{name}` must be a non-empty string, not {value!r:.80}{rendered}")
    return value.strip()


def check_texts(name: str, value: Any) -> list[str] | None:
    """Return a list of one or more non-empty strings, sorted and each once, or None."""
    if value is None:
        return None
    if not isinstance(value, list | tuple | set | frozenset) or not value:
        raise ArgumentError(f"`{name}` must be a list of non-empty strings, or None, not {value!r:.80}")
    return sorted({check_text(name, one) for one in value})


def check_seconds(name: str, value: Any, *, allow_zero: bool = False) -> float:
    """Return a finite number of seconds above 0, or 0 where that is allowed."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0 or (value == 0 and not allow_zero):
        minimum = "of at least 0" if allow_zero else "above 0"
        raise ArgumentError(f"`{name}` must be a number of seconds {minimum}, not {value!r:.80}")
    return float(value)


def check_count(name: str, value: Any) -> int:
    """Return an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"`{name}` must be an integer of at least 1, not {value!r:.80}")
    return value


def check_bool(name: str, value: Any) -> bool:
    """Return True or False; a string such as "no" would be true."""
    if not isinstance(value, bool):
        raise ArgumentError(f"`{name}` must be True or False, not {value!r:.80}")
    return value


def check_match(value: Any) -> Match:
    """Return ``match``, one of :data:`MATCHES`."""
    if value not in MATCHES:
        raise ArgumentError(f"`match` must be {' or '.join(MATCHES)}, not {value!r:.80}")
    return value  # type: ignore[no-any-return]


def parse_datetime(name: str, value: Any) -> datetime:
    """Return a point in time in UTC.

    :param value: an aware datetime, or an ISO 8601 string; a string without an offset is UTC, a date is its midnight
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ArgumentError(f"{name}={value.isoformat()} has no time zone; pass an aware datetime")
        return _to_utc(name, value)
    if not isinstance(value, str):
        raise ArgumentError(f"`{name}` must be a datetime or an ISO 8601 string, not {type(value).__name__}")
    text = check_text(name, value)
    try:
        parsed = pendulum.parse(text, exact=True)
    except Exception as error:  # pendulum raises errors of any kind for some strings, such as `0:`
        raise ArgumentError(f"{name}={value!r:.80} is not an ISO 8601 date and time: {error!s:.200}") from error
    if isinstance(parsed, datetime):
        return _to_utc(name, parsed)
    if isinstance(parsed, date):
        return datetime(parsed.year, parsed.month, parsed.day, tzinfo=timezone.utc)
    raise ArgumentError(f"{name}={value!r:.80} is not an ISO 8601 date and time")


def _to_utc(name: str, value: datetime) -> datetime:
    """Return a plain datetime (pendulum's is a subclass) in UTC."""
    try:
        return datetime.fromisoformat(value.astimezone(timezone.utc).isoformat())
    except (ValueError, OverflowError) as error:
        raise ArgumentError(f"`{name}` is out of range in UTC: {error!s:.200}") from error
