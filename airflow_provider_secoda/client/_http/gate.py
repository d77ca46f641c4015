"""Hold back the requests of a connection after a 429."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._http.responses import retry_after
from airflow_provider_secoda.client._http.retry_log import LONG_PAUSE, describe_pause

if TYPE_CHECKING:
    from airflow_provider_secoda.client._http.exchange import Outcome

_log = logging.getLogger(__name__)

#: Seconds that a gate is closed after a 429 without ``Retry-After``.
_DEFAULT_WAIT = 1.0


class Gate:
    """Until when no request of a connection may be sent, because one of them got a 429; its transports share it.

    Everyone who waits for long logs it, because each trigger has a log of its own.

    :param name: whose requests wait, for the log
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._closed_until = 0.0

    async def wait(self) -> None:
        """Wait until requests may be sent."""
        loop = asyncio.get_running_loop()
        while (wait := self._closed_until - loop.time()) > 0:
            if wait > LONG_PAUSE:
                reason = "the server answered 429 (too many requests)"
                _log.warning("%s sends no requests for %s: %s", self._name, describe_pause(wait), reason)
            await asyncio.sleep(wait)

    def close_after(self, outcome: Outcome) -> None:
        """Close the gate if a request got a 429."""
        if isinstance(outcome, Response) and outcome.status == 429:  # noqa: PLR2004
            seconds = retry_after(outcome)
            delay = _DEFAULT_WAIT if seconds is None else seconds
            self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + delay)
