"""The trigger that waits for a resource's new version in the triggerer; the event triggers live beside it."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class SecodaVersionHistoryTrigger(BaseTrigger):
    """Wait in the triggerer until a resource has a new version history entry, or until a deadline.

    Yields one event, ``{"status": "success", "entries": […]}`` or ``{"status": "timeout"}``, which
    :func:`~.wait.read_event` reads. Raises what no waiting can mend (401, 403, 404, a wrong connection or argument),
    and the error that is one too many in a row. All arguments are plain JSON values, and none is a secret.

    :param secoda_conn_id: the Airflow connection
    :param resource_id: the resource in Secoda
    :param since: ISO 8601; entries count that were created at or after it
    :param since_version_id: entries count, instead, that are others than this version and not older
    :param match: ``new_version`` or ``any_activity``
    :param wait_for_resource: whether a 404 means "not yet"
    :param poke_interval: seconds between two looks
    :param exponential_backoff: whether each pause is twice the last
    :param max_wait: the longest pause in seconds
    :param max_consecutive_failures: how many failing looks in a row end the wait; None: none do
    :param started: ISO 8601; when the wait began, from which the pauses are reckoned
    :param deadline: ISO 8601; when to give up
    :param first_look: ISO 8601; when to look first
    :param failures: how many looks in a row failed before this one took over
    :param said: the name of the failure that the log has already
    :param learned: what looks before this one learned of the history's order
    :param end_task: yield Airflow's event that ends the task here, without a worker (Airflow 3.3)
    """

    def __init__(
        self,
        *,
        secoda_conn_id: str,
        resource_id: str,
        since: str,
        since_version_id: str | None = None,
        match: str = "new_version",
        wait_for_resource: bool = False,
        poke_interval: float = 60.0,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        max_consecutive_failures: int | None = 5,
        started: str | None = None,
        deadline: str | None = None,
        first_look: str | None = None,
        failures: int = 0,
        said: str = "",
        learned: dict[str, Any] | None = None,
        end_task: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.secoda_conn_id = secoda_conn_id
        self.resource_id = resource_id
        self.since = since
        self.since_version_id = since_version_id
        self.match = match
        self.wait_for_resource = wait_for_resource
        self.poke_interval = poke_interval
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.max_consecutive_failures = max_consecutive_failures
        self.started = started
        self.deadline = deadline
        self.first_look = first_look
        self.failures = failures
        self.said = said
        self.learned = learned
        self.end_task = end_task

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and every argument."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "secoda_conn_id": self.secoda_conn_id,
                "resource_id": self.resource_id,
                "since": self.since,
                "since_version_id": self.since_version_id,
                "match": self.match,
                "wait_for_resource": self.wait_for_resource,
                "poke_interval": self.poke_interval,
                "exponential_backoff": self.exponential_backoff,
                "max_wait": self.max_wait,
                "max_consecutive_failures": self.max_consecutive_failures,
                "started": self.started,
                "deadline": self.deadline,
                "first_look": self.first_look,
                "failures": self.failures,
                "said": self.said,
                "learned": self.learned,
                "end_task": self.end_task,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to tell; yield one event."""
        entries = await self._wait_until_deadline()
        if entries is None:
            yield TriggerEvent({"status": "timeout"})
        elif self.end_task:
            from airflow.triggers.base import TaskSuccessEvent  # noqa: PLC0415 - Airflow 3 has it

            yield TaskSuccessEvent()
        else:
            yield TriggerEvent({"status": "success", "entries": entries})

    async def _wait_until_deadline(self) -> list[dict[str, Any]] | None:
        """Return the entries that count, or None when the deadline passed."""
        vigil = await asyncio.to_thread(import_module, _VIGIL)
        waiting = asyncio.create_task(vigil.Vigil(self).keep())
        try:
            # A look that is under way at the deadline may end, unless it hangs.
            limit = None if self.deadline is None else max(0.0, self.left()) + _LAST_LOOK
            await asyncio.wait({waiting}, timeout=limit)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return math.inf if self.deadline is None else (datetime.fromisoformat(self.deadline) - _now()).total_seconds()


#: Imported in a thread by the first trigger: what it brings along would make a whole event loop late.
_VIGIL = "airflow_provider_secoda._polling.trigger_loop"
#: Seconds that the last look has.
_LAST_LOOK = 10.0


def _now() -> datetime:
    return datetime.now(timezone.utc)


def __getattr__(name: str) -> Any:
    """Give the event triggers here, too, where people look for them; they are loaded when somebody asks."""
    if name in ("SecodaAuditLogEventTrigger", "SecodaVersionHistoryEventTrigger"):
        from airflow_provider_secoda.triggers import _event_triggers as events  # noqa: PLC0415

        return getattr(events, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
