"""Poll in the triggerer until there are new entries, until a deadline, or until an error ends the wait."""

from __future__ import annotations

import asyncio
import math
import random
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._polling.spec import WaitSpec
from airflow_provider_secoda._polling.version_poller import SensorState, VersionPoller
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


class TriggerLoop:
    """The wait of one trigger; the arguments are those of :class:`~.secoda.SecodaVersionHistoryTrigger`.

    :param wait: the arguments that specify the wait
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
        self._spec = WaitSpec.parse(**wait)
        state = SensorState(PageOrder.from_json(page_order), consecutive_failures, last_error)
        self._poller = VersionPoller(self._spec, state)
        self._log = log
        self._started_at = _parse(started_at) or _now()
        self._first_poll_at = _parse(first_poll_at)
        self._deadline = _parse(deadline)
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
        async with shared_client(self._spec.secoda_conn_id) as client:
            while True:
                entries = await self._poll_once(client)
                if entries:
                    return entries
                waited, left = (_now() - self._started_at).total_seconds(), self._left()
                retry_after = max(0.0, self._poller.state.retry_at - time.time())
                await asyncio.sleep(self._spec.interval.pause(waited, retry_after, left))
                if left <= 0 or retry_after > left:
                    return None

    async def _poll_once(self, client: SharedClient) -> list[dict[str, Any]]:
        """Poll once; return the new entries."""
        outcome: Poll | SecodaError
        try:
            outcome = await self._poll(client)
        except SecodaError as error:
            outcome = error
        decision = self._poller.decide(outcome, time.time())
        for level, text in decision.log:
            self._log.log(level, "%s", text)
        return decision.entries

    async def _poll(self, client: SharedClient) -> Poll:
        settings = await client.settings()
        if settings.endpoint.verify is False and not self._warned:
            self._warned = True
            self._log.warning(UNVERIFIED_WARNING, self._spec.secoda_conn_id)
        try:
            return await self._request(client)
        except SecodaError as error:
            if not self._poller.should_reread(error) or not await client.reread(settings):
                raise
        return await self._request(client)

    async def _request(self, client: SharedClient) -> Poll:
        spec = self._spec
        return await client.value(poll_versions(spec.resource_id, spec.baseline, self._poller.state.page_order))

    def first_pause(self) -> float:
        """Return the seconds until the first poll; when it is overdue after a restart, polls are spread at random."""
        if self._first_poll_at is None:
            return 0.0
        pause = (self._first_poll_at - _now()).total_seconds()
        if pause <= 0:
            pause = random.uniform(0.0, min(self._spec.interval.poke_interval, SPREAD))  # noqa: S311 - jitter
        return max(0.0, min(pause, self._left()))

    def _left(self) -> float:
        """Return the seconds until the deadline."""
        return math.inf if self._deadline is None else (self._deadline - _now()).total_seconds()


def _parse(text: str | None) -> datetime | None:
    return None if text is None else parse_datetime(text)


def _now() -> datetime:
    return datetime.now(timezone.utc)
