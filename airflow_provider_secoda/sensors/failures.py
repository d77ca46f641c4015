"""Errors on their way from the triggerer to the worker: Airflow hands over the text of a traceback, no more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAST_LINE = re.compile(r"^(?:[\w.]+\.)?(Secoda\w+Error): (.+)$")


def raised_in_trigger(next_kwargs: Mapping[str, Any]) -> errors.SecodaError | None:
    """
    Return the error that ended the trigger, of its own kind and with its text; None for one that is not ours.

    :param next_kwargs: what Airflow resumes a failed deferral with: ``traceback`` holds pieces of text
    """
    pieces = next_kwargs.get("traceback")
    lines = "".join(str(piece) for piece in pieces).strip().splitlines() if isinstance(pieces, list) else []
    found = _LAST_LINE.match(lines[-1]) if lines else None
    kind = getattr(errors, found[1], None) if found else None
    if found is None or not isinstance(kind, type) or not issubclass(kind, errors.SecodaError):
        return None
    return kind(found[2])


def timed_out(next_kwargs: Mapping[str, Any]) -> bool:
    """Return whether the deferral ended as its time was up; Airflow 2.11 and 3 say so in different words."""
    return next_kwargs.get("traceback") is None and "timeout" in str(next_kwargs.get("error", "")).lower()
