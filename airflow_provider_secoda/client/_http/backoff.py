"""Exponential backoff: the one formula for how long to pause after failures."""

from __future__ import annotations

import random
from dataclasses import dataclass


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
        """Return the delay in seconds after this many failures in a row.

        :param failures: how many, from 1 on
        :param rng: source of the jitter; by default the one that Python's module ``random`` shares
        """
        # Beyond 2**64 no number of seconds means anything, and floats overflow at 2**1024.
        delay = min(self.longest, self.first * 2.0 ** min(max(failures, 1) - 1, 64))
        return delay * (rng or random).uniform(*self.jitter)
