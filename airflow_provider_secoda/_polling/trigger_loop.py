"""What the sensor's trigger does when it runs: look, pause, look again, until there is something to tell."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._polling.pauses import FailureLimit, PollInterval
from airflow_provider_secoda._polling.spec import WaitSpec, summaries
from airflow_provider_secoda.client._versions.page_order import PageOrder
from airflow_provider_secoda.client._versions.poll import Poll, poll_versions
from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.hooks._connection import UNVERIFIED_WARNING
from airflow_provider_secoda.hooks._shared_client import shared_client

if TYPE_CHECKING:
    from airflow_provider_secoda.hooks._shared_client import SharedClient
    from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger

#: Seconds over which the first looks after a restart are spread.
_SPREAD = 30.0


class Vigil:
    """One wait of one trigger.

    :param trigger: says for what, from when on, how patiently
    :raises SecodaConfigurationError: naming the argument that is wrong
    """

    def __init__(self, trigger: SecodaVersionHistoryTrigger) -> None:
        self._trigger = trigger
        self._log = trigger.log
        self._wait = WaitSpec.of(
            trigger.secoda_conn_id,
            trigger.resource_id,
            trigger.since,
            trigger.since_version_id,
            trigger.match,
            trigger.wait_for_resource,
        )
        self._pace = PollInterval(trigger.poke_interval, trigger.exponential_backoff, trigger.max_wait)
        self._patience = FailureLimit(trigger.max_consecutive_failures, trigger.failures, trigger.said)
        self._learned = PageOrder.from_json(trigger.learned)
        self._warned = False

    async def keep(self) -> list[dict[str, Any]] | None:
        """Look until there is something to tell; return the entries that count, or None when the deadline passed.

        :raises SecodaError: one that waiting cannot mend, or one that is one too many
        """
        started = datetime.fromisoformat(self._trigger.started) if self._trigger.started else _now()
        await asyncio.sleep(self._pause_at_first())
        async with shared_client(self._wait.secoda_conn_id) as client:
            while True:
                asked_to_wait = 0.0
                try:
                    poll = await self._look(client)
                except SecodaError as error:
                    self._wait.add_context(error)
                    if self._patience.fail(error):
                        self._log.warning("%s; going on", error)
                    asked_to_wait = getattr(error, "retry_after", None) or 0.0
                else:
                    if self._patience.succeed():
                        self._log.info("Secoda answers again about resource %s", self._wait.resource_id)
                    if poll is not None and poll.entries:
                        self._log.info("%s", self._wait.describe(poll.entries))
                        return summaries(poll.entries)
                    self._learned = None if poll is None else poll.page_order
                left = self._trigger.left()
                pause = self._pace.pause((_now() - started).total_seconds(), random.random())  # noqa: S311 - jitter
                await asyncio.sleep(min(max(pause, asked_to_wait), max(0.0, left)))
                if left <= 0 or asked_to_wait > left:
                    return None

    async def _look(self, client: SharedClient) -> Poll | None:
        """Look once; return None for a resource that does not exist yet and is waited for."""
        seen = await client.settings()
        if seen.verify is False and not self._warned:
            self._warned = True
            self._log.warning(UNVERIFIED_WARNING, self._wait.secoda_conn_id)
        try:
            return await self._ask(client)
        except SecodaError as error:
            if self._wait.expects(error):
                return None
            if not self._wait.doubts_connection(error) or not await client.reread(seen):
                raise
        return await self._ask(client)

    async def _ask(self, client: SharedClient) -> Poll:
        return await client.value(poll_versions(self._wait.resource_id, self._wait.baseline, self._learned))

    def _pause_at_first(self) -> float:
        """Return the seconds to the first look; when it is overdue (the triggerer was away) they are spread."""
        if self._trigger.first_look is None:
            return 0.0
        pause = (datetime.fromisoformat(self._trigger.first_look) - _now()).total_seconds()
        if pause <= 0:
            pause = random.uniform(0.0, min(self._trigger.poke_interval, _SPREAD))  # noqa: S311 - jitter
        return max(0.0, min(pause, self._trigger.left()))


def _now() -> datetime:
    return datetime.now(timezone.utc)
