"""Decide what to do after each poll of a wait, for the sensor's loop on a worker and for the trigger's loop.

A loop polls and passes the outcome to :meth:`VersionPoller.decide`, which returns new entries (the wait ends), returns
none (poll again after a pause), or raises the error that ends the wait. An error that says that the key or the
connection is wrong is passed only after the connection was read again (:meth:`VersionPoller.should_reread`).
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
class Decision:
    """What to do after a poll.

    :param entries: new entries, oldest first, as :func:`~.spec.summaries` returns them; if empty, poll again after a
        pause, and not before ``state.retry_at``
    :param log: what to write to the task's log
    """

    entries: list[dict[str, Any]]
    log: list[LogLine]


class VersionPoller:
    """Decide what to do after each poll. It reads no clock and does no I/O.

    :param state: what an earlier process kept
    """

    def __init__(self, spec: WaitSpec, state: SensorState) -> None:
        self.spec = spec
        #: What to keep for the next poll: another value after each decision.
        self.state = state

    def should_reread(self, error: SecodaError) -> bool:
        """Return whether to read the connection again, and to poll once more if it has changed (a rotated key)."""
        return isinstance(error, SecodaFatalError) and not self._is_awaited(error)

    def decide(self, outcome: Poll | SecodaError, now: float) -> Decision:
        """Return what to do after a poll.

        :param outcome: the result of the poll, or its error
        :param now: Unix time
        :raises SecodaError: the error, when it ends the wait
        """
        if isinstance(outcome, SecodaError) and not self._is_awaited(outcome):
            return self._failed(outcome, now)
        log: list[LogLine] = []
        if self.state.consecutive_failures:
            log.append((logging.INFO, f"Polling resource {self.spec.resource_id} works again"))
        entries, page_order = (outcome.entries, outcome.page_order) if isinstance(outcome, Poll) else ((), None)
        self.state = SensorState(page_order)
        if entries:
            log.append((logging.INFO, self.spec.describe(entries)))
        return Decision(summaries(entries), log)

    def _is_awaited(self, error: SecodaError) -> bool:
        """Return whether an error says that the resource does not exist yet, which is what the wait is for."""
        return self.spec.wait_for_resource and isinstance(error, SecodaNotFoundError)

    def _failed(self, error: SecodaError, now: float) -> Decision:
        """Count a failed poll; log it when it failed in another way than the one before."""
        self._add_context(error)
        failures, limit = self.state.consecutive_failures + 1, self.spec.max_consecutive_failures
        may_pass = isinstance(error, SecodaRetriableError | SecodaIncompleteError)
        if not may_pass or (limit is not None and failures >= limit):
            raise error
        name, last_error = type(error).__name__, self.state.last_error
        retry_at = now + (getattr(error, "retry_after", None) or 0.0)
        self.state = replace(self.state, consecutive_failures=failures, last_error=name, retry_at=retry_at)
        return Decision([], [] if name == last_error else [(logging.WARNING, f"{error}; polling continues")])

    def _add_context(self, error: SecodaError) -> None:
        """Add resource and connection to an error's message, and ``Retry-After``.

        A worker receives only the message of an error that was raised in the triggerer.
        """
        what = f"resource {self.spec.resource_id!r} by connection {self.spec.secoda_conn_id!r}: "
        if error.args and not str(error.args[0]).startswith(what):
            seconds = getattr(error, "retry_after", None)
            retry_after = "" if seconds is None else f" (Retry-After: {seconds:.15g} s)"
            error.args = (f"{what}{error.args[0]}{retry_after}", *error.args[1:])
