"""Decide what to do after each poll of a wait: the one decision that the sensor's and the trigger's loop share.

::

    poll ──> decide ──> Found    new entries: the wait ends
              ▲   ├───> Pause    no new entries, or a failure that may pass: poll again after the pause
              │   ├───> Reread   the connection may have changed: read it again and poll once more if it has
              └───┘ └─> Fail     the error ends the wait
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_secoda._polling.spec import summaries
from airflow_provider_secoda.client._versions.poll import Poll
from airflow_provider_secoda.client.errors import (
    SecodaError,
    SecodaFatalError,
    SecodaIncompleteError,
    SecodaNotFoundError,
    SecodaRetriableError,
)

if TYPE_CHECKING:
    from airflow_provider_secoda._polling.spec import WaitSpec
    from airflow_provider_secoda.client._versions.page_order import PageOrder

#: Level and text of a log line.
LogLine: TypeAlias = tuple[int, str]


@dataclass(frozen=True)
class SensorState:
    """What a wait keeps from one poll to the next, in one process or in several.

    The baseline is not part of it, as that is a fixed value. So a lost state costs a few requests and nothing else.

    :param page_order: the order of the pages that the last successful poll detected
    :param consecutive_failures: number of failed polls since the last successful one
    :param last_error: name of the last failure's class, which is already in the log
    :param retry_at: Unix time before which the server must not be polled (``Retry-After``)
    """

    page_order: PageOrder | None = None
    consecutive_failures: int = 0
    last_error: str = ""
    retry_at: float = 0.0


@dataclass(frozen=True)
class Found:
    """The wait ends with new entries, as :func:`~.spec.summaries` returns them, oldest first."""

    entries: list[dict[str, Any]]
    log: tuple[LogLine, ...]


@dataclass(frozen=True)
class Pause:
    """Poll again after a pause, not before ``state.retry_at``."""

    log: tuple[LogLine, ...]


@dataclass(frozen=True)
class Reread:
    """Read the connection again: if it has changed, as after a key rotation, poll again, otherwise ``error`` counts."""

    error: SecodaError


@dataclass(frozen=True)
class Fail:
    """The wait ends with an error."""

    error: SecodaError


class VersionPoller:
    """Decide what to do after each poll. It reads no clock and does no I/O.

    :param state: what an earlier process kept
    """

    def __init__(self, spec: WaitSpec, state: SensorState) -> None:
        self.spec = spec
        #: What to keep for the next poll: another value after each decision.
        self.state = state

    def decide(
        self, outcome: Poll | SecodaError, now: float, *, may_reread: bool = True
    ) -> Found | Pause | Reread | Fail:
        """Return what to do after a poll.

        :param outcome: the result of the poll, or its error
        :param now: Unix time
        :param may_reread: whether the connection was not read again yet because of this poll
        """
        if isinstance(outcome, Poll):
            return self._succeeded(outcome)
        if self.spec.wait_for_resource and isinstance(outcome, SecodaNotFoundError):
            return self._succeeded(None)
        if may_reread and isinstance(outcome, SecodaFatalError):
            return Reread(outcome)
        return self._failed(outcome, now)

    def _succeeded(self, poll: Poll | None) -> Found | Pause:
        """Reset the failures.

        :param poll: None when the resource does not exist yet
        """
        log: list[LogLine] = []
        if self.state.consecutive_failures:
            log.append((logging.INFO, f"Polling resource {self.spec.resource_id} works again"))
        self.state = SensorState(None if poll is None else poll.page_order)
        if poll is None or not poll.entries:
            return Pause(tuple(log))
        return Found(summaries(poll.entries), (*log, (logging.INFO, self.spec.describe(poll.entries))))

    def _failed(self, error: SecodaError, now: float) -> Pause | Fail:
        """Count a failed poll; log it when it failed in another way than the one before."""
        self._add_context(error)
        failures, limit = self.state.consecutive_failures + 1, self.spec.max_consecutive_failures
        may_pass = isinstance(error, SecodaRetriableError | SecodaIncompleteError)
        if not may_pass or (limit is not None and failures >= limit):
            return Fail(error)
        name, last_error = type(error).__name__, self.state.last_error
        retry_at = now + (getattr(error, "retry_after", None) or 0.0)
        self.state = replace(self.state, consecutive_failures=failures, last_error=name, retry_at=retry_at)
        return Pause(() if name == last_error else ((logging.WARNING, f"{error}; polling continues"),))

    def _add_context(self, error: SecodaError) -> None:
        """Add resource and connection to an error's message, and ``Retry-After``.

        A worker receives only the message of an error that was raised in the triggerer.
        """
        what = f"resource {self.spec.resource_id!r} by connection {self.spec.secoda_conn_id!r}: "
        if error.args and not str(error.args[0]).startswith(what):
            seconds = getattr(error, "retry_after", None)
            retry_after = "" if seconds is None else f" (Retry-After: {seconds:.15g} s)"
            error.args = (f"{what}{error.args[0]}{retry_after}", *error.args[1:])
