"""Log that requests are sent again: why, and until when they wait."""

from __future__ import annotations

import logging
import math
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import format_datetime

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_secoda.client._http.exchange import Attempt
    from airflow_provider_secoda.client.errors import SecodaError

_log = logging.getLogger(__name__)

#: Seconds: a longer pause is always logged, shorter ones at most once in this time.
LONG_PAUSE = 30.0


class RetryLog:
    """Logs the first retry after each kind of error, and then at most one line every 30 seconds.

    A pause that ends more than 30 seconds later than what was logged is logged too, so that no long wait is silent.

    :param message: returns an error's message, without the key
    """

    def __init__(self, message: Callable[[SecodaError], str]) -> None:
        self._message = message
        self._kinds: set[tuple[object, ...]] = set()
        self._logged_at = self._announced = -math.inf
        self._unlogged = 0

    def record(self, attempt: Attempt, error: SecodaError, attempts: int) -> None:
        """Record that a request is sent again because of an error.

        :param attempt: the next one, with its pause
        :param attempts: how often the request is sent at most
        """
        now = time.monotonic()
        kind = (type(error), getattr(error, "status", None), getattr(error, "reason", None))
        is_announced = now + attempt.pause <= self._announced + LONG_PAUSE
        if kind in self._kinds and now - self._logged_at < LONG_PAUSE and is_announced:
            self._unlogged += 1
            return
        page = dict(attempt.request.params).get("page")
        what = f"page {page}" if page else "it"
        more = f"; {self._unlogged} more retries since the last line" if self._unlogged else ""
        _log.warning(
            "%s; waiting %s, to request %s again (attempt %d of %d)%s",
            *(self._message(error), describe_pause(attempt.pause), what, attempt.failures + 1, attempts, more),
        )
        self._kinds.add(kind)
        self._logged_at, self._announced, self._unlogged = now, now + attempt.pause, 0


def describe_pause(seconds: float) -> str:
    """Return a pause that begins now for the log: its length and its end."""
    end = (datetime.now(timezone.utc) + timedelta(seconds=seconds)).replace(microsecond=0)
    return f"{seconds:.1f} s, until {format_datetime(end)}"
