"""A stream in virtual time: an event loop whose clock jumps to the next timer, and a server that logs reach late.

Hours of polls take seconds, and a run depends on its seed only.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import math
import selectors
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._events import audit_log_poller, resource_poller
from airflow_provider_secoda._events.cursors import CursorStore
from airflow_provider_secoda._events.stream import Stream
from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._http.exchange import exchange
from airflow_provider_secoda.client._http.retry import POLL_POLICY
from airflow_provider_secoda.hooks import _shared_client as sharing
from tests.client.model import BASE_URL, log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import pytest

    from airflow_provider_secoda._events.watchers import Watcher

SECOND = 1_000_000
#: The time at which the virtual clock starts, in microseconds.
BEGIN = 1_700_000_000 * SECOND


class _JumpingSelector(selectors.DefaultSelector):
    """Waits only for what has no timeout; a timeout passes at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            return super().select(None)
        found = super().select(0)
        if not found:
            self.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a virtual clock, which starts at 0."""

    def __init__(self) -> None:
        self.clock = _JumpingSelector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def now_instant() -> int:
    """Return the virtual time in microseconds."""
    return BEGIN + round(asyncio.get_running_loop().time() * SECOND)


def run_virtual(monkeypatch: pytest.MonkeyPatch, server: Server, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in virtual time, in which every connection leads to a server."""

    @asynccontextmanager
    async def client(_: str) -> Any:
        yield Client(server)

    async def run_here(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)  # time would jump while a thread runs

    monkeypatch.setattr(sharing, "shared_client", client)
    monkeypatch.setattr(asyncio, "to_thread", run_here)
    for module in (audit_log_poller, resource_poller):
        monkeypatch.setattr(module, "now_instant", now_instant)
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


@dataclass
class Server:
    """An audit log, sorted by ``created_at``, and the histories of resources.

    :param arrivals: what changes, as (seconds of the virtual clock, change), in order of time
    :param latency: returns the seconds until a request is answered
    """

    arrivals: list[tuple[float, Callable[[Server], None]]] = field(default_factory=list)
    page_size: int = 50
    latency: Callable[[], float] = lambda: 0.05
    logs: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: int = 0

    def add(self, at: int, id_: str, **fields: Any) -> None:
        """Store a log with a ``created_at`` in microseconds."""
        bisect.insort(self.logs, (at, id_, {**log(0, at), "id": id_, **fields}))

    def answer(self, request: Any) -> Response:
        """Answer a request with what is stored at the virtual time."""
        now = asyncio.get_running_loop().time()
        while self.arrivals and self.arrivals[0][0] <= now:
            self.arrivals.pop(0)[1](self)
        self.requests += 1
        params = dict(request.params)
        if "resource_id" in params:
            found = self.versions.get(params["resource_id"], [])
            return _page(int(params["page"]), found, len(found) or 1, "version_histories", non_versioned_logs=[])
        sort = json.loads(params.get("sort", '{"order": "desc"}'))
        rows = self.logs if sort["order"] == "asc" else self.logs[::-1]
        return _page(int(params["page"]), rows, self.page_size, "results")


def _page(number: int, rows: list[Any], size: int, name: str, **more: Any) -> Response:
    total = max(1, -(-len(rows) // size))
    if number > total:
        return Response(404, {}, b"{}")
    shown = [row[-1] if isinstance(row, tuple) else row for row in rows[(number - 1) * size : number * size]]
    counted = {"count": len(rows), "total_pages": total}
    body = {name: shown, **more, **counted, "meta": {"page": number, **counted}}
    return Response(200, {"content-type": "application/json"}, json.dumps(body).encode())


class Client:
    """What a stream uses of the shared client."""

    secoda_conn_id = "secoda_default"

    def __init__(self, server: Server) -> None:
        self.server = server

    async def reread(self) -> bool:
        """Return that the connection has not changed."""
        return False

    async def value(self, flow: Any, *, concurrency: int = 1) -> Any:
        """Run a flow; each request takes some time."""
        wire = exchange(flow, base_url=BASE_URL, policy=POLL_POLICY, concurrency=concurrency)
        under_way: list[Any] = []
        try:
            step: Any = next(wire)
            while True:
                under_way += step
                attempt = under_way.pop(0)
                await asyncio.sleep(self.server.latency())
                step = wire.send((attempt, self.server.answer(attempt.request)))
        except StopIteration as stop:
            return stop.value


class Store:
    """A state store of an asset, which outlives the triggerer."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def aget(self, key: str) -> Any:
        """Return a value, or None."""
        return json.loads(self.kept[key]) if key in self.kept else None

    async def aset(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.kept[key] = json.dumps(value)


class Life:
    """A watcher over several runs of a triggerer.

    :param make_watcher: returns the watcher of a new run
    """

    def __init__(self, make_watcher: Callable[[], Watcher], poke_interval: float) -> None:
        self.make_watcher, self.poke_interval = make_watcher, poke_interval
        self.store = Store()
        #: The ids of the events that Airflow has stored, in order.
        self.stored: list[str] = []
        #: The ids of those that were not confirmed when the triggerer was killed.
        self.left_open: list[str] = []

    async def run(self, seconds: float, *, kill: bool = False) -> None:
        """Run the triggerer for a time.

        :param kill: end it after an event was stored and before that is confirmed; otherwise when all is confirmed
        """
        end = asyncio.get_running_loop().time() + seconds
        serving = asyncio.create_task(self._serve(end if kill else math.inf))
        await asyncio.wait({serving}, timeout=seconds + (3600.0 if kill else 0.0))
        if not kill:
            await asyncio.sleep(1.0)  # what is on its way is confirmed, and its cursor saved
        serving.cancel()
        (outcome,) = await asyncio.gather(serving, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    async def _serve(self, kill_after: float) -> None:
        stream, watcher = Stream("secoda_default", None, self.poke_interval), self.make_watcher()
        with stream.join(watcher, CursorStore(self.store, {"x": 1})):
            async with aclosing(stream.ticks()) as ticks:
                async for tick in ticks:
                    found = [payload["id"] for payload in watcher.drain(tick)]
                    self.stored += found
                    if found and asyncio.get_running_loop().time() >= kill_after:
                        self.left_open += found
                        return
                    await asyncio.sleep(0.3)
                    stream.confirm(tick)
