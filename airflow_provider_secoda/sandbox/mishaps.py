"""Answers that are no answers: what faults make of a request instead of, or on top of, the true answer."""

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

    from airflow_provider_secoda.sandbox.faults import Faults, OneShot

TRANSPORT = "secoda_sandbox.transport"
_LOGIN_PAGE = """<!doctype html>
<html><head><title>Sign in</title></head><body><form><input name="email"><input
type="submit"></form></body></html>
"""
_PROXY_ERRORS = (502, 503, 504)


class Reset(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Close the connection in the way that the other side sees as a reset, and leave it at that."""
        transport = scope["extensions"][TRANSPORT]
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
        await _until_disconnected(receive)


class Cut(Response):
    """The true answer, but the connection closes in the middle of its body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce the whole length, send half of it, close."""
        body = bytes(self.body)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        scope["extensions"][TRANSPORT].close()
        await _until_disconnected(receive)


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def failure(status: int, headers: dict[str, str] | None = None) -> Response:
    """Return an error answer as it would come: of a proxy's making in HTML, else ``{"detail": …}``."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = f"Status {status}"
    if status in _PROXY_ERRORS:
        page = f"<html><head><title>{phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>\n"
        return Response(page, status, headers, "text/html")
    return JSONResponse({"detail": phrase}, status, headers)


async def scripted(mishap: OneShot) -> Response | type[Cut] | None:
    """Return the answer of a one-shot fault; ``None`` stands for the true one, :class:`Cut` for half of it.

    :raises ValueError: there is no such fault.
    """
    if isinstance(mishap, int):
        return failure(mishap)
    if not isinstance(mishap, str):
        _, status, headers = mishap
        return failure(status, headers)
    name, _, argument = mishap.partition(":")
    if name == "slow":
        await asyncio.sleep(float(argument))
        return None
    answers: dict[str, Callable[[], Response | type[Cut]]] = {
        "cut": lambda: Cut,
        "reset": Reset,
        "html": lambda: Response(_LOGIN_PAGE, media_type="text/html"),
        "json": lambda: Response(argument, media_type="application/json"),
        "redirect": lambda: Response(status_code=302, headers={"location": argument}),
    }
    if name not in answers:
        raise ValueError(f"unknown one-shot fault {mishap!r}")
    return answers[name]()


class RateLimit:
    """Counts requests in a sliding window."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def refuse(self, limit: tuple[int, float]) -> Response | None:
        """Return a 429 when this request is one too many, with the seconds until there is room again."""
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
    """Return an error answer with the probability that the faults ask for."""
    if not faults.error_rate or random.random() >= faults.error_rate:
        return None
    headers = None if faults.retry_after is None else {"retry-after": faults.retry_after}
    return failure(random.choice(faults.error_statuses), headers)
