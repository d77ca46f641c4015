"""What fails: how long to pause, and one line in the log when it begins and one when it ends."""

from __future__ import annotations

import logging
import random
import time

from airflow_provider_secoda.client.errors import (
    SecodaError,
    SecodaPermissionError,
    SecodaRateLimitError,
)

log = logging.getLogger(__name__)

#: The longest pause in seconds that is chosen here; a server that asks for a longer one gets it, up to a day.
LONGEST, LONGEST_ASKED = 900.0, 86_400.0


class FailureBackoff:
    """Failures in a row of one thing that is tried again and again, for ever.

    :param what: what fails, in words
    :param pace: the first pause in seconds; each further one is twice as long, up to 15 minutes
    """

    def __init__(self, what: str, pace: float) -> None:
        self.what = what
        self.pace = pace
        self.failures = 0
        self._limited = False
        self._said: set[type[BaseException]] = set()
        self._since = 0.0

    @property
    def key_in_doubt(self) -> bool:
        """Whether the connection may have to be read again: its key may have been rotated, its host corrected."""
        return self.failures > 0 and not self._limited

    def fail(self, error: BaseException, *, advice: str = "") -> float:
        """Take note of a failure; return the pause in seconds before the next try."""
        if self.failures == 0:
            self._since = time.monotonic()
        self.failures += 1
        self._limited = isinstance(error, SecodaRateLimitError)
        if type(error) not in self._said:
            self._said.add(type(error))
            known = isinstance(error, SecodaError) or type(error).__module__.startswith("airflow.")
            log.warning(
                "%s: %s. It is tried again and again, ever more seldom, down to once in %.0f min%s",
                self.what,
                error if isinstance(error, SecodaError) else f"{type(error).__name__}: {error}",
                max(LONGEST, self.pace) / 60,
                f". {advice}" if advice else "",
                exc_info=None if known else error,
            )
        longest = max(LONGEST, self.pace)
        pause = longest if isinstance(error, SecodaPermissionError) else self.pace * 2.0 ** min(self.failures - 1, 32)
        pause = min(pause, longest) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        return max(pause, min(getattr(error, "retry_after", None) or 0.0, LONGEST_ASKED))

    def succeed(self) -> None:
        """Take note that it works."""
        if self.failures:
            log.info(
                "%s: it works again, after %d failures in %.0f s",
                self.what,
                self.failures,
                time.monotonic() - self._since,
            )
        self.failures = 0
        self._said.clear()
