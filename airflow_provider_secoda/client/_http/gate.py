"""Hold back all requests of a connection after a 429 response, whichever request got it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._http.httpx_transport import AsyncTransport
from airflow_provider_secoda.client._http.responses import retry_after

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Request
    from airflow_provider_secoda.client._http.endpoint import Endpoint
    from airflow_provider_secoda.client._http.exchange import Outcome

#: Seconds to wait after a 429 without ``Retry-After``, and the longest ``Retry-After`` that is obeyed.
_DEFAULT, _LONGEST = 1.0, 86_400.0


class Gate:
    """Until when no request may be sent; shared by the transports of one connection."""

    def __init__(self) -> None:
        self._closed_until = 0.0

    async def wait(self) -> None:
        """Wait until requests may be sent."""
        loop = asyncio.get_running_loop()
        while (wait := self._closed_until - loop.time()) > 0:  # noqa: ASYNC110 - it is a time, not an event
            await asyncio.sleep(wait)

    def close(self, seconds: float | None) -> None:
        """Let no request through for some time after a 429.

        :param seconds: its ``Retry-After``, if it has one
        """
        delay = _DEFAULT if seconds is None else min(seconds, _LONGEST)
        self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + delay)


class GatedTransport(AsyncTransport):
    """A transport that waits at a gate before each request, and closes it after a 429."""

    def __init__(self, endpoint: Endpoint, gate: Gate, *, max_connections: int) -> None:
        super().__init__(endpoint, max_connections=max_connections)
        self._gate = gate

    async def send(self, request: Request) -> Outcome:
        """Send one request once the gate is open."""
        await self._gate.wait()
        outcome = await super().send(request)
        if isinstance(outcome, Response) and outcome.status == 429:  # noqa: PLR2004
            self._gate.close(retry_after(outcome))
        return outcome
