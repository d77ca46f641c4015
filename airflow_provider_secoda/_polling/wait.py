"""A wait for a new version of a resource: its arguments, its state, and what to do after each poll.

A loop polls and passes the outcome to :meth:`VersionPoller.decide`, which returns new entries (the wait ends), returns
none (poll again after a pause), or raises the error that ends the wait. An error that says that the key or the
connection is wrong is passed only after the connection was read again (:meth:`VersionPoller.should_reread`).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda._arguments import check_match, check_text, parse_datetime
from airflow_provider_secoda._storable import storable_result
from airflow_provider_secoda.client._api.timestamps import format_instant, to_instant
from airflow_provider_secoda.client._http.retry import Backoff
from airflow_provider_secoda.client._http.retry_log import LONG_PAUSE, describe_pause
from airflow_provider_secoda.client._versions.history import Baseline, Match, VersionEntry
from airflow_provider_secoda.client._versions.page_order import PageOrder  # noqa: TC001 - msgspec evaluates it
from airflow_provider_secoda.client._versions.poll import Poll
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaError,
    SecodaFatalError,
    SecodaIncompleteError,
    SecodaNotFoundError,
    SecodaRetriableError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The shortest pause in seconds, for any ``poke_interval``.
MIN_PAUSE = 0.1


class WaitSpec:
    """What to wait for, and how: the rendered arguments of the sensor and of its trigger, checked.

    :param since: with ``since_version_id`` it is used for ``match="any_activity"`` only
    :param poke_interval: the pause in seconds; with ``exponential_backoff`` the first pause
    :param max_wait: the longest pause in seconds, before jitter
    :param max_consecutive_failures: number of consecutive failed polls that ends the wait; None: unlimited
    :param since_from: where ``since`` came from, for messages
    :raises SecodaConfigurationError: when an argument is wrong; the message names it
    """

    def __init__(
        self,
        *,
        secoda_conn_id: str,
        resource_id: str,
        since: Any,
        since_version_id: str | None,
        match: str,
        wait_for_resource: bool,
        poke_interval: float,
        exponential_backoff: bool,
        max_wait: float | None,
        max_consecutive_failures: int | None,
        since_from: str = "`since`",
    ) -> None:
        try:
            self.secoda_conn_id = check_text("secoda_conn_id", secoda_conn_id)
            self.resource_id = check_text("resource_id", resource_id)
            self.baseline = Baseline(
                to_instant(parse_datetime("since", since)),
                None if since_version_id is None else check_text("since_version_id", since_version_id),
                check_match(match),
            )
        except ValueError as error:
            raise SecodaConfigurationError(" ".join(str(error).split())) from None
        self.wait_for_resource = wait_for_resource
        self.poke_interval = poke_interval
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.max_consecutive_failures = max_consecutive_failures
        self._since_from = since_from

    def __str__(self) -> str:
        """Return what is waited for, such as ``new version of resource R since 2026-03-01T00:00:00Z (`since`)``."""
        what = "new version" if self.baseline.match == "new_version" else "activity in a version"
        if self.baseline.version_id is None:
            since = f"{format_instant(self.baseline.since)} ({self._since_from})"
        else:
            since = f"version {self.baseline.version_id} (`since_version_id`)"
        return f"{what} of resource {self.resource_id} since {since}"


class SensorState(msgspec.Struct, frozen=True):
    """What a wait keeps from one poll to the next, in one process or in several: JSON values.

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

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values


