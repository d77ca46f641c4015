"""The trigger that waits for a resource's new version in the triggerer; the event triggers live beside it."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import datetime, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.client.order import Learned
from airflow_provider_secoda.client.poll import Poll, poll_versions
from airflow_provider_secoda.client.waiting import Pace, Patience
from airflow_provider_secoda.triggers.wait import Wait, summaries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_secoda.hooks.sharing import SharedClient


class SecodaVersionHistoryTrigger(BaseTrigger):
    """
    Wait in the triggerer until a resource has a new version history entry, or until a deadline.

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
        self._warned = False

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
        waiting = asyncio.create_task(self._wait())
        try:
            # A look that is under way at the deadline may end, unless it hangs.
            limit = None if self.deadline is None else max(0.0, self._left()) + _LAST_LOOK
            await asyncio.wait({waiting}, timeout=limit)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})

    async def _wait(self) -> list[dict[str, Any]] | None:
        wait = Wait.of(
            self.secoda_conn_id,
            self.resource_id,
            self.since,
            self.since_version_id,
            self.match,
            self.wait_for_resource,
        )
        pace = Pace(self.poke_interval, self.exponential_backoff, self.max_wait)
        patience = Patience(self.max_consecutive_failures, self.failures, self.said)
        started = datetime.fromisoformat(self.started) if self.started else _now()
        learned = Learned.from_json(self.learned)
        sharing = await asyncio.to_thread(import_module, _SHARING)
        await asyncio.sleep(self._pause_at_first())
        async with sharing.shared_client(wait.secoda_conn_id) as client:
            while True:
                asked_to_wait = 0.0
                try:
                    poll = await self._look(client, wait, learned)
                except SecodaError as error:
                    wait.name_in(error)
                    if patience.fail(error):
                        self.log.warning("%s; going on", error)
                    asked_to_wait = getattr(error, "retry_after", None) or 0.0
                else:
                    if patience.succeed():
                        self.log.info("Secoda answers again about resource %s", wait.resource_id)
                    if poll is not None and poll.entries:
                        self.log.info("%s", wait.describe(poll.entries))
                        return summaries(poll.entries)
                    learned = None if poll is None else poll.learned
                left = self._left()
                pause = pace.pause((_now() - started).total_seconds(), random.random())  # noqa: S311 - jitter
                await asyncio.sleep(min(max(pause, asked_to_wait), max(0.0, left)))
                if left <= 0 or asked_to_wait > left:
                    return None

    async def _look(self, client: SharedClient, wait: Wait, learned: Learned | None) -> Poll | None:
        """Look once; return None for a resource that does not exist yet and is waited for."""
        seen = await client.settings()
        if seen.verify is False and not self._warned:
            from airflow_provider_secoda.hooks.connection import UNVERIFIED  # noqa: PLC0415 - loaded by now

            self._warned = True
            self.log.warning(UNVERIFIED, self.secoda_conn_id)
        try:
            return await client.value(poll_versions(wait.resource_id, wait.baseline, learned))
        except SecodaError as error:
            if wait.expects(error):
                return None
            if not wait.doubts_connection(error) or not await client.reread(seen):
                raise
        return await client.value(poll_versions(wait.resource_id, wait.baseline, learned))

    def _left(self) -> float:
        """Return the seconds until the deadline."""
        return math.inf if self.deadline is None else (datetime.fromisoformat(self.deadline) - _now()).total_seconds()

    def _pause_at_first(self) -> float:
        """Return the seconds to the first look; when it is overdue (the triggerer was away) they are spread."""
        if self.first_look is None:
            return 0.0
        pause = (datetime.fromisoformat(self.first_look) - _now()).total_seconds()
        if pause <= 0:
            pause = random.uniform(0.0, min(self.poke_interval, _SPREAD))  # noqa: S311 - jitter
        return max(0.0, min(pause, self._left()))


#: Imported in a thread by the first trigger: what it brings along would make a whole event loop late.
_SHARING = "airflow_provider_secoda.hooks.sharing"
#: Seconds over which the first looks after a restart are spread.
_SPREAD = 30.0
#: Seconds that the last look has.
_LAST_LOOK = 10.0


def _now() -> datetime:
    return datetime.now(timezone.utc)


def __getattr__(name: str) -> Any:
    """Give the event triggers here, too, where people look for them; they are loaded when somebody asks."""
    if name in ("SecodaAuditLogEventTrigger", "SecodaVersionHistoryEventTrigger"):
        from airflow_provider_secoda.triggers import events  # noqa: PLC0415

        return getattr(events, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
