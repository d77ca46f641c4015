"""Timestamps as the provider writes them, read and written without its code."""

from __future__ import annotations

from datetime import datetime, timezone


def write(moment: datetime) -> str:
    """Return an aware datetime as RFC 3339 text in UTC, such as ``2026-11-22T00:00:00Z``."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"


def read(text: str) -> datetime:
    """Return RFC 3339 text as an aware datetime (``fromisoformat`` of Python 3.10 does not know ``Z``)."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
