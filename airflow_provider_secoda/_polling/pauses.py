"""How long to pause between two looks, and which failures end a wait: rules without a clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_secoda.client._http.exchange import RetryPolicy
from airflow_provider_secoda.client.errors import SecodaError, SecodaIncompleteError, SecodaRetriableError

#: Pauses are up to a tenth longer than asked for, so that what began together does not stay together.
JITTER = 0.1
#: Seconds; a server is not to be asked without a pause, whatever the interval.
MIN_PAUSE = 0.1
#: A look's first request is sent once, as the next look repeats it; those after it have this much patience.
POLL_POLICY = RetryPolicy(attempts=4, max_retry_after=30.0)


@dataclass(frozen=True)
class PollInterval:
    """How long to pause between two looks, in seconds.

    :param poke_interval: the pause; with ``exponential`` the first one
    :param exponential: whether to pause longer the longer the wait has lasted: each pause twice the last
    :param max_wait: the longest pause
    """

    poke_interval: float
    exponential: bool = False
    max_wait: float | None = None

    def pause(self, waited: float, chance: float) -> float:
        """Return the pause after a wait of so many seconds.

        It depends on nothing else, so that a process that takes over keeps the pace: doubled pauses add up to one
        less than the next power of two.

        :param chance: a random number from 0 to 1
        """
        pause = max(self.poke_interval, MIN_PAUSE)
        if self.exponential:
            doublings = math.floor(math.log2(max(0.0, waited) / pause + 1))
            pause *= 2.0 ** min(doublings, 64)
        if self.max_wait is not None:
            pause = max(min(pause, self.max_wait), MIN_PAUSE)
        return pause * (1 + JITTER * chance)


class FailureLimit:
    """How many looks in a row may fail.

    :param limit: the failure that ends the wait; None waits on whatever fails
    :param failures: how many have failed already
    :param said: the name of the failure that the log has already
    """

    def __init__(self, limit: int | None, failures: int = 0, said: str = "") -> None:
        self.limit = limit
        self.failures = failures
        self.said = said

    def fail(self, error: SecodaError) -> bool:
        """Count a failed poll; return whether to log it, which is so when it failed in another way than the last.

        :raises SecodaError: the error, when waiting cannot mend it or it is one too many
        """
        if not isinstance(error, SecodaRetriableError | SecodaIncompleteError):
            raise error
        self.failures += 1
        if self.limit is not None and self.failures >= self.limit:
            raise error
        said, self.said = self.said, type(error).__name__
        return said != self.said

    def succeed(self) -> bool:
        """Take note of a look that worked; return whether it deserves a line in the log, as the last one failed."""
        worth = self.failures > 0
        self.failures, self.said = 0, ""
        return worth
