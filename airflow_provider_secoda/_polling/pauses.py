"""Compute the pauses between polls."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_secoda.client._http.retry import Backoff

#: The shortest pause in seconds, for any ``poke_interval``.
MIN_PAUSE = 0.1


@dataclass(frozen=True)
class PollInterval:
    """How long to pause between two polls.

    :param poke_interval: the pause in seconds; with ``exponential`` the first pause
    :param exponential: whether each pause is twice as long as the one before
    :param max_wait: the longest pause in seconds, before jitter
    """

    poke_interval: float = 60.0
    exponential: bool = False
    max_wait: float | None = None

    def pause(self, waited: float, retry_after: float = 0.0, left: float = math.inf) -> float:
        """Return the pause before the next poll in seconds, with jitter.

        The pause depends on the time waited and not on a count of polls, so that another process that continues the
        wait continues with the same pauses: pauses that double add up to one less than the next power of two.

        :param waited: seconds since the wait began
        :param retry_after: seconds for which the server must not be polled
        :param left: seconds until the wait ends; the last poll is then
        """
        first = max(self.poke_interval, MIN_PAUSE)
        longest = math.inf if self.max_wait is None else max(self.max_wait, MIN_PAUSE)
        doublings = math.floor(math.log2(max(0.0, waited) / first + 1)) if self.exponential else 0
        return min(max(Backoff(first, longest).delay(doublings + 1), retry_after), max(0.0, left))
