"""A proxy between a task and a server that breaks the connection, or kills the task, at an exact byte."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

_PIECE = 1 << 16
_WAIT_SECONDS = 60.0


class Exchange:
    """A proxy on loopback that passes bytes on, counts them, and acts when a number of them has passed.

    Bytes go two ways: ``sent`` by the task, and ``received`` by it.

    :param port: of the server behind it.
    :ivar counts: how many bytes have passed each way.
    :ivar answer: called with all data that is about to pass, and its way; a result other than None is sent to the
        task instead, and the connection is closed.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._pid = threading.Event()
        self._victim = 0
        self.answer: Callable[[str, bytes], bytes | None] | None = None
        self.clear()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def clear(self) -> None:
        """Count from 0 again and pass everything on."""
        self.counts = {"sent": 0, "received": 0}
        self._limit: tuple[str, int] | None = None
        self._fatal: re.Pattern[bytes] | None = None
        self.answer = None
        self._pid.clear()

    def kill_after(self, way: str, count: int) -> None:
        """Kill the task with SIGKILL when a number of bytes has passed one way."""
        self._limit = (way, count)

    def kill_before(self, request: bytes) -> None:
        """Kill the task with SIGKILL when a request is about to pass that begins like this regular expression."""
        self._fatal = re.compile(request)

    def set_process(self, pid: int) -> None:
        """Set the process to kill; the proxy waits for this."""
        self._victim = pid
        self._pid.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                task, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(task,), daemon=True).start()

    def _serve(self, task: socket.socket) -> None:
        with contextlib.suppress(OSError), task, socket.create_connection(("127.0.0.1", self._server)) as server:
            back = threading.Thread(target=self._pass_on, args=(server, task, "received"), daemon=True)
            back.start()
            self._pass_on(task, server, "sent")
            back.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                if self.answer and (answer := self.answer(way, data)) is not None:
                    (source if way == "sent" else sink).sendall(answer)
                    break
                if way == "sent" and self._fatal and self._fatal.match(data):
                    self._kill()
                    break
                with self._lock:
                    allowed = self._allowed(way, len(data))
                    self.counts[way] += allowed
                    sink.sendall(data[:allowed])
                    if allowed < len(data):
                        self._kill()
                        break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _allowed(self, way: str, size: int) -> int:
        if self._limit is None or self._limit[0] != way:
            return size
        return min(size, self._limit[1] - self.counts[way])

    def _kill(self) -> None:
        self._limit = self._fatal = None
        assert self._pid.wait(_WAIT_SECONDS), "nobody said whom to kill"
        os.kill(self._victim, signal.SIGKILL)
