"""One poll of the audit log for all watchers of a connection.

A :class:`Stream` polls the audit log and passes new logs to its watchers, also those that they missed
(:mod:`.catch_up`). It lives in the triggerer's event loop and holds all state. What Airflow passes on to the watchers
(its "raw events") are only ticks: numbers on which a watcher delivers the events of its queue.

The stream uses Airflow's *ack mode* for its guarantee: :meth:`.Producer.advance` is called for a tick when all events
that the watchers yielded for it are in the database. Only then the cursors move over these events, and only then more
events are delivered: at most :data:`MAX_UNCONFIRMED` of a stream are on their way at once. So a backlog neither stops
the triggerer's heartbeat nor exceeds Airflow's ack timeout (300 s), after which everything would be delivered again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

from airflow_provider_secoda._events.audit_log_poller import AuditLogPoller
from airflow_provider_secoda._events.cursors import CursorSaver, CursorStore
from airflow_provider_secoda._events.resource_poller import CONCURRENCY, ResourcePoller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from airflow_provider_secoda._events.watchers import Watcher

log = logging.getLogger(__name__)

#: How many events of a stream may be on their way to the database at once.
MAX_UNCONFIRMED = 200
#: Seconds from the failure of a stream to the restart of its watchers, at most.
_MAX_RESTART_PAUSE = 60.0


class Stream:
    """The new audit logs of one connection, for any number of watchers in one event loop.

    :param filter_text: a filter that the server applies, as JSON text
    :param poke_interval: seconds between two polls
    """

    def __init__(self, secoda_conn_id: str, filter_text: str | None, poke_interval: float) -> None:
        self.watchers: dict[Watcher, CursorStore | None] = {}
        self.tick = 0
        #: Airflow gave up on a watcher at this tick or before; see :meth:`confirm`.
        self._doubtful_tick = 0
        self._round = 0
        self._wake = asyncio.Event()
        self._running = asyncio.Lock()
        self._secoda_conn_id = secoda_conn_id
        self._name = name = f"Secoda connection {secoda_conn_id!r}"
        self._restart_pause = min(poke_interval, _MAX_RESTART_PAUSE)
        self._resources = ResourcePoller(name, poke_interval, self._check)
        self._poller = AuditLogPoller(
            name, filter_text, poke_interval, self.watchers, self._resources, polled=self._check
        )
        self._cursors = CursorSaver(
            name, self.watchers, swept=lambda: self._poller.swept, store_used=self._poller.wake.set
        )

    @contextmanager
    def join(self, watcher: Watcher, store: CursorStore | None = None) -> Iterator[None]:
        """Serve a watcher while the block runs; without a store its cursor is not saved."""
        watcher.loaded = store is None
        self.watchers[watcher] = store
        self._cursors.wake.set()
        self._poller.wake.set()
        try:
            yield
        finally:
            watcher.closed = True
            del self.watchers[watcher]

    async def ticks(self) -> AsyncGenerator[int, None]:
        """Poll until closed; yield a number when watchers have something to deliver."""
        # This import takes long, so it happens neither when DAG files are parsed nor in the event loop.
        hook = await asyncio.to_thread(import_module, "airflow_provider_secoda.hooks._shared_client")
        async with self._running, hook.shared_client(self._secoda_conn_id) as client:
            work = [("reading the audit log", self._poller.run(client)), ("saving cursors", self._cursors.run())]
            work += [("polling resources", self._resources.run(client)) for _ in range(CONCURRENCY)]
            tasks = {asyncio.create_task(run, name=name) for name, run in work}
            for task in tasks:
                task.add_done_callback(lambda _: self._wake.set())
            try:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    if ended := [task for task in tasks if task.done()]:
                        await self._fail(ended[0])
                    if self._assign_quotas():
                        self.tick += 1
                        yield self.tick
            finally:
                while tasks:  # a task may lose a cancellation
                    for task in tasks:
                        task.cancel()
                    _, tasks = await asyncio.wait(tasks, timeout=1.0)

    async def _fail(self, ended: asyncio.Task[None]) -> NoReturn:
        """Fail, as a background task ended: then the triggerer starts all watchers again.

        It does so at once, so wait before that, or a defect that persists would send requests without a pause.
        """
        error = None if ended.cancelled() else ended.exception()
        reason = "" if error is None else f" ({type(error).__name__}: {error})"
        message = f"{self._name}: {ended.get_name()} ended{reason}, so its watchers start again"
        log.error("%s in %.0f s", message, self._restart_pause, exc_info=error)
        await asyncio.sleep(self._restart_pause)
        raise RuntimeError(message) from error

    def confirm(self, tick: int, *, failed: bool = False) -> None:
        """Record that the events that were delivered at a tick are stored.

        :param failed: whether Airflow gave up on a watcher; it does not say on which one, but that one gets no more
            ticks. So no event up to the present tick counts as stored until its watcher receives a later tick.
        """
        if failed:
            self._doubtful_tick = self.tick
        elif tick > self._doubtful_tick:
            for watcher in self.watchers:
                if watcher.unconfirmed and watcher.last_tick > self._doubtful_tick:
                    watcher.confirm(tick)
        self._check()
        self._poller.wake.set()

    def _check(self) -> None:
        """Check whether there is something to deliver or to save."""
        self._wake.set()
        self._cursors.wake.set()

    def _assign_quotas(self) -> bool:
        """Set how many events each watcher may deliver at the next tick; return whether a tick is needed.

        The watchers that have events share the capacity evenly; the one that is first changes from tick to tick.
        """
        for watcher in self.watchers:
            watcher.quota = 0
        waiting = [watcher for watcher in self.watchers if watcher.pending]
        unconfirmed = sum(len(watcher.unconfirmed) for watcher in self.watchers)
        capacity = MAX_UNCONFIRMED - unconfirmed
        self._round += 1
        first = self._round % max(1, len(waiting))
        for left, watcher in zip(range(len(waiting), 0, -1), waiting[first:] + waiting[:first], strict=True):
            if capacity <= 0:
                break
            watcher.quota = min(len(watcher.pending), max(1, capacity // left))
            capacity -= watcher.quota
        doubtful = unconfirmed > 0 and self.tick == self._doubtful_tick
        return doubtful or any(watcher.quota for watcher in waiting)


_streams: WeakValueDictionary[tuple[Any, ...], Stream] = WeakValueDictionary()


def shared_stream(secoda_conn_id: str, filter_text: str | None, poke_interval: float) -> Stream:
    """Return the stream of a connection in this event loop; it is deleted with its last reference."""
    key = (asyncio.get_running_loop(), secoda_conn_id, filter_text, poke_interval)
    stream = _streams.get(key)
    if stream is None:
        stream = _streams[key] = Stream(secoda_conn_id, filter_text, poke_interval)
    return stream
