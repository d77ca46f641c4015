"""The trigger that waits for a resource's new version in the triggerer; the event triggers live beside it."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_secoda.client.errors import SecodaAuthenticationError, SecodaError, SecodaNotFoundError
from airflow_provider_secoda.client.order import Learned
from airflow_provider_secoda.client.poll import Poll, poll_versions
from airflow_provider_secoda.client.waiting import Pace, Patience
from airflow_provider_secoda.triggers.wait import Wait

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
    :param max_consecutive_failures: how many looks in a row may fail, the last of them not; None for any number
    :param started: ISO 8601; when the wait began, from which the pauses are reckoned
    :param deadline: ISO 8601; when to give up
    :param first_look: ISO 8601; when to look first
    :param failures: how many looks in a row failed before this one took over
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
        learned: dict[str, Any] | None = None,
        end_task: bool = False,
    ) -> None:
        super().__init__()
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

            yield TaskSuccessEvent(xcoms={"return_value": entries})
        else:
            yield TriggerEvent({"status": "success", "entries": entries})

    async def _wait_until_deadline(self) -> list[dict[str, Any]] | None:
        """Return the entries that count, or None when the deadline passed."""
        if self.deadline is None:
            return await self._wait()
        left = (datetime.fromisoformat(self.deadline) - _now()).total_seconds()
        try:
            return await asyncio.wait_for(self._wait(), max(0.0, left))
        except asyncio.TimeoutError:
            return None

    async def _wait(self) -> list[dict[str, Any]]:
        from airflow_provider_secoda.hooks.sharing import shared_client  # noqa: PLC0415 - heavy, and not for parsing

        wait = Wait.of(self.secoda_conn_id, self.resource_id, self.since, self.since_version_id, self.match)
        pace = Pace(self.poke_interval, self.exponential_backoff, self.max_wait)
        patience = Patience(self.max_consecutive_failures, self.failures)
        started = datetime.fromisoformat(self.started) if self.started else _now()
        learned = Learned.from_json(self.learned)
        await self._wait_for_first_look()
        async with shared_client(self.secoda_conn_id) as client:
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
                        self.log.info("Secoda answers again about resource %s", self.resource_id)
                    if poll is not None and poll.entries:
                        self.log.info("%s", wait.describe(poll.entries))
                        return [entry.summary() for entry in poll.entries]
                    learned = None if poll is None else poll.learned
                pause = pace.pause((_now() - started).total_seconds(), random.random())  # noqa: S311 - jitter
                await asyncio.sleep(max(pause, asked_to_wait))

    async def _look(self, client: SharedClient, wait: Wait, learned: Learned | None) -> Poll | None:
        """Look once; return None for a resource that does not exist yet and is waited for."""
        try:
            try:
                return await client.value(poll_versions(wait.resource_id, wait.baseline, learned))
            except SecodaAuthenticationError:
                if not await client.reread():
                    raise
                return await client.value(poll_versions(wait.resource_id, wait.baseline, learned))
        except SecodaNotFoundError:
            if not self.wait_for_resource:
                raise
            return None

    async def _wait_for_first_look(self) -> None:
        """Wait as asked; when that has passed (the triggerer was restarted), for a moment that others do not choose."""
        if self.first_look is None:
            return
        left = (datetime.fromisoformat(self.first_look) - _now()).total_seconds()
        if left <= 0:
            left = random.uniform(0.0, min(self.poke_interval, _SPREAD.total_seconds()))  # noqa: S311 - jitter
        await asyncio.sleep(left)


#: Over how long the first looks after a restart are spread.
_SPREAD = timedelta(seconds=30)


def _now() -> datetime:
    return datetime.now(timezone.utc)
