"""The base class of the event triggers: which stream a watcher belongs to, and what it delivers.

From Airflow 3.3 on all watchers of a connection share one poll, and each keeps a cursor in the state store of its
asset. A triggerer that was down therefore delivers the events that it missed: at least once, and ``id`` in the payload
identifies repeats. Before Airflow 3.3 each watcher polls for itself. It begins at the present, or ``lookback`` seconds
before it, each time the triggerer starts it.

DAG files import this module, and they are parsed often. So the methods that run in the triggerer import what they need,
in a thread, as that takes long.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_secoda._arguments import check_seconds, check_text
from airflow_provider_secoda._compat import asset_state_of, event_trigger_base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable
    from datetime import timedelta

    from airflow.triggers.base import BaseEventTrigger

    from airflow_provider_secoda._events.producer import Producer
    from airflow_provider_secoda._events.watchers import Watcher
else:
    BaseEventTrigger = event_trigger_base()


class SecodaEventTrigger(BaseEventTrigger):
    """Deliver the events of a watcher; the subclasses document the arguments."""

    #: Secoda's filter as JSON text; watchers with the same one share a stream.
    filter: str | None = None

    def __init__(self, secoda_conn_id: str, poke_interval: timedelta | float, lookback: timedelta | float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.secoda_conn_id = check_text("secoda_conn_id", secoda_conn_id)
        self.poke_interval = check_seconds("poke_interval", poke_interval)
        self.lookback = check_seconds("lookback", lookback, allow_zero=True)

    def _watch_arguments(self) -> dict[str, Any]:
        """Return the arguments that say what is watched; they identify the cursor after a restart."""
        raise NotImplementedError

    def _make_watcher(self) -> Watcher:
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and every argument; equal triggers serialize to equal values."""
        timing = {"poke_interval": self.poke_interval, "lookback": self.lookback}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**self._watch_arguments(), **timing}

    def shared_stream_key(self) -> Hashable | None:
        """Return what watchers that share a poll have in common."""
        return ("secoda", self.secoda_conn_id, self.filter, self.poke_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Producer:
        """Return the producer that polls for all watchers of a stream."""
        from airflow_provider_secoda._events.producer import Producer  # noqa: PLC0415

        return Producer(kwargs)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield the events of this watcher at each tick of the shared stream."""
        from airflow_provider_secoda._events.producer import import_stream  # noqa: PLC0415

        stream = await import_stream()
        store = stream.CursorStore(
            asset_state_of(self), {"trigger": type(self).__qualname__, **self._watch_arguments()}
        )
        if not store:
            self.log.warning("No state store for the cursor of this watcher: after a restart it begins at the present")
        watcher = self._make_watcher()
        with stream.shared_stream(self.secoda_conn_id, self.filter, self.poke_interval).join(watcher, store or None):
            async for tick in shared_stream:
                for payload in watcher.drain(tick):
                    yield TriggerEvent(payload)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for this watcher only, where Airflow does not share streams, and yield its events."""
        from airflow_provider_secoda._events.producer import import_stream  # noqa: PLC0415

        stream = (await import_stream()).Stream(self.secoda_conn_id, self.filter, self.poke_interval)
        watcher = self._make_watcher()
        with stream.join(watcher):
            async with aclosing(stream.ticks()) as ticks:
                async for tick in ticks:
                    for payload in watcher.drain(tick):
                        yield TriggerEvent(payload)
                    stream.confirm(tick)
