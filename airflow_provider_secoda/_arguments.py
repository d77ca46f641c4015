"""Check the arguments that DAG authors pass: the only place for these checks.

Each function returns the value in its final form, or raises :class:`ArgumentError` with the name of the argument.
DAG files import this module, so it imports nothing that takes long to load.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pendulum

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import TimestampField
    from airflow_provider_secoda.client._versions.history import Match

#: The values of the argument ``match``.
MATCHES: tuple[Match, ...] = ("new_version", "any_activity")
#: The values of the argument ``timestamp_field``.
TIMESTAMP_FIELDS: tuple[TimestampField, ...] = ("logged_at", "created_at")


class ArgumentError(ValueError, TypeError):
    """An argument is wrong; the message names it.

    It is a ValueError, which Airflow reports as an import error of the DAG, and also a TypeError: the triggerer
    survives no other exception when it creates a trigger from arguments that another version of this provider stored.
    """


def is_known(value: Any) -> bool:
    """Return whether a value, at any depth, is final: neither a template nor computed when the task runs."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(is_known(one) for one in value.values())
    if isinstance(value, Sequence | set | frozenset):
        return all(is_known(one) for one in value)
    return not is_computed(value)


def is_computed(value: Any) -> bool:
    """Return whether a worker computes a value when the task runs: a result of another task, or a function."""
    has_resolve = callable(getattr(value, "resolve", None)) and not isinstance(value, os.PathLike)
    return callable(value) or has_resolve


def check_text(name: str, value: Any) -> str:
    """Return a non-empty string without surrounding white space.

    A template that refers to a missing value renders to ``""`` or to ``"None"``; both are errors.
    """
    if not isinstance(value, str) or value.strip() in ("", "None"):
        rendered = " (a template renders to this when the run has no such value)" if isinstance(value, str) else ""
        raise ArgumentError(f"`{name}` must be a non-empty string, not {value!r:.80}{rendered}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ArgumentError(
            f"`{name}` has a character that cannot be sent or stored (NUL or a surrogate): {value!r:.80}"
        )
    return value.strip()


def check_texts(name: str, value: Any) -> list[str] | None:
    """Return a list of one or more non-empty strings, sorted and each once, or None."""
    if value is None:
        return None
    if not isinstance(value, list | tuple | set | frozenset) or not value:
        raise ArgumentError(f"`{name}` must be a list of non-empty strings, or None, not {value!r:.80}")
    return sorted({check_text(name, one) for one in value})


def check_seconds(name: str, value: Any, *, allow_zero: bool = False) -> float:
    """Return a duration, a number of seconds or a timedelta, as finite seconds above 0, or 0 where that is allowed."""
    given = value
    if isinstance(value, timedelta):
        value = value.total_seconds()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0 or (value == 0 and not allow_zero):
        minimum = "of at least 0" if allow_zero else "above 0"
        raise ArgumentError(f"`{name}` must be a number of seconds or a timedelta {minimum}, not {given!r:.80}")
    return float(value)


def check_duration(name: str, value: Any, *, allow_zero: bool = False) -> timedelta:
    """Return a duration, as of :func:`check_seconds`, as a timedelta."""
    seconds = check_seconds(name, value, allow_zero=allow_zero)
    try:
        delta = value if isinstance(value, timedelta) else timedelta(seconds=seconds)
    except OverflowError:
        raise ArgumentError(f"`{name}` is too long: {value!r:.80} seconds") from None
    if not delta and not allow_zero:
        raise ArgumentError(f"`{name}` must be at least a microsecond, not {value!r:.80}")
    return delta


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
    check_choice("match", value, MATCHES)
    return value  # type: ignore[no-any-return]


def check_timestamp_field(value: Any) -> TimestampField:
    """Return ``timestamp_field``, one of :data:`TIMESTAMP_FIELDS`."""
    check_choice("timestamp_field", value, TIMESTAMP_FIELDS)
    return value  # type: ignore[no-any-return]


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Check that an argument is one of some strings."""
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(f"`{name}` must be {' or '.join(choices)}, not {value!r:.80}")


def parse_datetime(name: str, value: Any) -> datetime:
    """Return a point in time in UTC.

    :param value: an aware datetime, or an ISO 8601 string; a string without an offset is UTC, a date is its midnight
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ArgumentError(_without_time_zone(name, value))
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


def _without_time_zone(name: str, value: datetime) -> str:
    line = f"{datetime.combine(value.date(), value.time())!r}".removeprefix("datetime.")[:-1]
    return (
        f"`{name}` has no time zone: {value.isoformat()}. Write {name}={line}, tzinfo=timezone.utc), or a string with "
        f'an offset: {name}="{value.isoformat()}+00:00"'
    )


def _to_utc(name: str, value: datetime) -> datetime:
    """Return a plain datetime (pendulum's is a subclass) in UTC."""
    try:
        return datetime.fromisoformat(value.astimezone(timezone.utc).isoformat())
    except (ValueError, OverflowError) as error:
        raise ArgumentError(f"`{name}` is out of range in UTC: {error!s:.200}") from error
