"""Times as people write them in DAGs."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pendulum


def read_moment(name: str, value: Any) -> datetime:
    """Return an argument in UTC: an aware datetime, or ISO 8601 text; text without an offset is UTC.

    :param name: the argument, for the error
    :raises ValueError: naming the argument, for anything else, also for a template that rendered to nothing
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name}={value.isoformat()} has no time zone; pass an aware datetime.")
        return _plain(name, value)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a datetime or ISO 8601 text, not {type(value).__name__}.")  # noqa: TRY004
    if value.strip() in ("", "None"):
        raise ValueError(f"{name} is a template that rendered to {value!r}: this run does not have what it refers to.")
    try:
        parsed = pendulum.parse(value.strip(), exact=True)
    except Exception as error:  # its parser stumbles over some texts, such as `0:`, with errors of any kind
        raise ValueError(f"{name}={value!r:.80} is not a date and time in ISO 8601: {error!s:.200}") from error
    if isinstance(parsed, datetime):
        return _plain(name, parsed)
    if isinstance(parsed, date):
        return datetime(parsed.year, parsed.month, parsed.day, tzinfo=timezone.utc)
    raise ValueError(f"{name}={value!r:.80} is not a date and time in ISO 8601.")


def _plain(name: str, moment: datetime) -> datetime:
    try:
        return datetime.fromisoformat(moment.astimezone(timezone.utc).isoformat())
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no moment that there is in UTC: {error!s:.200}") from error
