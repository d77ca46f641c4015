"""Responses that faults send in place of the correct one."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from starlette.types import Receive, Scope, Send

    from airflow_provider_secoda.sandbox._faults import Faults, OneShot

TRANSPORT = "secoda_sandbox.transport"
_LOGIN_PAGE = """<!doctype html>
<html><head><title>Sign in</title></head><body><form><input name="email"><input
type="submit"></form></body></html>
"""
_PROXY_ERRORS = (502, 503, 504)


class Reset(Response):
    """No response: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Reset the connection (``SO_LINGER`` of zero), and wait for the disconnect."""
        transport = scope["extensions"][TRANSPORT]
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
        await _until_disconnected(receive)


class Truncated(Response):
    """The correct response, but the connection closes in the middle of its body."""

    @classmethod
    def from_response(cls, response: Response) -> Truncated:
        """Return a truncated response with the status, headers and body of another."""
        truncated = cls(response.body, response.status_code)
        truncated.raw_headers = response.raw_headers
        return truncated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send headers with the complete length and half of the body, then close."""
        body = bytes(self.body)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        scope["extensions"][TRANSPORT].close()
        await _until_disconnected(receive)


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def failure(status: int, headers: dict[str, str] | None = None) -> Response:
    """Return an error response: HTML as from a proxy for 502 to 504, else ``{"detail": …}``."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = f"Status {status}"
    if status in _PROXY_ERRORS:
        page = f"<html><head><title>{phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>\n"
        return Response(page, status, headers, "text/html")
    return JSONResponse({"detail": phrase}, status, headers)


async def scripted(fault: OneShot) -> Response | type[Truncated] | None:
    """Return the response of a one-shot fault: ``None`` for the correct one, :class:`Truncated` for half of it.

    :raises ValueError: the fault does not exist.
    """
    if isinstance(fault, int):
        return failure(fault)
    if not isinstance(fault, str):
        _, status, headers = fault
        return failure(status, headers)
    name, _, argument = fault.partition(":")
    if name == "slow":
        await asyncio.sleep(float(argument))
        return None
    responses: dict[str, Callable[[], Response | type[Truncated]]] = {
        "cut": lambda: Truncated,
        "reset": Reset,
        "html": lambda: Response(_LOGIN_PAGE, media_type="text/html"),
        "json": lambda: Response(argument, media_type="application/json"),
        "redirect": lambda: Response(status_code=302, headers={"location": argument}),
    }
    if name not in responses:
        raise ValueError(f"unknown one-shot fault {fault!r}")
    return responses[name]()


class RateLimit:
    """Limit of requests in a sliding window."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def check(self, limit: tuple[int, float]) -> Response | None:
        """Return a 429 with ``Retry-After`` if this request exceeds the limit, else ``None``."""
        allowed, seconds = limit
        now = time.monotonic()
        while self._times and self._times[0] <= now - seconds:
            self._times.popleft()
        if len(self._times) < allowed:
            self._times.append(now)
            return None
        wait = self._times[0] + seconds - now if self._times else seconds
        return failure(429, {"retry-after": str(max(1, math.ceil(wait)))})


def random_error(faults: Faults, random: Random) -> Response | None:
    """Return an error response with the probability ``error_rate``, else ``None``."""
    if not faults.error_rate or random.random() >= faults.error_rate:
        return None
    headers = None if faults.retry_after is None else {"retry-after": faults.retry_after}
    return failure(random.choice(faults.error_statuses), headers)
