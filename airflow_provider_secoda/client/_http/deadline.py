"""Answers that end in time, for `http.client`, on which the library `requests` stands.

A timeout there is for one piece: a server that sends a byte now and then holds a thread for ever, in the status line,
the headers, between chunks or behind the last one. So the time is measured where bytes leave the socket.
"""

from __future__ import annotations

import io
import time
from functools import partial
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client.errors import SecodaTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from airflow_provider_secoda.client._api.limits import Limits

#: Bytes that headers may have beside the body; `http.client` takes 100 lines of 64 KiB.
_HEAD = 8 << 20


class _Wire(io.RawIOBase):
    """What comes off a socket, for as long as an answer may last."""

    def __init__(self, source: io.RawIOBase, sock: socket, limits: Limits, where: str) -> None:
        self._source = source
        self._sock = sock
        self._limits = limits
        self._where = where
        self._patience = sock.gettimeout()
        self._until = time.monotonic() + limits.answer_seconds
        # Beside headers there are the frames of chunks, and what may follow the last one.
        self._left = 2 * limits.body_bytes + _HEAD

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise too_slow(self._limits, self._where)
        shortened = self._patience is None or left < self._patience
        self._sock.settimeout(left if shortened else self._patience)
        try:
            size = self._source.readinto(buffer)
        except TimeoutError:
            if shortened:
                raise too_slow(self._limits, self._where) from None
            raise
        self._left -= size or 0
        if self._left < 0:
            raise self._limits.passed("body_bytes", self._where)
        return size

    def close(self) -> None:
        self._source.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, limits: Limits, where: str, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        source = self.fp.detach()
        self.fp = io.BufferedReader(_Wire(source, sock, limits, where))


def answer_class(limits: Limits, where: str) -> Callable[..., HTTPResponse]:
    """Return what an `http.client.HTTPConnection` may have as its ``response_class``.

    What it reads raises a :class:`~.errors.SecodaTimeoutError` or a :class:`~.errors.SecodaLimitError`.

    :param where: what is asked, for errors
    """
    return partial(_Answer, limits, where)


def too_slow(limits: Limits, where: str) -> SecodaTimeoutError:
    """Return the error of an answer that has no end, which may have one the next time."""
    return SecodaTimeoutError(
        f"{where}: the answer was not over after {limits.answer_seconds:g} s (the connection's `max_answer_seconds`)"
    )
