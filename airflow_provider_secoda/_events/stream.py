"""One poll of the audit log for all watchers of a connection.

A :class:`Stream` follows the audit log and offers what is new to its watchers,
whatever they missed included (:mod:`.catchup`). It lives in the triggerer's event loop and holds the whole state; what
Airflow passes on to the watchers (its "raw events") are ticks only: numbers that say "take what you are owed".

Airflow's *ack mode* is used for what it guarantees: :meth:`Producer.advance` is told of a tick when every event that
watchers made of it is in the database. Only then the cursors move over these events, and only then further ones are
delivered: never more than :data:`MAX_UNCONFIRMED` of a stream are on their way, so that a backlog neither stops the
triggerer's heartbeat nor runs into Airflow's ack timeout (300 s), which would start it all over again.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_secoda._compat import stream_producer_base
from airflow_provider_secoda._events.audit_log_poller import AuditLogPoller
from airflow_provider_secoda._events.cursor_saver import CursorSaver
from airflow_provider_secoda._events.resource_poller import ResourcePoller
from airflow_provider_secoda._events.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from airflow.triggers.shared_stream import SharedStreamProducer

    from airflow_provider_secoda._events.watchers import Watcher
else:
    SharedStreamProducer = stream_producer_base()

#: At most so many events of a stream are on their way to the database at once.
MAX_UNCONFIRMED = 200


class Stream:
    """What is new in one connection's audit log, for any number of watchers in one event loop.

    :param secoda_conn_id: the Airflow connection
    :param filter_text: a filter that the server applies, as JSON text
    :param poke_interval: seconds between two looks
    """

    def __init__(self, secoda_conn_id: str, filter_text: str | None, poke_interval: float) -> None:
        self.watchers: dict[Watcher, None] = {}
        self.tick = 0
        self._suspect = 0
        self._turn = 0
        self._wake = asyncio.Event()
        self._alone = asyncio.Lock()
        self._secoda_conn_id = secoda_conn_id
        what = f"Secoda connection {secoda_conn_id!r}"
        self._looks = ResourcePoller(what, poke_interval, self._nudge)
        self._follow = AuditLogPoller(what, filter_text, poke_interval, self.watchers, self._looks, self._nudge)
        self._keeper = CursorSaver(what, self.watchers, self._follow)

    @contextmanager
    def joined(self, watcher: Watcher) -> Iterator[None]:
        """Have a watcher served as long as the block lasts."""
        self.watchers[watcher] = None
        self._keeper.hurry.set()
        self._follow.hurry.set()
        try:
            yield
        finally:
            watcher.left = True
            del self.watchers[watcher]

    async def ticks(self) -> AsyncGenerator[int, None]:
        """AuditLogPoller the log, for ever; yield a number whenever there is something to take."""
        # Heavy, so not at the parsing of DAGs, nor in the event loop.
        sharing = await asyncio.to_thread(import_module, "airflow_provider_secoda.hooks._shared_client")
        async with self._alone, sharing.shared_client(self._secoda_conn_id) as client:
            tasks = [
                asyncio.create_task(work, name="secoda-stream")
                for work in (self._follow.run(client), self._looks.run(client), self._keeper.run())
            ]
            try:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    if self._allot():
                        self.tick += 1
                        yield self.tick
            finally:
                await end(tasks)

    def acked(self, tick: int, *, failed: bool = False) -> None:
        """Take note that what was delivered at a tick is stored.

        :param failed: whether Airflow gave up on some watcher, which it does not name. Then nothing up to the present
            tick counts as stored, but for those who hear a later one: who was given up hears none.
        """
        if failed:
            self._suspect = self.tick
        elif tick > self._suspect:
            for watcher in self.watchers:
                if watcher.unconfirmed and watcher.tick > self._suspect:
                    watcher.confirm(tick)
        self._nudge()
        self._follow.hurry.set()

    def _nudge(self) -> None:
        """Have a look at whether there is something to deliver, or to save."""
        self._wake.set()
        self._keeper.hurry.set()

    def _allot(self) -> bool:
        """Say who may deliver how much at the next tick; return whether there is reason for one."""
        room, hungry, doubtful = MAX_UNCONFIRMED, [], False
        for watcher in self.watchers:
            watcher.grant = 0
            room -= len(watcher.unconfirmed)
            doubtful |= bool(watcher.unconfirmed) and self.tick == self._suspect
            if watcher.pending:
                hungry.append(watcher)
        self._turn += 1
        start = self._turn % max(1, len(hungry))
        for left, watcher in zip(range(len(hungry), 0, -1), hungry[start:] + hungry[:start], strict=True):
            if room <= 0:
                break
            watcher.grant = min(len(watcher.pending), max(1, room // left))
            room -= watcher.grant
        return doubtful or any(watcher.grant for watcher in hungry)


class Producer(SharedStreamProducer):
    """The half of a stream that Airflow drives.

    :param stream: the stream
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ticks: AsyncGenerator[int, None] | None = None

    async def open_stream(self) -> AsyncGenerator[tuple[int, int], None]:
        """Yield ticks, each as the event and as what is told about it."""
        self._ticks = self._stream.ticks()
        async for tick in self._ticks:
            yield tick, tick

    async def advance(self, batch: Sequence[Any]) -> None:
        """Take note that ticks are done with."""
        for item in batch:
            self._stream.acked(item.broker_payload, failed=item.outcome.failed > 0)

    async def aclose(self) -> None:
        """Stop following."""
        if self._ticks is not None:
            await self._ticks.aclose()


_streams: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[Any, ...], Stream]] = (
    WeakKeyDictionary()
)


def shared_stream(secoda_conn_id: str, filter_text: str | None, poke_interval: float) -> Stream:
    """Return the stream of a connection in this event loop; it goes when nobody holds it any more."""
    streams = _streams.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    key = (secoda_conn_id, filter_text, poke_interval)
    stream = streams.get(key)
    if stream is None:
        stream = streams[key] = Stream(*key)
    return stream
