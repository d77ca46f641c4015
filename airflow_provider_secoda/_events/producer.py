"""The interface through which Airflow runs a stream.

Airflow creates it in the triggerer's event loop, so this module imports nothing that takes long.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._compat import stream_producer_base

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from airflow.triggers.shared_stream import SharedStreamProducer

    from airflow_provider_secoda._events.stream import Stream
else:
    SharedStreamProducer = stream_producer_base()


async def import_stream() -> Any:
    """Return the module of streams; import it in a thread, as that takes long and would block the event loop."""
    return await asyncio.to_thread(import_module, "airflow_provider_secoda._events.stream")


class Producer(SharedStreamProducer):
    """Runs the stream of a trigger for all triggers that share it.

    :param arguments: the trigger's
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._key = arguments["secoda_conn_id"], arguments.get("filter"), arguments["poke_interval"]
        self._stream: Stream | None = None
        self._ticks: AsyncGenerator[int, None] | None = None

    async def open_stream(self) -> AsyncGenerator[tuple[int, int], None]:
        """Yield ticks, each as the event for the watchers and as the payload that :meth:`advance` receives."""
        module = await import_stream()
        self._stream = module.shared_stream(*self._key)
        self._ticks = self._stream.ticks()
        async for tick in self._ticks:
            yield tick, tick

    async def advance(self, batch: Sequence[Any]) -> None:
        """Record that the events of ticks are stored."""
        for item in batch:
            if self._stream is not None:
                self._stream.confirm(item.broker_payload, failed=item.outcome.failed > 0)

    async def aclose(self) -> None:
        """Stop polling."""
        if self._ticks is not None:
            await self._ticks.aclose()
