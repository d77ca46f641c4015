"""What the background tasks of a stream share: waiting for an event, and backing off after failures."""

from __future__ import annotations

import asyncio
import logging
import time

from airflow_provider_secoda.client._http.retry import Backoff
from airflow_provider_secoda.client._http.retry_log import LONG_PAUSE, describe_pause
from airflow_provider_secoda.client.errors import SecodaError, SecodaPermissionError, SecodaRateLimitError

log = logging.getLogger(__name__)

#: The longest pause in seconds between two retries, and the longest ``Retry-After`` that is obeyed.
MAX_PAUSE, MAX_RETRY_AFTER = 900.0, 86_400.0
#: After this many failures every backoff is at its longest pause.
_MANY = 64


async def wait_for_event(event: asyncio.Event, timeout: float) -> None:
    """Wait for an event, or until a timeout in seconds, which sets it.

    ``asyncio.wait_for`` would do, but before Python 3.12 it may lose a cancellation that arrives together with the
    event.
    """
    timer = asyncio.get_running_loop().call_later(max(0.0, timeout), event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()


def is_airflow_error(error: BaseException) -> bool:
    """Return whether Airflow raised an error: the connection does not exist, or could not be read."""
    return type(error).__module__.startswith("airflow.")


class FailureBackoff:
    """Consecutive failures of one operation, which is retried until the stream ends.

    The log has one line for each kind of error, and one line when the operation succeeds again.

    :param operation: what fails, for the log
    :param first_pause: seconds after the first failure; each further pause is twice as long, up to 15 minutes
    """

    def __init__(self, operation: str, first_pause: float) -> None:
        self.failures = 0
        self._operation = operation
        self._backoff = Backoff(first_pause, max(MAX_PAUSE, first_pause), jitter=(0.8, 1.2))
        self._rate_limited = False
        self._logged: set[type[BaseException]] = set()
        self._failing_since = 0.0

    @property
    def needs_reread(self) -> bool:
        """Whether to read the connection again before the next try: the key or the host may have been changed."""
        return self.failures > 0 and not self._rate_limited

    def fail(self, error: BaseException, *, advice: str = "") -> float:
        """Record a failure; return the pause in seconds before the next try."""
        if self.failures == 0:
            self._failing_since = time.monotonic()
        self.failures += 1
        self._rate_limited = isinstance(error, SecodaRateLimitError)
        if type(error) not in self._logged:
            self._logged.add(type(error))
            ours = isinstance(error, SecodaError)
            log.warning(
                "%s failed: %s. Retrying with exponential backoff, at most every %.0f min%s",
                self._operation,
                error if ours else f"{type(error).__name__}: {error}",
                self._backoff.longest / 60,
                f". {advice}" if advice else "",
                exc_info=None if ours or is_airflow_error(error) else error,
            )
        # Only an administrator can change a permission: use the longest pause.
        pause = self._backoff.delay(_MANY if isinstance(error, SecodaPermissionError) else self.failures)
        retry_after = min(getattr(error, "retry_after", None) or 0.0, MAX_RETRY_AFTER)
        if retry_after > max(pause, LONG_PAUSE):
            text = describe_pause(retry_after)
            log.warning("%s is not retried for %s: Retry-After of the server", self._operation, text)
        return max(pause, retry_after)

    def succeed(self) -> None:
        """Record a success."""
        if self.failures:
            seconds = time.monotonic() - self._failing_since
            log.info("%s works again after %d failures in %.0f s", self._operation, self.failures, seconds)
        self.failures = 0
        self._logged.clear()
