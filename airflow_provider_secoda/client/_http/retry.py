"""Retries of a request: which errors, and after which delay; and the one formula of every backoff."""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_provider_secoda.client.errors import SecodaError, SecodaResponseError, SecodaRetriableError

#: How often a request is sent at most whose response is complete, but has content that cannot be read: the next one is
#: most likely the same.
_ATTEMPTS_IF_COMPLETE = 2


@dataclass(frozen=True, slots=True)
class Backoff:
    """Double the delay after each failure in a row, up to a maximum, with jitter.

    :param first: delay in seconds after the first failure
    :param longest: the longest delay in seconds, before jitter
    :param jitter: range of the random factor that spreads the delays of clients that failed together
    """

    first: float
    longest: float
    jitter: tuple[float, float] = (1.0, 1.1)

    def delay(self, failures: int, rng: random.Random | None = None) -> float:
        """Return the delay in seconds after this many failures in a row, from 1 on."""
        # Beyond 2**64 no number of seconds means anything, and floats overflow at 2**1024.
        delay = min(self.longest, self.first * 2.0 ** min(max(failures, 1) - 1, 64))
        return delay * (rng or random).uniform(*self.jitter)


@dataclass(frozen=True)
class RetryPolicy:
    """How often one request is sent, and how long to wait before it is sent again.

    :param attempts: how often one request is sent at most
    :param base: seconds before the first retry; doubled for each further one, less a random part of up to a half
    :param cap: the longest delay in seconds
    :param max_retry_after: the longest ``Retry-After`` in seconds that is waited for; for a longer one the error is
        raised at once
    """

    attempts: int = 8
    base: float = 0.5
    cap: float = 30.0
    max_retry_after: float = 900.0

    def delay(self, error: SecodaError, failures: int, rng: random.Random, attempts: int | None = None) -> float | None:
        """Return the seconds to wait before the request is sent again; None if it is not.

        :param failures: how often it has failed, this time included
        :param attempts: of this request, instead of the policy's
        """
        if not isinstance(error, SecodaRetriableError) or failures >= self.attempts_after(error, attempts):
            return None
        if error.retry_after is None:
            return Backoff(self.base, self.cap, jitter=(0.5, 1.0)).delay(failures, rng)
        return error.retry_after if error.retry_after <= self.max_retry_after else None

    def attempts_after(self, error: SecodaError, attempts: int | None = None) -> int:
        """Return how often a request that failed with an error is sent at most; the parameters are those of `delay`."""
        most = attempts or self.attempts
        return min(most, _ATTEMPTS_IF_COMPLETE) if isinstance(error, SecodaResponseError) and error.complete else most


#: For polls. The first request of a poll is sent once only, because the next poll repeats it; this is for the others.
POLL_POLICY = RetryPolicy(attempts=4, max_retry_after=30.0)
