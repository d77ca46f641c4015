"""Poll in the triggerer until there are new entries, until a deadline, or until an error ends the wait."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._polling.wait import SensorState, VersionPoller, WaitSpec
from airflow_provider_secoda.client._api.timestamps import parse_datetime
from airflow_provider_secoda.client._versions.page_order import PageOrder
from airflow_provider_secoda.client._versions.poll import Poll, poll_versions
from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.hooks._connection import UNVERIFIED_WARNING
from airflow_provider_secoda.hooks._shared_client import shared_client

if TYPE_CHECKING:
    from airflow_provider_secoda.hooks._shared_client import SharedClient

#: Seconds over which the first polls are spread after a restart of the triggerer.
SPREAD = 30.0
#: Seconds after the deadline at which a poll that is still running is cancelled.
LAST_POLL = 10.0


class TriggerLoop(VersionPoller):
    """The wait of one trigger; the arguments are those of :class:`~.secoda.SecodaVersionHistoryTrigger`.

    :param wait: the arguments of :class:`WaitSpec`
    :raises SecodaConfigurationError: when an argument is wrong; the message names it
    """

    def __init__(
        self,
        log: Any,
        *,
        started_at: str | None,
        deadline: str | None,
        first_poll_at: str | None,
        consecutive_failures: int,
        last_error: str,
        page_order: dict[str, Any] | None,
        **wait: Any,
    ) -> None:
        state = SensorState(PageOrder.from_json(page_order), consecutive_failures, last_error)
        super().__init__(WaitSpec(**wait), log, state)
        # The worker that deferred the task has logged it.
        self._announced = started_at is not None
        self._started_at = _parse(started_at) or _now()
        self._first_poll_at = _parse(first_poll_at)
        self._deadline = _parse(deadline)
        self._timeout = self._left()
        self._warned = False

    async def run(self) -> list[dict[str, Any]] | None:
        """Return the new entries, or None when the deadline passed.

        :raises SecodaError: the error that ended the wait
        """
        polling = asyncio.create_task(self._poll_until_deadline())
        try:
            await asyncio.wait(
                {polling}, timeout=None if self._deadline is None else max(0.0, self._left()) + LAST_POLL
            )
            return polling.result() if polling.done() else None
        finally:
            polling.cancel()
            await asyncio.wait({polling})

    async def _poll_until_deadline(self) -> list[dict[str, Any]] | None:
        await asyncio.sleep(self.first_pause())
        async with shared_client(self.spec.secoda_conn_id) as client:
            while True:
                outcome: Poll | SecodaError
                try:
                    outcome = await self._poll(client)
                except SecodaError as error:
                    outcome = error
                if entries := self.decide(outcome):
                    return entries
                left = self._left()
                is_over = left <= 0 or self.retry_after() > left
                await asyncio.sleep(self.pause((_now() - self._started_at).total_seconds(), left))
                if is_over:
                    return None

    async def _poll(self, client: SharedClient) -> Poll:
        settings = await client.settings()
        if settings.endpoint.verify is False and not self._warned:
            self._warned = True
            self.log.warning(UNVERIFIED_WARNING, self.spec.secoda_conn_id)
        self.announce(settings.base_url, self._timeout)
        try:
            return await self._request(client)
        except SecodaError as error:
            if not self.should_reread(error) or not await client.reread(settings):
                raise
        return await self._request(client)

    async def _request(self, client: SharedClient) -> Poll:
        return await client.value(poll_versions(self.spec.resource_id, self.spec.baseline, self.state.page_order))

    def first_pause(self) -> float:
        """Return the seconds until the first poll; when it is overdue after a restart, polls are spread at random."""
        if self._first_poll_at is None:
            return 0.0
        pause = (self._first_poll_at - _now()).total_seconds()
        if pause <= 0:
            pause = random.uniform(0.0, min(self.spec.poke_interval, SPREAD))  # noqa: S311 - jitter
        return max(0.0, min(pause, self._left()))

    def _left(self) -> float:
        """Return the seconds until the deadline."""
        return math.inf if self._deadline is None else (self._deadline - _now()).total_seconds()


def _parse(text: str | None) -> datetime | None:
    return None if text is None else parse_datetime(text)


def _now() -> datetime:
    return datetime.now(timezone.utc)