class VersionPoller:
    """Decide what to do after each poll of a wait; the loop of the worker and that of the triggerer do the polls.

    :param state: what an earlier process kept
    """

    def __init__(self, spec: WaitSpec, log: Any, state: SensorState) -> None:
        self.spec = spec
        #: What to keep for the next poll: another value after each decision.
        self.state = state
        self.log = log
        self._announced = False

    def announce(self, base_url: str, timeout: float) -> None:
        """Log once what is waited for.

        :param timeout: seconds; infinity: no timeout
        """
        if self._announced:
            return
        self._announced = True
        spec = self.spec
        backoff = ", with exponential backoff" if spec.exponential_backoff else ""
        article = "a " if spec.baseline.match == "new_version" else ""
        limit = "none" if math.isinf(timeout) else f"{timeout:.15g} s"
        self.log.info(
            "Waiting for %s%s, with connection %r (%s); poll interval: %.15g s%s; timeout: %s",
            article, spec, spec.secoda_conn_id, base_url, spec.poke_interval, backoff, limit,
        )  # fmt: skip

    def should_reread(self, error: SecodaError) -> bool:
        """Return whether to read the connection again, and to poll once more if it has changed (a rotated key)."""
        return isinstance(error, SecodaFatalError) and not self._is_awaited(error)

    def decide(self, outcome: Poll | SecodaError) -> list[dict[str, Any]]:
        """Return the new entries, oldest first, in the form of XComs and events; if there are none, poll again.

        :param outcome: the result of the poll, or its error
        :raises SecodaError: the error, when it ends the wait
        """
        if isinstance(outcome, SecodaError) and not self._is_awaited(outcome):
            self._count_failure(outcome)
            return []
        if self.state.consecutive_failures:
            self.log.info("Polling resource %s works again", self.spec.resource_id)
        entries, page_order = (outcome.entries, outcome.page_order) if isinstance(outcome, Poll) else ((), None)
        self.state = SensorState(page_order)
        if entries:
            self.log.info("%s", describe(self.spec.resource_id, entries, self.spec.baseline.match))
        return summaries(entries)

    def retry_after(self) -> float:
        """Return for how many more seconds the server must not be polled."""
        return max(0.0, self.state.retry_at - time.time())

    def pause(self, waited: float, left: float = math.inf) -> float:
        """Return the pause before the next poll in seconds, with jitter.

        The pause depends on the time waited and not on a count of polls, so that another process that continues the
        wait continues with the same pauses: after n doublings the pauses sum to ``first * (2**n - 1)``, so n follows
        from the time waited.

        :param waited: seconds since the wait began
        :param left: seconds until the wait ends; the last poll is at that time
        """
        spec = self.spec
        first = max(spec.poke_interval, MIN_PAUSE)
        longest = math.inf if spec.max_wait is None else max(spec.max_wait, MIN_PAUSE)
        doublings = math.floor(math.log2(max(0.0, waited) / first + 1)) if spec.exponential_backoff else 0
        pause, retry_after = Backoff(first, longest).delay(doublings + 1), self.retry_after()
        if retry_after > max(pause, LONG_PAUSE):
            self.log.warning(
                "Resource %s is not polled for %s: Retry-After of the server of connection %r",
                spec.resource_id, describe_pause(retry_after), spec.secoda_conn_id,
            )  # fmt: skip
        return max(min(max(pause, retry_after), left), MIN_PAUSE)

    def _is_awaited(self, error: SecodaError) -> bool:
        """Return whether an error says that the resource does not exist yet, which is what the wait is for."""
        return self.spec.wait_for_resource and isinstance(error, SecodaNotFoundError)

    def _count_failure(self, error: SecodaError) -> None:
        """Count a failed poll, or raise its error; log it when the poll before did not fail in the same way."""
        self._add_context(error)
        failures, limit = self.state.consecutive_failures + 1, self.spec.max_consecutive_failures
        may_pass = isinstance(error, SecodaRetriableError | SecodaIncompleteError)
        if not may_pass or (limit is not None and failures >= limit):
            raise error
        name, retry_at = type(error).__name__, time.time() + (getattr(error, "retry_after", None) or 0.0)
        if name != self.state.last_error:
            self.log.warning("%s; polling continues", error)
        self.state = SensorState(self.state.page_order, failures, name, retry_at)

    def _add_context(self, error: SecodaError) -> None:
        """Add resource and connection to an error's message."""
        connection = f"connection {self.spec.secoda_conn_id!r}"
        what = f"resource {self.spec.resource_id!r} by {connection}"
        if error.args and not str(error.args[0]).startswith(what):
            text = str(error.args[0])
            # Errors in the connection begin with its name.
            rest = text.removeprefix(connection) if text.startswith(connection) else f": {text}"
            error.args = (f"{what}{rest}", *error.args[1:])


def describe(resource_id: str, entries: Sequence[VersionEntry], match: Match) -> str:
    """Return a log line about new entries."""
    count = "a new version" if len(entries) == 1 else f"{len(entries)} new versions"
    if match == "any_activity":
        count = f"activity in {len(entries)} version{'s' if len(entries) > 1 else ''}"
    # Ids come from the server: control characters in an id must not add lines to the log.
    ids = [entry.id if entry.id.isprintable() else repr(entry.id) for entry in entries[:5]]
    return f"Resource {resource_id} has {count}: {', '.join(ids)}" + (", …" if len(entries) > len(ids) else "")


def summaries(entries: Sequence[VersionEntry]) -> list[dict[str, Any]]:
    """Return entries in the form of XComs and events: values that Airflow can store."""
    return [storable_result(entry.summary()) for entry in entries]


def read_event(event: Any) -> list[dict[str, Any]] | None:
    """Return the entries of a trigger's event, or None for a timeout.

    An event was stored in a database, and another version of this provider may have written it, so it is checked.

    :raises ValueError: for anything that :class:`~.secoda.SecodaVersionHistoryTrigger` does not yield
    """
    if isinstance(event, dict) and event.get("status") == "timeout":
        return None
    entries = event.get("entries") if isinstance(event, dict) and event.get("status") == "success" else None
    if not isinstance(entries, list) or not entries or not all(_is_entry(entry) for entry in entries):
        raise ValueError(f"Unknown event from the trigger (was it written by another version?): {event!r:.200}")
    return entries


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), str) and isinstance(entry.get("record"), dict)
